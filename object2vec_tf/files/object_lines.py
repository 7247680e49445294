r"""The rule of JSON Lines: every line that is not blank has exactly one JSON object.

Lines end at ``\n`` only. A line is blank if it has only the white space of JSON:
spaces, tabs and carriage returns. All other lines have one object of RFC 8259 in UTF-8.
Escapes of half a surrogate pair, which are no text, and values nested deeper than
`MAX_DEPTH` are invalid, also in fields that are ignored. Of a name that occurs twice,
the last value counts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np

from object2vec_tf.files.line_limit import long_line_problem

WHITE_SPACE = b" \t\r"
BOM = b"\xef\xbb\xbf"
# Parsers of C and C++ go deeper, but not equally deep.
MAX_DEPTH = 200
# From here on, a float may be another number that was rounded: 2**53 + 1 becomes 2**53.
MAX_EXACT_FLOAT = 2**53
_OPEN, _CLOSE = b"{}"
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
# Also a string without its end: trying each of its quotes would take quadratic time.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
# Python converts no longer text to integers.
_MAX_DIGITS = 4300
_MAX_SHOWN_CHARACTERS = 60
_EXAMPLE = '{"in0": [1], "in1": [2], "label": 1}'


class LineError(ValueError):
    """A line that is not exactly one JSON object.

    Args:
        problem: What is wrong with the line, and how to fix it.
        objects: The number of objects that the line seems to have, 1 or more.
    """

    def __init__(self, problem: str, objects: int = 1) -> None:
        super().__init__(problem)
        self.objects = objects


def is_blank(text: bytes) -> bool:
    r"""Returns whether all lines of a text are blank.

    Example:
        >>> is_blank(b" \r\n\n"), is_blank(b"\v")
        (True, False)
    """
    return not text.strip(WHITE_SPACE + b"\n")


def numbered_lines(text: bytes, first: int = 1) -> Iterator[tuple[int, bytes]]:
    r"""Yields the lines that are not blank, without white space around them.

    Args:
        text: Whole lines.
        first: The number of the first one.

    Example:
        >>> list(numbered_lines(b'{"in0": 1}\r\n \n{"in0": 2}\n'))
        [(1, b'{"in0": 1}'), (3, b'{"in0": 2}')]
    """
    for number, line in enumerate(text.split(b"\n"), first):
        if stripped := line.strip(WHITE_SPACE):
            yield number, stripped


def count_objects(text: bytes) -> int | None:
    r"""Returns the number of lines that are not blank; None if one may be invalid.

    If a strict parser finds as many objects, each line has one of them: between an
    object's braces, no line that starts with a brace follows a line that ends with one.
    Parsers may then ignore that ignored values are UTF-8, and how deep they are nested,
    which is checked here.

    Args:
        text: Whole lines.
    """
    # bytes.strip would remove vertical tabs and form feeds, which are no white space.
    if b"\0" in text or b"\v" in text or b"\f" in text or not is_utf8(text):
        return None
    lines = [line for line in map(bytes.strip, text.split(b"\n")) if line]
    if not all(line[0] == _OPEN and line[-1] == _CLOSE for line in lines):
        return None
    if max(map(len, lines), default=0) > MAX_DEPTH and any(map(_is_deep, lines)):
        return None
    return len(lines)


def is_utf8(text: bytes) -> bool:
    """Returns whether text is valid UTF-8."""
    if text.isascii():
        return True
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_deep(line: bytes) -> bool:
    """Returns whether values are nested deeper than `MAX_DEPTH`."""
    if len(line) <= MAX_DEPTH or line.count(b"[") + line.count(b"{") <= MAX_DEPTH:
        return False
    data = np.frombuffer(_STRING.sub(b"", line), np.uint8)
    steps = np.isin(data, list(b"[{")).astype(np.int64) - np.isin(data, list(b"]}"))
    return int(steps.cumsum().max(initial=0)) > MAX_DEPTH


def decode_object(line: bytes) -> dict[str, msgspec.Raw]:
    """Returns the values of the object in a line, as they are written.

    Args:
        line: A line that is not blank, without its line end.

    Raises:
        LineError: The line is not exactly one object.

    Example:
        >>> fields = decode_object(b'{"in0": [1.0], "x": 1e400, "in0": 2}')
        >>> {name: bytes(value) for name, value in fields.items()}
        {'in0': b'2', 'x': b'1e400'}
    """
    try:
        if not (_is_utf16(line) or b"\0" in line or _is_deep(line)):
            line.decode()
            return _OBJECT.decode(line)
        error: Exception | None = None
    except (msgspec.DecodeError, UnicodeDecodeError) as decode_error:
        error = decode_error
    raise LineError(_problem(line, error), max(_separated(line), _in_a_row(line)))


def _is_utf16(line: bytes) -> bool:
    return line.startswith((b"\xff\xfe", b"\xfe\xff"))


def decode_value(raw: msgspec.Raw) -> Any:
    """Returns a value of a valid object.

    Numbers too large for a float, and integers of more than 4,300 digits, become
    infinite.

    Args:
        raw: One of the values that `decode_object` returns.

    Example:
        >>> fields = decode_object(b'{"a": 3.0, "b": -1e400}')
        >>> decode_value(fields["a"]), decode_value(fields["b"])
        (3.0, -inf)
    """
    try:
        return msgspec.json.decode(raw)
    except msgspec.DecodeError:
        return json.loads(bytes(raw), parse_int=_integer)


def _integer(digits: str) -> float:
    return float(digits) if len(digits) > _MAX_DIGITS else int(digits)


def _problem(line: bytes, error: Exception | None) -> str:
    """Returns the problem of a line that is not one object."""
    if problem := long_line_problem(line):
        return problem
    if _is_utf16(line):
        return "starts with a UTF-16 byte order mark. Convert the file to UTF-8."
    if b"\0" in line:
        return "contains a NUL byte. The file is damaged, or is not UTF-8 text."
    if error is None:
        return "is nested too deeply to be read. Fix or remove the line."
    if kind := _kind_of_json(line):
        return (
            f"expected one object per line such as {_EXAMPLE}, got {kind}. Write JSON "
            "Lines, not a JSON array."
        )
    if (count := _separated(line)) > 1:
        return (
            f"is not JSON: expected one object per line, got {count:,}. They are "
            "separated by carriage returns (CR). Convert the line ends to LF, for "
            r"example with tr '\r' '\n'."
        )
    if (count := _in_a_row(line)) > 1:
        return (
            f"is not JSON: expected one object per line, got {count:,}. Write each "
            "object on a line of its own."
        )
    if isinstance(error, UnicodeDecodeError):
        return (
            f"is not UTF-8: got byte 0x{line[error.start]:02x} at position "
            f"{error.start}. Convert the file to UTF-8."
        )
    text = line.strip()
    if text.startswith(b"{") and not text.endswith((b"}", b"},")):
        return (
            f"ends in the middle of an object ({_tail(text)}). Write each object on "
            "one line, or download the file again if it is truncated."
        )
    if text.startswith(b"["):
        return "is a JSON array. Write JSON Lines, one object per line."
    reason = str(error).removeprefix("JSON is malformed: ")
    return f"is not JSON: {reason}, got {_head(text)}. Fix or remove the line."


def _separated(line: bytes) -> int:
    """Returns the number of objects that carriage returns seem to separate."""
    parts = line.split(b"\r")
    return max(sum(part.lstrip(WHITE_SPACE).startswith(b"{") for part in parts), 1)


def _in_a_row(line: bytes) -> int:
    """Returns the number of objects of a line if it has nothing else; else 1."""
    try:
        line.decode()
        return max(len(_OBJECT.decode_lines(line)), 1)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return 1


def _kind_of_json(line: bytes) -> str | None:
    """Returns the kind of a JSON value that is no object; None for other text."""
    try:
        value = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    kinds = {list: "a JSON array", str: "a string", bool: "a boolean", dict: None}
    return "null" if value is None else kinds.get(type(value), "a number")


def _head(text: bytes) -> str:
    head = text[:_MAX_SHOWN_CHARACTERS].decode("utf-8", "replace")
    return head + ("..." if text[_MAX_SHOWN_CHARACTERS:] else "")


def _tail(text: bytes) -> str:
    return "..." + text[-_MAX_SHOWN_CHARACTERS // 3 :].decode("utf-8", "replace")
