"""Parses blocks of JSON Lines into columns, if all of their lines are valid.

awkward's schema-checked reader parses a block of whole lines. Its offsets and content
are the row splits and values of a column. A block is rejected if awkward rejects it or
may misread it, or if it fails the vectorized checks after that. The caller then reads
it line by line.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Literal

import awkward as ak
import numpy as np
import numpy.typing as npt

from object2vec_tf.data.nearest_float32 import rounding_labels_once
from object2vec_tf.files.object_lines import (
    MAX_EXACT_FLOAT,
    WHITE_SPACE,
    count_objects,
)
from object2vec_tf.ragged.column import RaggedColumn

# awkward 2.14 overflows the stack at about ten times this depth.
_MAX_BRACKETS = 10_000


def _spellings(name: str) -> str:
    """Returns a pattern of a name in JSON, in which any character may be escaped."""
    return "".join(rf"(?:{char}|\\u(?i:{ord(char):04x}))" for char in name)


@functools.cache
def _starts(*fields: str) -> re.Pattern[bytes]:
    return re.compile(f'"(?:{"|".join(map(_spellings, fields))})("?)'.encode())


_INPUTS = ("in0", "in1")
_PAIR_FIELDS = ("label", "weight")
_IDS = {"type": "array", "items": {"type": "integer"}}
# The first value of an input is a number, rather than a list.
_SINGLE = {
    name: re.compile(rb'^[^\n]*?"%s"\s*:\s*[-0-9]' % name.encode()) for name in _INPUTS
}
# awkward reads this number as -1.
_WRAPPED_PADDING = b"18446744073709551615"
# awkward rounds twice: it reads 9007199254740991.0 as 9007199254740990. Below this
# number, its whole numbers are right.
_MAX_AWKWARD_FLOAT = 2**31
# A number with a fraction or an exponent, and 16 digits or more. Looking for one within
# a number would take quadratic time.
_LONG_FRACTION = re.compile(rb"(?<![0-9.])(?=[0-9.]{16})(?:[0-9]*+\.|[0-9]++[eE])")

# JSON schemas of the fields of an object, by name.
_Fields = Mapping[str, Any]

Numbers = npt.NDArray[Any]
# Token ids by field, labels, and weights if lines have them; None if a line may be
# invalid.
Parsed = tuple[dict[str, RaggedColumn], Numbers, Numbers | None] | None


def parse_block(
    text: bytes,
    vocab_sizes: Mapping[str, int | None],
    label: Literal["integer", "number"] | None = None,
    *,
    padded: bool = False,
) -> Parsed:
    """Returns the token ids by field, the labels and the weights of a block.

    Args:
        text: Whole lines, blank or with one object each.
        vocab_sizes: The fields to read, in0, in1 or both, with their vocabulary sizes;
            None for any integers of 0 or more, which stay int64. A block is rejected if
            one of its objects lacks a field, or has another one of in0 and in1.
        label: The type of the label; None does not read labels and weights, and returns
            no labels.
        padded: Whether -1 is dropped from objects, rather than being invalid.

    Returns:
        None if a line may be invalid, or if only some lines have a weight. Otherwise
        the token ids by field, the labels, and the weights, which are None if no line
        has one.
    """
    if b"\0" in text:  # awkward 2.14 silently stops reading there
        return None
    fields: dict[str, Any] = dict.fromkeys(vocab_sizes, _IDS)
    if label:
        fields["label"] = {"type": label}
    alternatives = [fields]
    if label:
        alternatives.append(fields | {"weight": {"type": "number"}})
    plain = _match_plain_lines(text, alternatives)
    count, found = plain or _match_lines(text, alternatives)
    if found is None:
        return None
    for form in _forms(text, found, vocab_sizes):
        array = _read(text, form, count)
        if array is not None:
            columns = _columns(
                array, vocab_sizes, form, label, text if padded else None
            )
            return columns and _rounded_once(columns, label, text)
    return None


def _rounded_once(
    parsed: tuple[dict[str, RaggedColumn], Numbers, Numbers | None],
    label: str | None,
    text: bytes,
) -> Parsed:
    """Returns the content of a block, with labels and weights of the right float32."""
    columns, labels, weights = parsed
    if label == "number":
        labels = rounding_labels_once(labels, "label", text)
    if weights is not None:
        weights = rounding_labels_once(weights, "weight", text)
    return columns, labels, weights


def whole_numbers(numbers: Numbers) -> Numbers | None:
    """Returns numbers as integers; None if one of them may not be an integer.

    Args:
        numbers: Integers, which are returned as they are, or finite floats.

    Example:
        >>> import numpy as np
        >>> whole_numbers(np.array([3.0, 4.0])), whole_numbers(np.array([2.5]))
        (array([3, 4]), None)
    """
    if numbers.dtype.kind != "f":
        return numbers
    if np.abs(numbers).max(initial=0) >= MAX_EXACT_FLOAT:
        return None
    integers = numbers.astype(np.int64)
    return integers if np.array_equal(integers, numbers) else None


def _forms(
    text: bytes, fields: _Fields, ids: Collection[str]
) -> Iterator[dict[str, Any]]:
    """Yields the JSON schemas with which to read a block, in order.

    Lists of integers come first. If awkward rejects that, which it does at the first
    line that is different, an input that is not a list in the block's first line is
    taken for single ids, and then numbers may be written as 3.0.
    """
    yield dict(fields)
    single = {name for name in ids if _SINGLE[name].search(text)}
    for kind in ("integer", "number"):
        number = {"type": kind}
        rows = {"type": "array", "items": number}
        form: dict[str, Any] = dict(fields)
        form |= {name: number if name in single else rows for name in ids}
        if kind == "number" and "label" in form:
            form["label"] = number
        if kind == "integer" and single:
            yield form
        # awkward may read such numbers as whole ones.
        if kind == "number" and not _LONG_FRACTION.search(text):
            yield form


def _read(text: bytes, form: _Fields, count: int) -> Any:
    """Returns the content of a block as awkward reads it; None if it rejects it."""
    try:
        array = ak.from_json(text, line_delimited=True, schema=_schema(form))
    except ValueError:
        return None
    return array if len(array) == count else None


def _columns(
    array: Any,
    vocab_sizes: Mapping[str, int | None],
    form: _Fields,
    label: str | None,
    padded_text: bytes | None,
) -> Parsed:
    """Returns the content of a block; None if a number is not valid."""
    record: Any = array.layout
    columns = {}
    for field, size in vocab_sizes.items():
        column = _column(record.content(field), size, padded_text)
        if column is None:
            return None
        columns[field] = column
    labels = np.asarray(record.content("label").data) if label else np.zeros(0)
    whole = whole_numbers(labels) if label == "integer" else labels
    if whole is None:
        return None
    weights = np.asarray(record.content("weight").data) if "weight" in form else None
    return columns, whole, weights


def _schema(fields: _Fields) -> dict[str, Any]:
    return {"type": "object", "properties": fields, "required": list(fields)}


def _match_plain_lines(
    text: bytes, alternatives: Sequence[_Fields]
) -> tuple[int, _Fields] | None:
    """Returns the number of objects and their fields if all lines are plain; else None.

    A plain line, the usual case, is not long, starts with a brace and contains no
    strings other than the names of the fields. The last line ends with a brace, too:
    awkward ignores what comes after it. Over all lines, each name occurs as
    often as there are lines. This takes a tenth of awkward's time; splitting lines and
    counting names would take as long as awkward.
    """
    data = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero(data == ord("\n"))
    if not text.endswith(b"\n"):
        ends = np.append(ends, len(data))
    starts = np.concatenate([[0], ends[:-1] + 1])
    is_long = np.max(ends - starts, initial=0) > _MAX_BRACKETS
    if not text or is_long or np.any(data[starts] != ord("{")):
        return None
    if not text[-_MAX_BRACKETS:].rstrip(WHITE_SPACE + b"\n").endswith(b"}"):
        return None
    quotes = np.flatnonzero(data == ord('"'))
    fields = next(
        (f for f in alternatives if len(quotes) == 2 * len(f) * len(starts)), None
    )
    if fields is None:
        return None
    opening, widths = quotes[::2], np.diff(quotes)[::2] - 1
    for name in fields:
        is_name = widths == len(name)
        for i, char in enumerate(name, start=1):
            is_name &= data.take(opening + i, mode="clip") == ord(char)
        if np.count_nonzero(is_name) != len(starts):
            return None
    return len(starts), fields


def _match_lines(
    text: bytes, alternatives: Sequence[_Fields]
) -> tuple[int, _Fields | None]:
    """Returns the number of objects and their fields; None if a line may be invalid."""
    count = count_objects(text)
    if count is None:
        return 0, None
    matching = (f for f in alternatives if _has_each_once(text, count, f))
    return count, next(matching, None)


def _has_each_once(text: bytes, objects: int, fields: _Fields) -> bool:
    """Returns whether objects that have all fields have no duplicates or other inputs.

    awkward 2.14 uses the first of duplicate keys, and accepts a key that only starts
    with a field's name as the field. Counting occurrences in the whole block is fast.
    """
    names = _INPUTS + (_PAIR_FIELDS if "label" in fields else ())
    if b"\\u00" in text:
        ends = _starts(*names).findall(text)
        return len(ends) == len(fields) * objects and all(ends)
    return all(
        text.count(f'"{name}'.encode())
        == text.count(f'"{name}"'.encode())
        == (objects if name in fields else 0)
        for name in names
    )


def _column(
    layout: Any, vocab_size: int | None, padded_text: bytes | None
) -> RaggedColumn | None:
    """Returns the token ids of one field; None if an id is negative or too large.

    awkward wraps ids from 2**63 to 2**64 - 1 around to negative ones.

    Args:
        layout: The field.
        vocab_size: As for `parse_block`.
        padded_text: The block, if -1 is dropped.
    """
    if layout.is_list:
        lists = layout.to_ListOffsetArray64(True)
        splits = np.asarray(lists.offsets.data)
        numbers = np.asarray(lists.content.data)
    else:
        numbers = np.asarray(layout.data)
        splits = np.arange(len(layout) + 1)
    values = whole_numbers(numbers)
    if numbers.dtype.kind == "f" and numbers.max(initial=0) >= _MAX_AWKWARD_FLOAT:
        return None
    lowest = 0 if values is None else values.min(initial=0)
    if values is None or lowest < -1:
        return None
    if lowest < 0 and (padded_text is None or _WRAPPED_PADDING in padded_text):
        return None
    if vocab_size is not None:
        if len(values) and values.max() >= vocab_size:
            return None
        values = values.astype(np.int32)
    column = RaggedColumn(values, splits)
    return column.where(values >= 0) if lowest < 0 else column
