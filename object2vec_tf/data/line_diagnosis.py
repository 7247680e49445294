"""Explains what is wrong with one line of a channel.

The fast parsers only report that a block has an invalid line. This module looks at one
line at a time, and names the field, position and value of its first problem.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from object2vec_tf.data.nearest_float32 import round_once
from object2vec_tf.data.pair_schema import PairSchema
from object2vec_tf.files.object_lines import (
    MAX_EXACT_FLOAT,
    LineError,
    decode_object,
    decode_value,
)
from object2vec_tf.hyperparameters import MAX_VOCAB_SIZE

# The fields of a pair. Other fields are ignored.
FIELDS = ("in0", "in1", "label", "weight")
_MAX_SHOWN_CHARACTERS = 60
# Sums of such weights over all pairs are finite and precise enough as float32.
MAX_WEIGHT = 1_000_000
# float32 rounds this and larger numbers to infinity.
_FLOAT32_INFINITY = 2**128 - 2**103


def decode_pair(line: bytes) -> dict[str, Any]:
    """Returns the fields of a pair that a line has.

    Other fields are skipped as in the fast parsers, which do not look at their values.
    The float32 of a label and of a weight is the nearest one of its text.

    Raises:
        LineError: The line is not exactly one object.

    Example:
        >>> decode_pair(b'{"label": 1, "x": 1e400, "in1": [2.0]}')
        {'in1': [2.0], 'label': 1}
    """
    fields = decode_object(line)
    pair = {name: decode_value(fields[name]) for name in FIELDS if name in fields}
    for name in ("label", "weight"):
        if type(pair.get(name)) in (int, float):
            text = bytes(fields[name])
            if (number := round_once(text)) != float(text):
                pair[name] = number
    return pair


def checked_pair(line: bytes, schema: PairSchema) -> dict[str, Any]:
    """Returns the fields of a pair that a line has.

    Args:
        line: One line that is not blank, without its line end.
        schema: The schema of the pairs.

    Raises:
        LineError: The line is not a valid pair. For example ``in1[3]: expected an id
            below 1684, got 1684. ...``.
    """
    try:
        pair = decode_pair(line)
    except LineError as error:
        problem = _lenient_problem(line, schema) if error.objects == 1 else None
        raise LineError(problem or str(error), error.objects) from None
    if problem := pair_problem(pair, schema):
        raise LineError(problem)
    return pair


def pair_problem(pair: Mapping[str, Any], schema: PairSchema) -> str | None:
    """Returns the problem of a pair, or None if it is valid.

    Args:
        pair: The fields of a line of JSON, or of a row with such values.
        schema: The schema of the pairs.
    """
    return (
        _label_problem(pair, schema)
        or _weight_problem(pair)
        or _input_problem(pair, 0, schema)
        or _input_problem(pair, 1, schema)
    )


def _input_problem(
    pair: Mapping[str, Any], encoder: int, schema: PairSchema
) -> str | None:
    tokenization = schema.tokenizations[encoder]
    if tokenization is not None:
        return (_item_problem if tokenization.is_id else _text_problem)(pair, encoder)
    return _ids_problem(pair, encoder, schema.vocab_sizes[encoder])


def _text_problem(pair: Mapping[str, Any], encoder: int) -> str | None:
    field = f"in{encoder}"
    expected = "text: a string, or a list of strings"
    if field not in pair:
        return f"{field} is missing. Give {expected}; it may be empty."
    value = pair[field]
    advice = f"Leave enc{encoder}_tokenizer out if {field} contains token ids."
    if isinstance(value, list):
        for position, item in enumerate(value):
            if not isinstance(item, str):
                got = _shown(item)
                return f"{field}[{position}]: expected a string, got {got}. {advice}"
    elif not isinstance(value, str):
        return f"{field}: expected {expected}, got {_shown(value)}. {advice}"
    return None


def _item_problem(pair: Mapping[str, Any], encoder: int) -> str | None:
    """Returns the problem of ids of any kind."""
    field = f"in{encoder}"
    expected = "a list of ids, integers or strings, or a single id"
    if field not in pair:
        return f"{field} is missing. Give {expected}; the list may be empty."
    value = pair[field]
    if not isinstance(value, list):
        if isinstance(value, str) or _is_exact(value):
            return None
        return f"{field}: expected {expected}, got {_shown(value)}."
    for position, item in enumerate(value):
        if not (isinstance(item, str) or _is_exact(item)):
            return (
                f"{field}[{position}]: expected an integer or a string as an id, got "
                f"{_shown(item)}. Write it as a string if it is an id."
            )
    return None


def _lenient_problem(line: bytes, schema: PairSchema) -> str | None:
    """Explains what only Python's parser accepts: NaN, 1e400, lone surrogates."""
    try:
        pair = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(pair, dict):
        return None
    return pair_problem(pair, schema) or surrogate_problem(pair)


def surrogate_problem(pair: Mapping[str, Any]) -> str | None:
    """Returns the problem of a pair whose text cannot be written as UTF-8."""
    try:
        json.dumps(pair, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError as error:
        half = ord(error.object[error.start])
        return (
            f"contains \\u{half:04x} alone, which is half of a UTF-16 surrogate pair. "
            "Write both halves, or remove it."
        )
    return None


def _label_problem(pair: Mapping[str, Any], schema: PairSchema) -> str | None:
    num_classes = schema.num_classes
    expected = (
        "a finite number"
        if num_classes is None
        else f"an integer class in [0, num_classes={num_classes})"
    )
    if "label" not in pair:
        return f"label is missing. Give every pair {expected}."
    label = pair["label"]
    if num_classes is None:
        is_valid = _is_finite(label)
    else:
        is_valid = _is_whole(label) and 0 <= label < num_classes
    return None if is_valid else f"label: expected {expected}, got {_shown(label)}."


def _weight_problem(pair: Mapping[str, Any]) -> str | None:
    weight = pair.get("weight", 1)
    if _is_finite(weight) and 0 <= weight <= MAX_WEIGHT:
        return None
    return (
        f"weight: expected a number in 0..{MAX_WEIGHT:g}, got {_shown(weight)}. It is "
        "how many times a pair counts. Rename the field if it is something else."
    )


def _ids_problem(pair: Mapping[str, Any], encoder: int, vocab_size: int) -> str | None:
    field = f"in{encoder}"
    if field not in pair:
        return f"{field} is missing. Give a list of token ids; it may be empty."
    ids = pair[field]
    for_text = (
        f" Set enc{encoder}_tokenizer (id for ids of any kind) and "
        f"enc{encoder}_vocab_file to read strings."
    )
    if isinstance(ids, list):
        for position, token in enumerate(ids):
            place = f"{field}[{position}]"
            if not _is_whole(token):
                advice = for_text if isinstance(token, str) else ""
                got = _shown(token)
                return f"{place}: expected an integer token id, got {got}.{advice}"
            if problem := _range_problem(token, place, vocab_size, encoder):
                return problem
        return None
    if _is_whole(ids):
        return _range_problem(ids, field, vocab_size, encoder)
    advice = for_text if isinstance(ids, str) else ""
    got = _shown(ids)
    return f"{field}: expected a list of integer token ids, got {got}.{advice}"


def _range_problem(
    token: float, place: str, vocab_size: int, encoder: int
) -> str | None:
    if 0 <= token < vocab_size:
        return None
    got = _shown(token)
    if token < 0:
        return f"{place}: expected a token id of 0 or more, got {got}."
    advice = (
        f"Fix the id or raise enc{encoder}_vocab_size."
        if token < MAX_VOCAB_SIZE
        else f"Set enc{encoder}_tokenizer=id and enc{encoder}_vocab_file to "
        "read ids of any size."
    )
    return f"{place}: expected an id below {vocab_size}, got {got}. {advice}"


def _is_whole(value: Any) -> bool:
    """Returns whether a value is a whole number, which may be written as 3.0."""
    return _is_integer(value) or (isinstance(value, float) and value.is_integer())


def _is_exact(value: Any) -> bool:
    """Returns whether a value is an integer, or a float that is exactly one."""
    return _is_integer(value) or (
        isinstance(value, float) and value.is_integer() and abs(value) < MAX_EXACT_FLOAT
    )


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_finite(value: Any) -> bool:
    """Returns whether a value is a number that is finite as float32."""
    is_number = _is_integer(value) or isinstance(value, float)
    return is_number and bool(abs(value) < _FLOAT32_INFINITY)


def _shown(value: object) -> str:
    text = json.dumps(value, default=str)
    if len(text) <= _MAX_SHOWN_CHARACTERS:
        return text
    return text[:_MAX_SHOWN_CHARACTERS] + "..."
