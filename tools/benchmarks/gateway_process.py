"""Runs a gateway in a subprocess while it is measured."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def gateway(directory: Path, more_flags: Sequence[str] = ()) -> Iterator[int]:
    """Serves an exported model from a subprocess and yields its port."""
    with gateway_process(directory, more_flags) as (_, port):
        yield port


@contextmanager
def gateway_process(
    directory: Path, more_flags: Sequence[str] = ()
) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Serves an exported model from a subprocess; yields the process and its port."""
    command = [sys.executable, "-m", "export.gateway"]
    command += [f"--model={directory}", "--port=0", *more_flags]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        # The first line on stdout ends with the port.
        yield process, int(process.stdout.readline().rsplit(":", 1)[1])
    finally:
        process.terminate()
        process.wait()
