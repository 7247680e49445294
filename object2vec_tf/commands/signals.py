"""SIGTERM as a request to stop, which a run obeys when its progress is saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class StopRequest:
    """Whether the process has received SIGTERM.

    Attributes:
        asked: True after the first SIGTERM.
    """

    asked = False


# The request of the outermost context.
_outermost: StopRequest | None = None


@contextmanager
def catch_sigterm() -> Iterator[StopRequest]:
    """Records the first SIGTERM inside the context; a second one has its usual effect.

    A context inside another one yields the same request. Outside the main thread, where
    Python cannot handle signals, nothing is recorded.

    Yields:
        The request, which changes when the signal arrives.
    """
    global _outermost
    if threading.current_thread() is not threading.main_thread():
        yield StopRequest()
        return
    if _outermost is not None:
        yield _outermost
        return
    request = _outermost = StopRequest()
    previous = signal.getsignal(signal.SIGTERM) or signal.SIG_DFL

    def record(*_: Any) -> None:
        request.asked = True
        signal.signal(signal.SIGTERM, previous)

    signal.signal(signal.SIGTERM, record)
    try:
        yield request
    finally:
        _outermost = None
        signal.signal(signal.SIGTERM, previous)
