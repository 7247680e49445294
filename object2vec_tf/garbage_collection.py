"""Garbage collection, which is paused while many lists are made."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class _Pauses:
    """The pauses of all threads: collection resumes at the end of the last one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._was_enabled = False

    def begin(self) -> None:
        with self._lock:
            if not self._count:
                self._was_enabled = gc.isenabled()
                gc.disable()
            self._count += 1

    def end(self) -> None:
        with self._lock:
            self._count -= 1
            if not self._count and self._was_enabled:
                gc.enable()


_PAUSES = _Pauses()


@contextmanager
def collection_paused() -> Iterator[None]:
    """Pauses garbage collection, in all threads.

    It would go through all new lists several times, which can take longer than making
    them. Pauses of several threads may overlap.

    Example:
        >>> with collection_paused():
        ...     gc.isenabled()
        False
    """
    _PAUSES.begin()
    try:
        yield
    finally:
        _PAUSES.end()
