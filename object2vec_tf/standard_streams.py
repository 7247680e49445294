"""Standard streams of a process that was started without some of them.

A shell closes them with ``2>&-``, and some schedulers do. The next file that is opened
would then become stdout or stderr, and messages would be written into it.
"""

from __future__ import annotations

import os
import sys

_missing: set[str] = set()


def open_missing_streams() -> None:
    """Opens the null device in place of standard streams that are closed."""
    while (null := os.open(os.devnull, os.O_RDWR)) <= 2:  # the lowest one that is free
        os.set_inheritable(null, True)
    os.close(null)
    if sys.stdin is None:
        sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            _missing.add(name)
            stream = os.fdopen(descriptor, "w", encoding="utf-8", closefd=False)
            setattr(sys, name, stream)


def is_missing(name: str) -> bool:
    """Returns whether this process was started without stdout or stderr.

    Args:
        name: The name of the stream.

    Example:
        >>> is_missing("stdout")
        False
    """
    return name in _missing
