"""The maximum length of a line, which bounds the memory that a damaged file takes."""

from __future__ import annotations

import os
import re
from typing import Final

from object2vec_tf.errors import UserError

DEFAULT_MEGABYTES: Final = 64
# Processes that a command starts get its limit with their environment.
VARIABLE: Final = "OBJECT2VEC_TF_MAX_LINE_MEGABYTES"
_LONG_LINE: Final = b"<a line longer than --max_line_megabytes=%d>"
_LONG_LINE_PATTERN: Final = re.compile(_LONG_LINE.replace(b"%d", rb"(\d+)"))


def set_max_line_megabytes(megabytes: int) -> None:
    """Sets the limit for this process, and for those that it starts.

    Args:
        megabytes: The maximum length of a line, in 10**6 bytes.
    """
    os.environ[VARIABLE] = str(megabytes)


def max_line_megabytes() -> int:
    """Returns the maximum length of a line, in 10**6 bytes.

    Raises:
        UserError: The environment variable is not a positive integer.
    """
    text = os.environ.get(VARIABLE, str(DEFAULT_MEGABYTES))
    if not (text.isascii() and text.isdecimal() and 0 < len(text) < 10 and int(text)):
        raise UserError(
            f"{VARIABLE}: expected a positive integer, got {text[:60]!r}. Unset it."
        )
    return int(text)


def long_line(megabytes: int) -> bytes:
    """Returns the line that replaces one that is longer, and is not JSON.

    Args:
        megabytes: The limit.
    """
    return _LONG_LINE % megabytes


def long_line_problem(line: bytes) -> str | None:
    """Returns the problem of a line that `long_line` returned; None for others.

    Example:
        >>> long_line_problem(long_line(1))[:53]
        'is too long: expected at most --max_line_megabytes=1.'
    """
    if (match := _LONG_LINE_PATTERN.fullmatch(line)) is None:
        return None
    return (
        f"is too long: expected at most --max_line_megabytes={match[1].decode()}. "
        r"Check that lines end with \n, or give a larger limit."
    )
