"""A gateway in a process of its own, for as long as it is measured."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def gateway(directory: Path) -> Iterator[int]:
    """Yields the port of a gateway that serves a model from its own process."""
    line = [sys.executable, "-m", "export.gateway", f"--model={directory}", "--port=0"]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        yield int(process.stdout.readline().rsplit(":", 1)[1])
    finally:
        process.terminate()
        process.wait()
