"""Runs a module in a fork of the command server; see tests/command_server.py.

Usage: command_relay.py ADDRESS MODULE [ARGUMENT ...]
"""

import json
import os
import signal
import socket
import sys
from pathlib import Path

connection = socket.socket(socket.AF_UNIX)
connection.connect(sys.argv[1])
request = {
    "module": sys.argv[2],
    "arguments": sys.argv[3:],
    "directory": str(Path.cwd()),
    "environment": dict(os.environ),
}
data = json.dumps(request).encode() + b"\n"
sent = socket.send_fds(connection, [data], [0, 1, 2])
connection.sendall(data[sent:])
answers = connection.makefile()
pid = int(answers.readline())
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, lambda number, frame: os.kill(pid, number))
# The command alone must keep pipes open: their readers wait for its end.
null = os.open(os.devnull, os.O_RDWR)
for descriptor in (0, 1, 2):
    os.dup2(null, descriptor)
status = int(answers.readline() or -signal.SIGKILL)
if status < 0:
    signal.signal(-status, signal.SIG_DFL) if -status != signal.SIGKILL else None
    os.kill(os.getpid(), -status)
sys.exit(status)
