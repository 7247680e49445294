"""Work on large requests and responses, in a thread beside the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from object2vec_tf.garbage_collection import collection_paused

_Result = TypeVar("_Result")

# Bytes or values of a request. Work on fewer takes less than a millisecond, and the
# change of threads a tenth of one.
SMALL: Final = 1 << 14

# One thread for all requests: it competes with the event loop for Python's lock.
_THREAD: Final = ThreadPoolExecutor(1, "codec")


async def off_loop(size: int, function: Callable[[], _Result]) -> _Result:
    """Returns the result of a function, without blocking the event loop for long.

    Args:
        size: The bytes or values that it works on.
        function: The function. For a large size it is called in a thread.
    """
    if size <= SMALL:
        return function()
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_THREAD, _without_collection, function)


def _without_collection(function: Callable[[], _Result]) -> _Result:
    """Calls a function that makes many lists."""
    with collection_paused():
        return function()
