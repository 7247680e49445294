"""Error messages for invalid requests: location, expected value and actual value."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from object2vec_tf.files.object_lines import is_blank
from object2vec_tf.ragged.token_ids import IdLimits

# Longer values are abbreviated in messages.
_SHOWN_BYTES = 60
# The end of msgspec's message: the path of the value.
_MSGSPEC_PATH = re.compile(r"(?s)(.*) - at `(.*)`")
_STEP = re.compile(r"\.(\w+)|\[(\d+)\]")
_EXAMPLE = '{"in0": [1], "in1": [2]}'
_MSGSPEC_MAXIMUM = re.compile(r"Expected `int` <= \d+")


class BadRequest(Exception):
    """A request that cannot be answered because it is invalid.

    Args:
        message: What is wrong and how to fix it.
        path: The location as a JSONPath; empty if it is not in the body.
        status: The HTTP status of the response.
    """

    def __init__(self, message: str, path: str = "", status: int = 400) -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.reason = message
        self.path = path
        self.status = status

    def at_row(self, row: int) -> BadRequest:
        """Returns the error of a body of one line as that of a line of JSON Lines.

        Args:
            row: The row of the line, from 0.
        """
        path = re.sub(r"^\$(\[0\])?", f"$[{row}]", self.path)
        return type(self)(self.reason, path, self.status)

    @property
    def row_and_field(self) -> tuple[int, str]:
        """The row of JSON Lines, from 0, and ``in0[2]: `` if the path has a field."""
        match = re.match(r"\$\[(\d+)\]\.?(.*)", self.path)
        if match is None:
            return 0, ""
        return int(match[1]), f"{match[2]}: " if match[2] else ""


class OtherInputs(BadRequest):
    """An object that has other inputs than those before it."""


def explain_error(
    error: Exception,
    body: bytes,
    lines: bool,
    limits: Mapping[str, IdLimits],
    texts: Collection[str] = (),
    *,
    expected: Mapping[str, str] = MappingProxyType({}),
    example: str = _EXAMPLE,
) -> BadRequest:
    """Returns a decoding error in the terms of Object2Vec.

    Args:
        error: The error that msgspec raised.
        body: The request's body; of JSON Lines, the line with the error.
        lines: Whether it is JSON Lines.
        limits: The limits of the objects of each input, by name.
        texts: The inputs that may be text too.
        expected: The values that fields other than in0 and in1 take, by name; those of
            the items of a list by ``name[]``.
        example: A valid object.
    """
    if isinstance(error, RecursionError):
        return BadRequest("expected shallow JSON, got a body nested too deeply", "$")
    if not isinstance(error, msgspec.ValidationError):
        return _malformed(error, body, example)
    match = _MSGSPEC_PATH.fullmatch(str(error))
    problem, path = match.groups() if match else (str(error), "$")
    path = path if path.startswith("$") else f"$.{path}"
    value = _value_at(path, body, lines)
    got = (
        "" if value is msgspec.UNSET else f", got {_shown(json.dumps(value).encode())}"
    )
    field = re.search(r"\.(\w+)(\[\d+\])?$", path)
    name = f"{field[1]}[]" if field and field[2] else field[1] if field else ""
    if name in expected:
        message = f"expected {expected[name]}{got}"
    elif field is None or field[1] not in limits:
        message = _body_message(path, got, lines, example)
    elif field[2]:
        message = token_message(field[1], problem, got, limits, texts)
    else:
        message = _object_message(value, got, text=field[1] in texts)
    return BadRequest(message, path)


def _malformed(error: Exception, body: bytes, example: str) -> BadRequest:
    if is_blank(body):
        return BadRequest(
            f'expected {{"instances": [{example}]}}, got an empty body', "$"
        )
    reason = str(error).removeprefix("JSON is malformed: ")
    return BadRequest(f"the body is not JSON: {reason}, got {_shown(body)}", "$")


def _value_at(path: str, body: bytes, lines: bool) -> Any:
    """Returns the value at a JSONPath; UNSET if it cannot be found."""
    decode = msgspec.json.Decoder().decode_lines if lines else msgspec.json.decode
    try:
        value = decode(body)
        for key, index in _STEP.findall(path):
            value = value[key] if key else value[int(index)]
    except (ValueError, LookupError, TypeError, RecursionError):
        return msgspec.UNSET
    return value


def token_message(
    name: str,
    problem: str,
    got: str,
    limits: Mapping[str, IdLimits],
    texts: Collection[str],
) -> str:
    """Returns the message for an item of in0 or in1.

    Args:
        name: in0 or in1.
        problem: What msgspec says.
        got: The end of the message, with the item.
        limits: The limits of the objects of each input, by name.
        texts: The inputs that may be text too.
    """
    if _MSGSPEC_MAXIMUM.match(problem) or "out of range" in problem:
        size, _, continued_from = limits[name]
        if continued_from is not None:  # the ids of n-grams follow those of words
            return f"expected a token id below {size}{got}"
        return f"expected a token id below enc{name[-1]}_vocab_size={size}{got}"
    if problem.startswith("Expected `int` >="):
        return f"expected a token id of 0 or more, or -1 as padding{got}"
    return f"expected an integer{' or a string' * (name in texts)}{got}"


def _object_message(value: Any, got: str, text: bool) -> str:
    """Returns the message for in0 or in1."""
    if text:
        return f"expected a list of token ids, a string, or a list of strings{got}"
    hint = (
        ". This model takes no text: it was trained on token ids, or runs in "
        "onnxruntime."
        if isinstance(value, str)
        else ""
    )
    return f"expected a list of token ids{got}{hint}"


def _body_message(path: str, got: str, lines: bool, example: str) -> str:
    """Returns the message for the body, or for one of its objects."""
    if lines:
        return f"expected one object per line, such as {example}{got}"
    if path == "$":
        return (
            'expected {"instances": [...]} with one object per prediction, such as '
            f'{{"instances": [{example}]}}{got}. Send objects without '
            "it as application/jsonlines, one object per line."
        )
    if path == "$.instances":
        return f"expected a list of objects{got}"
    return f"expected an object, such as {example}{got}"


def _shown(text: bytes) -> str:
    shown = text[:_SHOWN_BYTES].decode("utf-8", "replace")
    return shown + "..." if text[_SHOWN_BYTES:] else shown
