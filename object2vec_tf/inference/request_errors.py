"""What is wrong with a request, said so that it can be mended."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

import msgspec

_SHOWN = 60
_PLACE = re.compile(r"(?s)(.*) - at `(.*)`")
_STEP = re.compile(r"\.(\w+)|\[(\d+)\]")
_LIMIT = re.compile(r"Expected `int` <= \d+")


class BadRequest(Exception):
    """A request that cannot be answered as it is.

    Args:
        message: What is wrong and what to do.
        path: Where, as a JSONPath; empty where it is not in the body.
        status: The HTTP status that says so.
    """

    def __init__(self, message: str, path: str = "", status: int = 400) -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.reason = message
        self.path = path
        self.status = status

    @property
    def row_and_field(self) -> tuple[int, str]:
        """The row of JSON Lines, from 0, and ``in0[2]: `` where a field is meant."""
        match = re.match(r"\$\[(\d+)\]\.?(.*)", self.path)
        if match is None:
            return 0, ""
        return int(match[1]), f"{match[2]}: " if match[2] else ""


def explain_error(
    error: Exception,
    body: bytes,
    lines: bool,
    limits: Mapping[str, tuple[int, int]],
    texts: Collection[str] = (),
) -> BadRequest:
    """Returns what msgspec found wrong with a body, in the terms of Object2Vec.

    Args:
        error: What decoding raised.
        body: The request's body.
        lines: Whether it is JSON Lines.
        limits: The vocabulary size and the most tokens of each input, by name.
        texts: The inputs that may be text too.
    """
    if isinstance(error, RecursionError):
        return BadRequest("the body is nested too deeply", "$")
    if not isinstance(error, msgspec.ValidationError):
        return _malformed(error, body, lines)
    found = _PLACE.fullmatch(str(error))
    what, path = found.groups() if found else (str(error), "$")
    path = path if path.startswith("$") else f"$.{path}"
    value = _value_at(path, body, lines)
    return BadRequest(_said(what, path, value, lines, limits, texts), path)


def _malformed(error: Exception, body: bytes, lines: bool) -> BadRequest:
    if not body.strip():
        return BadRequest(
            'the body is empty; send {"instances": [{"in0": [1], "in1": [2]}]}', "$"
        )
    if lines:
        rows = (line for line in body.split(b"\n") if line.strip())
        for i, line in enumerate(rows):
            try:
                msgspec.json.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as own:
                return BadRequest(
                    f"line is not JSON: {own}; got {_shown(line)}", f"$[{i}]"
                )
    return BadRequest(f"the body is not JSON: {error}; got {_shown(body)}", "$")


def _value_at(path: str, body: bytes, lines: bool) -> Any:
    decode = msgspec.json.Decoder().decode_lines if lines else msgspec.json.decode
    try:
        value = decode(body)
        for key, index in _STEP.findall(path):
            value = value[key] if key else value[int(index)]
    except (ValueError, LookupError, TypeError, RecursionError):
        return msgspec.UNSET
    return value


def _said(
    what: str,
    path: str,
    value: Any,
    lines: bool,
    limits: Mapping[str, tuple[int, int]],
    texts: Collection[str],
) -> str:
    got = (
        "" if value is msgspec.UNSET else f", got {_shown(json.dumps(value).encode())}"
    )
    field = re.search(r"\.(in[01])(\[\d+\])?$", path)
    if field and field[2]:
        name = f"enc{field[1][-1]}_vocab_size"
        if _LIMIT.match(what):
            size = limits[field[1]][0]
            return f"expected a token id below {name}={size}{got}"
        if what.startswith("Expected `int` >= 0"):
            return f"expected a token id of 0 or more{got}"
        return f"expected an integer{' or a string' * (field[1] in texts)}{got}"
    if field:
        text = " or text: a string, or a list of strings" * (field[1] in texts)
        for_text = (
            "; the model was trained on token ids, or runs by onnx, and takes no text"
            if isinstance(value, str) and not text
            else ""
        )
        return f"expected a list of token ids{text}{got}{for_text}"
    if lines:
        return f'expected one object a line, such as {{"in0": [1], "in1": [2]}}{got}'
    if path == "$":
        return (
            'expected {"instances": [...]} with an object for each prediction, such as '
            '{"instances": [{"in0": [1], "in1": [2]}]}; objects without it go as '
            f"application/jsonlines, one a line{got}"
        )
    if path == "$.instances":
        return f"expected a list of objects{got}"
    return f'expected an object, such as {{"in0": [1], "in1": [2]}}{got}'


def _shown(text: bytes) -> str:
    shown = text[:_SHOWN].decode("utf-8", "replace")
    return shown + "..." if text[_SHOWN:] else shown
