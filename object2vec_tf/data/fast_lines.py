"""Blocks of JSON Lines to columns at once, or not at all.

awkward's schema-checked reader takes a block of whole lines; its offsets and content
are the row splits and values we need. What it refuses or would misread, and whatever
fails the vectorised checks behind it, is for the caller to read line by line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import awkward as ak
import numpy as np
import numpy.typing as npt

from object2vec_tf.data.columns import RaggedColumn

# awkward 2.14 overflows the stack at some ten times as many.
_MOST_BRACKETS = 10_000


def _spellings(name: str) -> str:
    """Returns a pattern of a name in JSON, any of its characters escaped."""
    return "".join(rf"(?:{char}|\\u(?i:{ord(char):04x}))" for char in name)


def _starts(*fields: str) -> re.Pattern[bytes]:
    return re.compile(f'"(?:{"|".join(map(_spellings, fields))})("?)'.encode())


_INPUTS = ("in0", "in1")
_INPUT_STARTS = _starts(*_INPUTS)
_FIELD_STARTS = _starts(*_INPUTS, "label")


# Token ids by field, and labels; None when in doubt.
Parsed = tuple[dict[str, RaggedColumn], npt.NDArray[Any]] | None


def read_columns(
    text: bytes,
    vocab_sizes: Mapping[str, int],
    label: Literal["integer", "number"] | None = None,
) -> Parsed:
    """Returns a block's token ids by field, and its labels; None when in doubt.

    Args:
        text: Whole lines, with an object in each that is not blank.
        vocab_sizes: The fields to read, in0, in1 or both, with their number of ids.
            An object that lacks one of them, or has the other, is in doubt.
        label: What the label is; without it labels are not looked at, and none given.
    """
    if b"\0" in text:  # awkward 2.14 stops there, silently
        return None
    names = [*vocab_sizes, "label"] if label else list(vocab_sizes)
    count = _plain_objects(text, names)
    plain = count is not None
    if not plain:
        count = _objects(text)
    if count is None:
        return None
    try:
        array = ak.from_json(
            text, line_delimited=True, schema=_schema(vocab_sizes, label)
        )
    except ValueError:
        return None
    if len(array) != count:
        return None
    if not plain and not _has_fields_once(
        text, count, list(vocab_sizes), with_label=label is not None
    ):
        return None
    record: Any = array.layout
    columns = {}
    for field, size in vocab_sizes.items():
        column = _column(record.content(field), size)
        if column is None:
            return None
        columns[field] = column
    labels = np.asarray(record.content("label").data) if label else np.zeros(0)
    return columns, labels


def _schema(vocab_sizes: Mapping[str, int], label: str | None) -> dict[str, Any]:
    ids = {"type": "array", "items": {"type": "integer"}}
    properties: dict[str, Any] = dict.fromkeys(vocab_sizes, ids)
    if label:
        properties["label"] = {"type": label}
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
    }


def _plain_objects(text: bytes, names: Sequence[str]) -> int | None:
    """Returns the number of objects where all are plain, the usual case; else None.

    Plain is a line that is not long, starts with a brace and holds, of strings, the
    names alone; over all lines, each name as often as there are lines. Takes a tenth of
    awkward's time, where splitting lines and counting names takes as long as that.
    """
    data = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero(data == ord("\n"))
    if not text.endswith(b"\n"):
        ends = np.append(ends, len(data))
    starts = np.concatenate([[0], ends[:-1] + 1])
    long = np.max(ends - starts, initial=0) > _MOST_BRACKETS
    if not text or long or np.any(data[starts] != ord("{")):
        return None
    quotes = np.flatnonzero(data == ord('"'))
    if len(quotes) != 2 * len(names) * len(starts):
        return None
    opening, widths = quotes[::2], np.diff(quotes)[::2] - 1
    for name in names:
        found = widths == len(name)
        for i, char in enumerate(name, start=1):
            found &= data.take(opening + i, mode="clip") == ord(char)
        if np.count_nonzero(found) != len(starts):
            return None
    return len(starts)


def _objects(text: bytes) -> int | None:
    """Returns the number of lines that are not blank, None when one may be no object.

    A line that may be nested dangerously deep is none either.
    """
    lines = [line for line in map(bytes.strip, text.split(b"\n")) if line]
    if not all(line.startswith(b"{") for line in lines) or _may_be_deep(lines):
        return None
    return len(lines)


def _may_be_deep(lines: list[bytes]) -> bool:
    """Whether a line has brackets enough to be nested dangerously deep."""
    if max(map(len, lines), default=0) <= _MOST_BRACKETS:
        return False
    return any(line.count(b"[") + line.count(b"{") > _MOST_BRACKETS for line in lines)


def _has_fields_once(
    text: bytes, objects: int, inputs: list[str], *, with_label: bool
) -> bool:
    """Whether each of the objects, which have all fields, has no other of ours.

    Of several awkward 2.14 takes the first, and takes a key that only starts with a
    field's name for the field. Counting is the fast answer.
    """
    if b"\\u00" in text:
        ends = (_FIELD_STARTS if with_label else _INPUT_STARTS).findall(text)
        return len(ends) == (len(inputs) + with_label) * objects and all(ends)
    counts = {name: objects if name in inputs else 0 for name in _INPUTS}
    if with_label:
        counts["label"] = objects
    return all(
        text.count(f'"{name}'.encode()) == text.count(f'"{name}"'.encode()) == count
        for name, count in counts.items()
    )


def _column(layout: Any, size: int) -> RaggedColumn | None:
    """Returns the ids of one field, or None when one is negative or too large.

    awkward wraps ids from 2**63 to 2**64 - 1 around to negative ones.
    """
    lists = layout.to_ListOffsetArray64(True)
    values = np.asarray(lists.content.data)
    if len(values) and not 0 <= values.min() <= values.max() < size:
        return None
    return RaggedColumn(values.astype(np.int32), np.asarray(lists.offsets.data))
