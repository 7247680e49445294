"""Ctrl-C while a command imports its modules, which takes seconds."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType

INTERRUPTED = 130
_stderr = 2


def exit_on_interrupt() -> None:
    """Makes Ctrl-C end this process with a word and `INTERRUPTED`, until `raise_again`.

    Python's own handler would print a traceback of whatever is being imported. A
    handler that somebody else has installed stays.
    """
    global _stderr
    in_main_thread = threading.current_thread() is threading.main_thread()
    if in_main_thread and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        _stderr = os.dup(2)  # 2 is redirected while TensorFlow is imported
        signal.signal(signal.SIGINT, _exit)


def raise_again() -> None:
    """Makes Ctrl-C raise KeyboardInterrupt again."""
    global _stderr
    if signal.getsignal(signal.SIGINT) is _exit:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.close(_stderr)
        _stderr = 2


def _exit(number: int, frame: FrameType | None) -> None:
    try:
        os.write(_stderr, b"\ninterrupted\n")
    finally:
        os._exit(INTERRUPTED)
