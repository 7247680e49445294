"""Decimal numbers to the nearest float32, without rounding twice.

A parser of JSON rounds a decimal text to the nearest float64, or to one next to it.
Rounding that to float32 gives the nearest one of the text too, unless it is close to
the middle between two float32 numbers. Only then is the text needed.

Source: Figueroa, "When is double rounding innocuous?", SIGNUM Newsletter 30(3), 1995.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

from object2vec_tf.files.object_lines import decode_object, numbered_lines

# The bits of a float64 that a float32 lacks, and their value in the middle between two
# float32 numbers.
_LOW_BITS = (1 << 29) - 1
_MIDDLE = 1 << 28
# The lowest bits that parsers may get wrong: rapidjson rounds once per step of its
# computation, which has a step per digit for large numbers.
_SLACK = 32
_LARGE = 1e17
_SLACK_OF_LARGE = 2048
# Below it, float32 numbers have fewer bits; far below, all numbers become 0.
_TINY, _ZERO = 2.0**-125, 2.0**-152
# The largest weight: numbers next to it must be exact, too.
_LIMIT, _LIMIT_SLACK = 1e6, 1e-8

Float64 = npt.NDArray[np.float64]


def rounding_once(
    numbers: npt.NDArray[Any], text_of: Callable[[int], bytes]
) -> Float64:
    """Returns numbers whose float32 are the nearest ones of the decimal texts.

    Args:
        numbers: The numbers as a parser read them, ``[count]``.
        text_of: Returns the decimal text of a number by its position.

    Returns:
        The numbers as float64, of which some are next to the given ones.

    Example:
        >>> import numpy as np
        >>> text = "16777217.0000000001"  # above the middle of two float32 numbers
        >>> numbers = np.array([float(text)])
        >>> numbers.astype(np.float32).tolist()
        [16777216.0]
        >>> nearest = rounding_once(numbers, lambda position: text.encode())
        >>> nearest.astype(np.float32).tolist()
        [16777218.0]
    """
    exact = np.ascontiguousarray(numbers, np.float64)
    size = np.abs(exact)
    slack = np.where(size < _LARGE, _SLACK, _SLACK_OF_LARGE)
    is_close = np.abs((exact.view(np.int64) & _LOW_BITS) - _MIDDLE) <= slack
    is_close |= (size < _TINY) & (size > _ZERO)
    is_close |= np.abs(size - _LIMIT) < _LIMIT_SLACK
    positions = np.flatnonzero(is_close)
    if len(positions):
        exact = exact.copy()
        for position in positions.tolist():
            exact[position] = round_once(text_of(position))
    return exact


def rounding_labels_once(numbers: npt.NDArray[Any], field: str, text: bytes) -> Float64:
    """Returns the labels or weights of a block as `rounding_once` does.

    Args:
        numbers: The number of each object, ``[objects]``.
        field: Its name.
        text: The lines of the objects, which are valid.
    """
    lines: list[bytes] = []

    def text_of(position: int) -> bytes:
        lines.extend(() if lines else (line for _, line in numbered_lines(text)))
        return bytes(decode_object(lines[position]).get(field, b"1"))

    return rounding_once(numbers, text_of)


def round_once(text: bytes) -> float:
    """Returns a float64 whose float32 is the nearest one of a decimal text.

    Args:
        text: A number in JSON.
    """
    number = float(text)
    if not _ZERO < abs(number) < 2.0**129:
        return number
    with np.errstate(over="ignore"):
        single = np.float32(number)
        other = np.nextafter(
            single, np.float32(np.copysign(np.inf, number - float(single)))
        )
    # The middle of two float32 numbers, which float64 has exactly. What comes after the
    # largest one counts as 2**128.
    ends = [
        float(end) if np.isfinite(end) else float(np.copysign(2.0**128, number))
        for end in (single, other)
    ]
    middle = (ends[0] + ends[1]) / 2
    if number != middle:
        return number
    exact = Decimal(text.decode())
    if exact == Decimal(middle):
        return number
    return float(np.nextafter(number, np.inf if exact > Decimal(middle) else -np.inf))
