"""Blocks of JSON Lines to columns at once, or not at all.

awkward's schema-checked reader takes a block of whole lines; its offsets and content
are the row splits and values we need. What it refuses or would misread, and whatever
fails the vectorised checks behind it, is for the caller to read line by line.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import awkward as ak
import numpy as np
import numpy.typing as npt

from object2vec_tf.ragged.column import RaggedColumn

# awkward 2.14 overflows the stack at some ten times as many.
_MOST_BRACKETS = 10_000


def _spellings(name: str) -> str:
    """Returns a pattern of a name in JSON, any of its characters escaped."""
    return "".join(rf"(?:{char}|\\u(?i:{ord(char):04x}))" for char in name)


@functools.cache
def _starts(*fields: str) -> re.Pattern[bytes]:
    return re.compile(f'"(?:{"|".join(map(_spellings, fields))})("?)'.encode())


_INPUTS = ("in0", "in1")
_OF_PAIRS = ("label", "weight")
_IDS = {"type": "array", "items": {"type": "integer"}}


# A schema of each field that an object may have.
_Form = Mapping[str, Any]

Numbers = npt.NDArray[Any]
# Token ids by field, labels, and weights where lines have them; None when in doubt.
Parsed = tuple[dict[str, RaggedColumn], Numbers, Numbers | None] | None


def parse_block(
    text: bytes,
    vocab_sizes: Mapping[str, int],
    label: Literal["integer", "number"] | None = None,
) -> Parsed:
    """Returns a block's token ids by field, labels and weights; None when in doubt.

    Weights are None where no line has one; where some have, it is in doubt.

    Args:
        text: Whole lines, with an object in each that is not blank.
        vocab_sizes: The fields to read, in0, in1 or both, with their number of ids.
            An object that lacks one of them, or has the other, is in doubt.
        label: What the label is; without it labels and weights are not looked at, and
            none given.
    """
    if b"\0" in text:  # awkward 2.14 stops there, silently
        return None
    fields: dict[str, Any] = dict.fromkeys(vocab_sizes, _IDS)
    if label:
        fields["label"] = {"type": label}
    forms = [fields]
    if label:
        forms.append(fields | {"weight": {"type": "number"}})
    count, form = _plain_objects(text, forms) or _other_objects(text, forms)
    if form is None:
        return None
    try:
        array = ak.from_json(text, line_delimited=True, schema=_schema(form))
    except ValueError:
        return None
    if len(array) != count:
        return None
    record: Any = array.layout
    columns = {}
    for field, size in vocab_sizes.items():
        column = _column(record.content(field), size)
        if column is None:
            return None
        columns[field] = column
    labels = np.asarray(record.content("label").data) if label else np.zeros(0)
    weights = np.asarray(record.content("weight").data) if "weight" in form else None
    return columns, labels, weights


def _schema(form: _Form) -> dict[str, Any]:
    return {"type": "object", "properties": form, "required": list(form)}


def _plain_objects(text: bytes, forms: Sequence[_Form]) -> tuple[int, _Form] | None:
    """Returns the number of objects and their form where all are plain; else None.

    Plain, the usual case, is a line that is not long, starts with a brace and holds, of
    strings, a form's names alone; over all lines, each name as often as there are
    lines. Takes a tenth of awkward's time, where splitting lines and counting names
    takes as long as that.
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
    form = next((f for f in forms if len(quotes) == 2 * len(f) * len(starts)), None)
    if form is None:
        return None
    opening, widths = quotes[::2], np.diff(quotes)[::2] - 1
    for name in form:
        found = widths == len(name)
        for i, char in enumerate(name, start=1):
            found &= data.take(opening + i, mode="clip") == ord(char)
        if np.count_nonzero(found) != len(starts):
            return None
    return len(starts), form


def _other_objects(text: bytes, forms: Sequence[_Form]) -> tuple[int, _Form | None]:
    """Returns the number of objects and their form, None when in doubt."""
    count = _objects(text)
    if count is None:
        return 0, None
    return count, next((form for form in forms if _has_once(text, count, form)), None)


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


def _has_once(text: bytes, objects: int, form: _Form) -> bool:
    """Whether each of the objects, where it has all of a form, has no other of ours.

    Of several awkward 2.14 takes the first, and takes a key that only starts with a
    field's name for the field. Counting is the fast answer.
    """
    names = _INPUTS + (_OF_PAIRS if "label" in form else ())
    if b"\\u00" in text:
        ends = _starts(*names).findall(text)
        return len(ends) == len(form) * objects and all(ends)
    return all(
        text.count(f'"{name}'.encode())
        == text.count(f'"{name}"'.encode())
        == (objects if name in form else 0)
        for name in names
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
