"""What a stream can show: a live line on a terminal, or only lines."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO

_DUMB = ("dumb", "unknown")
_DEFAULT_COLUMNS = 80
_ERASE = "\r\x1b[2K"
_BAR_CELLS = 10


def is_interactive(
    stream: IO[str], environment: Mapping[str, str] = os.environ
) -> bool:
    """Returns whether a person watches a stream: a terminal that is not one of CI.

    Args:
        stream: The stream.
        environment: The environment variables.

    Example:
        >>> import io
        >>> is_interactive(io.StringIO())
        False
    """
    in_ci = environment.get("CI", "").lower() not in ("", "0", "false")
    try:
        return stream.isatty() and not in_ci
    except ValueError:  # closed
        return False


def can_redraw(stream: IO[str], environment: Mapping[str, str] = os.environ) -> bool:
    """Returns whether a line of a stream can be erased and written again.

    Args:
        stream: The stream.
        environment: The environment variables.
    """
    is_dumb = environment.get("TERM", "dumb") in _DUMB
    return is_interactive(stream, environment) and not is_dumb


def columns(stream: IO[str]) -> int:
    """Returns the width of the stream's terminal; 80 if it is unknown."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or _DEFAULT_COLUMNS
    except (OSError, ValueError):
        return _DEFAULT_COLUMNS


def bar(share: float, stream: IO[str], cells: int = _BAR_CELLS) -> str:
    """Returns a progress bar in the characters that the stream can write.

    Args:
        share: The share that is done, from 0 to 1.
        stream: The stream.
        cells: The width.

    Example:
        >>> import io
        >>> bar(0.25, io.TextIOWrapper(io.BytesIO(), encoding="ascii"), 8)
        '##......'
        >>> bar(0.25, io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), 8)
        '━━──────'
    """
    done = min(max(int(share * cells), 0), cells)
    full, empty = "━─" if can_encode("━─", stream) else "#."
    return full * done + empty * (cells - done)


def can_encode(text: str, stream: IO[str]) -> bool:
    """Returns whether the encoding of a stream has the characters of a text."""
    try:
        text.encode(getattr(stream, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


@contextmanager
def shown_while(text: str, shown: bool) -> Iterator[None]:
    """Shows a line on stderr, if that is a terminal, while the context lasts.

    Args:
        text: The line.
        shown: False does nothing.
    """
    if not (shown and sys.stderr and can_redraw(sys.stderr)):
        yield
        return
    line = StatusLine(sys.stderr)
    line.show(text)
    try:
        yield
    finally:
        line.clear()


class StatusLine:
    """The last line of a terminal, which is overwritten while work is done.

    Args:
        stream: The terminal's stream.
    """

    def __init__(self, stream: IO[str]) -> None:
        self.stream = stream
        self._lock = threading.RLock()
        self._is_shown = False

    def show(self, text: str) -> None:
        """Replaces the line; text that does not fit is cut, after a comma if possible.

        Args:
            text: The new line.
        """
        # A control character of a file name would move the cursor.
        text = "".join(c if c.isprintable() else "?" for c in text)
        room = columns(self.stream) - 1
        if len(text) > room:
            parts, comma, _ = text[: room + 1].rpartition(", ")
            text = parts if comma else text[: max(room - 3, 0)] + "..."
        with self._lock:
            self.stream.write(_ERASE + text)
            self.stream.flush()
            self._is_shown = True

    def clear(self) -> None:
        """Erases the line."""
        with self.paused():
            pass

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Erases the line, and keeps it away while other text is written."""
        with self._lock:
            if self._is_shown:
                self._is_shown = False
                self.stream.write(_ERASE)
                self.stream.flush()
            yield
