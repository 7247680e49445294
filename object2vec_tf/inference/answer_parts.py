"""Lists of JSON in parts of bounded size, for answers of any size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import numpy.typing as npt
import orjson

# The numbers of a part, which take about 700 KB as JSON and 3 ms to encode.
PART_VALUES: Final = 1 << 16


def list_parts(
    count: int,
    width: int,
    items: Callable[[int, int], Any],
    start: bytes = b"[",
    end: bytes = b"]",
) -> Iterator[bytes]:
    """Yields a list as JSON; the parts make up what `orjson` writes for all of it.

    Args:
        count: The number of items of the list.
        width: The number of values of an item, about.
        items: Returns the items from a position up to another one, for `orjson`.
        start: What comes before the items.
        end: What comes after them.

    Example:
        >>> from object2vec_tf.inference.answer_parts import list_parts
        >>> values = list(range(5))
        >>> parts = list_parts(5, 1 << 15, lambda start, stop: values[start:stop])
        >>> list(parts)
        [b'[0,1', b',2,3', b',4', b']']
    """
    encoded = (
        orjson.dumps(items(first, last), option=orjson.OPT_SERIALIZE_NUMPY)[1:-1]
        for first, last in row_slices(count, width)
    )
    return joined(encoded, start, end)


def array_parts(
    array: npt.NDArray[Any], start: bytes = b"[", end: bytes = b"]"
) -> Iterator[bytes]:
    """Yields an array ``[rows, ...]`` as JSON, in parts of whole rows."""
    width = array[:1].size
    return list_parts(len(array), width, lambda a, b: array[a:b], start, end)


def joined_lists(
    lists: Iterable[Iterator[bytes]], start: bytes, end: bytes
) -> Iterator[bytes]:
    """Yields several values with commas between them, each of which comes in parts."""
    before = start
    for parts in lists:
        yield before
        yield from parts
        before = b","
    yield end


def row_slices(rows: int, width: int) -> Iterator[tuple[int, int]]:
    """Yields the first row of each part, and the first after it."""
    size = max(PART_VALUES // max(width, 1), 1)
    for start in range(0, rows, size):
        yield start, min(start + size, rows)


def joined(
    parts: Iterable[bytes], start: bytes, end: bytes, between: bytes = b","
) -> Iterator[bytes]:
    """Yields parts with something before, between and after them.

    Args:
        parts: The parts, none of which is empty.
        start: What comes before the first part.
        end: What comes after the last one.
        between: What comes between two parts.
    """
    before, after = start, start + end
    for part in parts:
        yield before + part
        before, after = between, end
    yield after
