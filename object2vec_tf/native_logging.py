"""Keeps the log lines of native libraries out of the output of commands.

The lines are not lost: `silenced_text` returns them.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

TOOLS = Path(__file__).resolve().parents[1] / "tools"
CONSOLE_SCRIPT_PREFIX = "object2vec"
_MAX_KEPT_BYTES = 1 << 16

_kept: list[str] = []


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
    """Keeps what native libraries write to stderr inside the context out of it.

    TensorFlow 2.21 writes there before ``absl::InitializeLog``, whatever
    TF_CPP_MIN_LOG_LEVEL is. Exceptions pass through.

    Args:
        quiet: Whether to do so; False does nothing.
    """
    if not quiet:
        yield
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    stderr = os.dup(2)
    with _temporary_file() as file:
        try:
            os.dup2(file.fileno(), 2)
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            if file.readable():
                file.seek(0)
                _kept.append(file.read(_MAX_KEPT_BYTES).decode(errors="replace"))


@contextmanager
def tensorflow_warnings_only() -> Iterator[None]:
    """Keeps what TensorFlow's Python code logs below WARNING out of the output.

    In notebooks, TensorFlow logs INFO: the temporary directory of a SavedModel.
    """
    logger = logging.getLogger("tensorflow")
    level = logger.level
    logger.setLevel(max(level, logging.WARNING))
    try:
        yield
    finally:
        logger.setLevel(level)


def silenced_text() -> str:
    """Returns what `silence_native_stderr` has kept out of stderr in this process."""
    return "".join(_kept)


def _temporary_file() -> IO[bytes]:
    try:
        return tempfile.TemporaryFile()
    except OSError:  # no directory can be written
        return open(os.devnull, "wb")
