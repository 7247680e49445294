"""SIGTERM: a request to stop that waits until what was learnt is safe."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class StopRequest:
    """Whether the process was told to stop.

    Attributes:
        asked: Whether it was.
    """

    asked = False


@contextmanager
def catch_sigterm() -> Iterator[StopRequest]:
    """Yields what notes a SIGTERM while the context lasts; a second one is obeyed.

    Python lets the main thread alone handle signals; in another nothing is noted.
    """
    noted = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield noted
        return
    before = signal.getsignal(signal.SIGTERM) or signal.SIG_DFL

    def note(*_: Any) -> None:
        noted.asked = True
        signal.signal(signal.SIGTERM, before)

    signal.signal(signal.SIGTERM, note)
    try:
        yield noted
    finally:
        signal.signal(signal.SIGTERM, before)
