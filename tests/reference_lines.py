"""A reference for the rule of JSON Lines: slow, strict, and without the package's code.

Every door of the package must accept the same lines as these functions, with the same
values. docs/data.md has the rule.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np

MAX_DEPTH = 200
MAX_DIGITS = 4300
MAX_WEIGHT = 1_000_000
MAX_EXACT_FLOAT = 2**53
FLOAT32_INFINITY = Fraction(2**128 - 2**103)


class Bad(Exception):
    """A line or a value that is invalid."""


@dataclasses.dataclass(frozen=True)
class Number:
    """A number of JSON, as it is written."""

    text: str

    @property
    def is_integer(self) -> bool:
        return not set(self.text) & set(".eE")

    def integer(self) -> int:
        """Returns an integer, or a float that is one."""
        if self.is_integer and len(self.text) <= MAX_DIGITS:
            return int(self.text)
        number = float(self.text)
        if not number.is_integer():
            raise Bad(self.text)
        return int(number)

    def float32(self) -> float:
        """Returns the nearest float32, the even one of two."""
        if self.is_integer and len(self.text) > MAX_DIGITS:
            raise Bad("too large")
        near = float(self.text)
        if abs(near) > 1e39:
            raise Bad("too large")
        if abs(near) < 1e-60:
            return 0.0
        exact = Fraction(Decimal(self.text))
        if abs(exact) >= FLOAT32_INFINITY:
            raise Bad("too large")
        with np.errstate(over="ignore"):
            middle = np.clip(
                np.float32(near), *np.float32([-3.4028235e38, 3.4028235e38])
            )
            candidates = [
                c
                for c in (
                    middle,
                    np.nextafter(middle, np.float32(np.inf)),
                    np.nextafter(middle, np.float32(-np.inf)),
                )
                if np.isfinite(c)
            ]
        return float(
            min(
                candidates,
                key=lambda c: (abs(Fraction(float(c)) - exact), c.view(np.int32) & 1),
            )
        )


@dataclasses.dataclass(frozen=True)
class Line:
    """A line that is not blank.

    Attributes:
        number: Its number in the file, from 1.
        text: The line without white space around it.
        fields: The values of its object; None for an invalid line.
        count: How many bad lines an invalid line counts as.
    """

    number: int
    text: bytes
    fields: Mapping[str, Any] | None
    count: int = 1


def lines_of(data: bytes) -> list[Line]:
    """Returns the lines of a file that are not blank."""
    if data[:3] == b"\xef\xbb\xbf":
        data = data[3:]
    lines = []
    for number, text in enumerate(data.split(b"\n"), 1):
        if all(byte in b" \t\r" for byte in text):
            continue
        stripped = text.strip(b" \t\r")
        try:
            lines.append(Line(number, stripped, parse_object(text)))
        except Bad:
            lines.append(Line(number, stripped, None, missing_line_ends(text)))
    return lines


def parse_object(text: bytes) -> dict[str, Any]:
    """Returns the values of the object in a line, numbers as `Number`."""
    try:
        value = _json(text.decode("utf-8", "strict"))
    except (ValueError, RecursionError) as error:
        raise Bad(str(error)) from error
    if not isinstance(value, dict) or depth(text) > MAX_DEPTH:
        raise Bad("no object")
    return value


def _rejected(name: str) -> None:
    raise ValueError(name)


def _checked_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    for name, value in pairs:
        _check_text(name)
        _check_text(value)
    return dict(pairs)


def _check_text(value: Any) -> None:
    if isinstance(value, str) and any("\ud800" <= c <= "\udfff" for c in value):
        raise ValueError("half a surrogate pair")
    if isinstance(value, list):
        for item in value:
            _check_text(item)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_checked_object,
    parse_constant=_rejected,
    parse_float=Number,
    parse_int=Number,
)


def _json(text: str) -> Any:
    return _DECODER.decode(text)


def depth(text: bytes) -> int:
    """Returns how deep the values of valid JSON are nested."""
    deepest = level = 0
    in_string = escaped = False
    for char in text.decode():
        if in_string:
            if escaped:
                escaped = False
            elif char == "\\":
                escaped = True
            elif char == '"':
                in_string = False
        elif char == '"':
            in_string = True
        elif char in "[{":
            level += 1
            deepest = max(deepest, level)
        elif char in "]}":
            level -= 1
    return deepest


def missing_line_ends(text: bytes) -> int:
    """Returns how many line ends a bad line lacks, at least 1."""
    by_returns = sum(part.lstrip(b" \t\r")[:1] == b"{" for part in text.split(b"\r"))
    return max(max(by_returns, _objects_in_row(text)) - 1, 1)


def _objects_in_row(text: bytes) -> int:
    """Returns the number of objects of a line that has several, else 0."""
    count = 0
    try:
        line = text.strip(b" \t\r").decode()
        while line:
            value, end = _DECODER.raw_decode(line)
            if not isinstance(value, dict):
                return 0
            count += 1
            line = line[end:].lstrip(" \t\r")
    except (ValueError, RecursionError):
        return 0
    return count


# Values of fields.


def token_ids(value: Any, vocab_size: int, lowest: int = 0) -> list[int]:
    """Returns the ids of an object."""
    ids = []
    for item in value if isinstance(value, list) else [value]:
        if not isinstance(item, Number):
            raise Bad("no number")
        id_ = item.integer()
        if not lowest <= id_ < vocab_size:
            raise Bad("out of range")
        ids.append(id_)
    return ids


def texts(value: Any) -> str | list[str]:
    """Returns a text, or a list of strings."""
    items = value if isinstance(value, list) else [value]
    if not all(isinstance(item, str) for item in items):
        raise Bad("no text")
    return value


def any_ids(value: Any) -> list[str]:
    """Returns ids of any kind as strings."""
    return [_any_id(item) for item in (value if isinstance(value, list) else [value])]


def _any_id(item: Any) -> str:
    if isinstance(item, str):
        return item
    if not isinstance(item, Number):
        raise Bad("no id")
    if item.is_integer:
        if len(item.text) > MAX_DIGITS:
            raise Bad("too long")
        return str(int(item.text))
    number = item.integer()
    if abs(number) >= MAX_EXACT_FLOAT:
        raise Bad("not exact")
    return str(number)


def label_of(fields: Mapping[str, Any], num_classes: int | None) -> float:
    """Returns a class, or a float32."""
    label = fields.get("label")
    if not isinstance(label, Number):
        raise Bad("no label")
    if num_classes is None:
        return label.float32()
    class_ = label.integer()
    if not 0 <= class_ < num_classes:
        raise Bad("no class")
    return class_


def weight_of(fields: Mapping[str, Any]) -> float:
    """Returns a float32; 1 if there is no weight."""
    weight = fields.get("weight", Number("1"))
    if not isinstance(weight, Number) or not 0 <= float(weight.text) <= MAX_WEIGHT:
        raise Bad("weight")
    return weight.float32()


def pair(
    fields: Mapping[str, Any] | None,
    kinds: Sequence[str],
    sizes: Sequence[int],
    num_classes: int | None,
) -> tuple[Any, Any, float, float]:
    """Returns in0, in1, the label and the weight of a line of a channel.

    Args:
        fields: The values of its object.
        kinds: For in0 and in1: ids, text, or any for ids of any kind.
        sizes: The vocabulary sizes.
        num_classes: The number of classes; None for regression.
    """
    if fields is None:
        raise Bad("no object")
    objects = []
    for name, kind, size in zip(("in0", "in1"), kinds, sizes, strict=True):
        if name not in fields:
            raise Bad("missing")
        objects.append(
            token_ids(fields[name], size)
            if kind == "ids"
            else texts(fields[name])
            if kind == "text"
            else any_ids(fields[name])
        )
    return (*objects, label_of(fields, num_classes), weight_of(fields))


def instance(
    fields: Mapping[str, Any] | None,
    kinds: Mapping[str, str],
    limits: Mapping[str, tuple[int, int]],
) -> dict[str, Any]:
    """Returns in0 and in1 of a line that a model embeds or scores.

    Args:
        fields: The values of its object.
        kinds: By input: ids, text (or ids), or any for ids of any kind.
        limits: The vocabulary size and the maximum length, by input.
    """
    if fields is None:
        raise Bad("no object")
    found = {}
    for name in ("in0", "in1"):
        if name in fields:
            found[name] = _object(fields[name], kinds[name], *limits[name][:2])
    if not found:
        raise Bad("no input")
    return found


def _object(value: Any, kind: str, size: int, max_len: int) -> Any:
    if kind == "any":
        return any_ids(value)
    items = value if isinstance(value, list) else [value]
    if kind == "text" and items and all(isinstance(item, str) for item in items):
        return value
    ids = token_ids(value, size, lowest=-1)
    return [id_ for id_ in ids if id_ != -1][:max_len]
