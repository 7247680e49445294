"""Messages on terminals: control characters of file names become escapes."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TextIO

# All but tabs and line ends, which messages have themselves.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")


def escape_unprintable(stream: TextIO) -> None:
    r"""Makes a stream write escapes in place of characters that its encoding lacks.

    These are also the bytes of file names that are not UTF-8, which Python has as lone
    surrogates: ``\udcff``.
    """
    if getattr(stream, "errors", "") == "strict" and hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")


def legible(text: str) -> str:
    r"""Returns a message with escapes in place of control characters.

    The lines of a message stay. Line ends in names of files that the command line gives
    become escapes.

    Example:
        >>> legible("a\x1b[31m.jsonl: no such file")
        'a\\x1b[31m.jsonl: no such file'
    """
    for name in _names_with_line_ends():
        text = text.replace(name, name.replace("\n", "\\n"))
    return _CONTROLS.sub(lambda match: repr(match[0])[1:-1], text)


def _names_with_line_ends() -> Iterator[str]:
    """Yields the paths of the command line, and the working directory."""
    values = [argument.partition("=")[2] or argument for argument in sys.argv[1:]]
    with suppress(OSError):  # the directory was removed
        values.append(str(Path.cwd()))
    for value in values:
        for name in {value, *value.split(",")}:
            if "\n" in name.strip():
                yield name.strip()
