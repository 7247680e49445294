"""The maximum length of a line, which bounds the memory that a damaged file takes."""

from __future__ import annotations

import os
from typing import Final

from object2vec_tf.errors import UserError

DEFAULT_MEGABYTES: Final = 64
# Processes that a command starts get its limit with their environment.
VARIABLE: Final = "OBJECT2VEC_TF_MAX_LINE_MEGABYTES"


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
