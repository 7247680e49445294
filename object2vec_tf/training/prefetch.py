"""Prepares the items of an iterator in a thread, while earlier ones are used."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Prefetched(Iterator[Item], Generic[Item]):
    """Iterates over items that a thread prepares in advance.

    The thread ends with the items, after an error, or when `close` is called.

    Args:
        items: The items. Their iterator runs in the thread.
        ahead: Number of items to prepare in advance.

    Example:
        >>> with_squares = Prefetched((n * n for n in range(3)), ahead=2)
        >>> list(with_squares)
        [0, 1, 4]
    """

    def __init__(self, items: Iterable[Item], ahead: int) -> None:
        # Each element is an item, or how the iterator ended.
        self._queue: queue.Queue[tuple[Item | None, BaseException | None]]
        self._queue = queue.Queue(ahead)
        self._closed = threading.Event()
        self._thread = threading.Thread(
            target=self._prepare, args=(items,), name="prefetch", daemon=True
        )
        self._thread.start()

    def _prepare(self, items: Iterable[Item]) -> None:
        end: BaseException = StopIteration()
        try:
            for item in items:
                if not self._put((item, None)):
                    return
        except BaseException as error:
            end = error
        finally:
            if isinstance(items, Generator):
                items.close()
        self._put((None, end))

    def _put(self, element: tuple[Item | None, BaseException | None]) -> bool:
        """Adds an element to the queue; returns False if nobody will take it."""
        while not self._closed.is_set():
            try:
                self._queue.put(element, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def __next__(self) -> Item:
        """Returns the next item; raises the error that the thread ended with."""
        if self._closed.is_set():
            raise StopIteration
        item, end = self._queue.get()
        if end is not None:
            self.close()
            raise end
        return item  # type: ignore[return-value]

    def close(self) -> None:
        """Ends the thread; items that are left are lost."""
        self._closed.set()
        self._thread.join()
