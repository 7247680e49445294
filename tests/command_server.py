"""Starts commands in a fork of one process that has imported TensorFlow already.

Importing takes a few seconds, and the tests start more than a hundred commands. A
command line of `python_m` starts a small relay, tests/command_relay.py. The server
forks, and the fork runs the module as ``python -m`` does, with the arguments,
environment, directory and file descriptors of the relay. The relay passes on signals
and ends with the status of the command.

Tests about imports, or about SIGKILL, start ``python -m`` itself.
"""

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import types
from pathlib import Path

RELAY = Path(__file__).with_name("command_relay.py")
START_SECONDS = 120
# The environment variable with the path of the socket of a server that runs already.
ADDRESS = "OBJECT2VEC_COMMAND_SERVER"
# Modules that define flags, and programs of their own.
EXCLUDED = (
    "object2vec_tf.commands.flags",
    "object2vec_tf.data._parser_process",
    "object2vec_tf.tuning.worker",
)


def python_m(module: str) -> list[str]:
    """Returns the start of a command line that runs a module."""
    if not hasattr(os, "pidfd_open"):  # only Linux has it
        return [sys.executable, *(["-c"] if module == "-c" else ["-m", module])]
    return [sys.executable, "-IS", str(RELAY), _server_address(), module]


def python_c(program: str) -> list[str]:
    """Returns the start of a command line that runs the text of a program."""
    return [*python_m("-c"), program]


def share_server() -> None:
    """Starts the server that this process and those that it starts use."""
    os.environ[ADDRESS] = _start_server()[0]


@functools.cache
def _server_address() -> str:
    """Returns the path of a server's socket; starts the server if there is none."""
    if ADDRESS in os.environ:
        return os.environ[ADDRESS]
    address, ready = _start_server()
    if not select.select([ready], [], [], START_SECONDS)[0] or not os.read(ready, 1):
        raise RuntimeError("the command server did not start")
    os.close(ready)
    return address


def _start_server() -> tuple[str, int]:
    """Starts a server, which ends with this process.

    Returns:
        The path of its socket, and a file descriptor from which one byte can be read
        when it is ready.
    """
    directory = tempfile.TemporaryDirectory()
    address = str(Path(directory.name) / "socket")
    ready, done = os.pipe()
    server = subprocess.Popen(
        [sys.executable, __file__, address, str(done)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=[done],
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    os.close(done)

    def stop() -> None:
        server.kill()
        server.wait()
        directory.cleanup()

    atexit.register(stop)
    return address, ready


def _import_packages() -> None:
    """Imports everything but the modules that are commands themselves."""
    sys.argv[0] = "-m"  # the package then keeps native log lines out of stderr
    import object2vec_tf  # isort: skip

    import tensorflow_text  # noqa: F401

    import export

    for package in (object2vec_tf, export):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            if module.ispkg and module.name != "export.tf_serving":
                path = importlib.import_module(module.name).__path__
                for part in pkgutil.iter_modules(path, f"{module.name}."):
                    if part.name not in EXCLUDED:
                        importlib.import_module(part.name)


def _receive(connection: socket.socket) -> dict[str, object]:
    """Returns a request, with its three file descriptors."""
    data, descriptors, _, _ = socket.recv_fds(connection, 1 << 16, 3)
    while not data.endswith(b"\n"):
        data += connection.recv(1 << 16)
    return {**json.loads(data), "descriptors": descriptors}


def _watch(connection: socket.socket, pid: int) -> None:
    """Sends the status of a command; ends the command if the relay is gone."""
    connection.sendall(f"{pid}\n".encode())
    pidfd = os.pidfd_open(pid)
    readable, _, _ = select.select([connection, pidfd], [], [])
    if pidfd not in readable:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(OSError):  # the relay may be gone
        connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _serve(server: socket.socket) -> dict[str, object]:
    """Returns, in a new process, each request to start a command."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the watchers
    while True:
        connection, _ = server.accept()
        if os.fork():
            connection.close()
            continue
        server.close()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        request = _receive(connection)
        pid = os.fork()
        if pid:
            for descriptor in request["descriptors"]:
                os.close(descriptor)
            _watch(connection, pid)
        connection.close()
        return request


def _become(request: dict[str, object]) -> None:
    """Takes over the descriptors, environment, directory and arguments."""
    for number, descriptor in enumerate(request["descriptors"]):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(request["directory"])
    os.environ.clear()
    os.environ.update(request["environment"])
    tempfile.tempdir = None  # that of TMPDIR
    sys.argv = ["-m", *request["arguments"]]
    sys.path[:] = [
        request["directory"],
        *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)),
        *sys.path,
    ]
    if os.environ.get("PYTHONUNBUFFERED"):
        sys.stdout.reconfigure(write_through=True)


if __name__ == "__main__":
    # `python -m` has the current directory here, not that of this file.
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(sys.argv[1])
    listener.listen(64)
    done = int(sys.argv[2])
    _import_packages()
    gc.freeze()  # a collection in a fork would copy the memory of all modules
    os.write(done, b"1")
    os.close(done)
    command = _serve(listener)
    _become(command)
    if command["module"] == "-c":
        sys.argv = ["-c", *command["arguments"][1:]]
        program = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(command["arguments"][0], program.__dict__)
    else:
        runpy.run_module(command["module"], run_name="__main__", alter_sys=True)
