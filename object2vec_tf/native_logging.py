"""Keeps the log lines of native libraries out of the output of commands."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TOOLS = Path(__file__).resolve().parents[1] / "tools"
CONSOLE_SCRIPT_PREFIX = "object2vec"


def command_is_starting() -> bool:
    """Whether a command of this project imports the package.

    A command is ``python -m MODULE``, a console script or a program in tools/.
    """
    return any(
        name == "-m"
        or Path(name).name.startswith(CONSOLE_SCRIPT_PREFIX)
        or TOOLS in Path(name).resolve().parents
        for name in sys.argv[:1]
    )


@contextmanager
def silence_native_stderr(quiet: bool) -> Iterator[None]:
    """Discards what native libraries write to stderr inside the context.

    TensorFlow 2.21 writes there before ``absl::InitializeLog``, whatever
    TF_CPP_MIN_LOG_LEVEL is. Exceptions pass through.

    Args:
        quiet: Whether to discard it; False does nothing.
    """
    if not quiet:
        yield
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    stderr = os.dup(2)
    devnull = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(devnull, 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(devnull)
