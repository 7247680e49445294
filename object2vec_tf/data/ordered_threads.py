"""Calls a function for many items in several threads, and yields results in order."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class OrderedThreads(Iterator[Result], Generic[Item, Result]):
    """Iterates over the results of a function, which threads compute in advance.

    The threads begin at once. They end after the last result, after an error, when
    `close` is called, and when the iterator is deleted. An error of the function or of
    the items is raised in the place of the result.

    Args:
        function: The function. Several threads call it at the same time.
        items: Its arguments. The thread that iterates takes them.
        threads: Number of threads.
        ahead: Number of results to compute in advance.

    Example:
        >>> list(OrderedThreads(lambda n: n * n, range(4), threads=2, ahead=3))
        [0, 1, 4, 9]
    """

    def __init__(
        self,
        function: Callable[[Item], Result],
        items: Iterable[Item],
        *,
        threads: int,
        ahead: int,
    ) -> None:
        self._function = function
        self._items = iter(items)
        self._ahead = ahead
        self._executor = ThreadPoolExecutor(threads, "object2vec_tf_input")
        self._pending: collections.deque[Future[Result]] = collections.deque()
        self._submit(ahead)

    def _submit(self, count: int) -> None:
        for item in itertools.islice(self._items, count):
            self._pending.append(self._executor.submit(self._function, item))

    def __next__(self) -> Result:
        """Returns the next result; waits for it if necessary."""
        if not self._pending:
            self.close()
            raise StopIteration
        try:
            result = self._pending.popleft().result()
            self._submit(1)
        except BaseException:
            self.close()
            raise
        return result

    def close(self) -> None:
        """Ends the threads; results that are left are lost."""
        self._items = iter(())
        self._pending.clear()
        self._executor.shutdown(cancel_futures=True)
