"""What is wrong with one line of a channel, said so that it can be mended.

The fast reader only says that a block of lines is not right. Its lines come here, one
by one, and the first that breaks a rule is told by field, position and value.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from object2vec_tf.hyperparameters import Hyperparameters

_SHOWN = 60
# Sums of such weights over all pairs are exact enough, and finite, as float32.
MOST_WEIGHT = 1_000_000
# From here on float32 rounds to infinity.
_INFINITE = 2**128 - 2**103


def diagnose_line(line: bytes, hyperparameters: Hyperparameters) -> str | None:
    """Returns what is wrong with a line of training data, or None.

    Args:
        line: One line, without its line end.
        hyperparameters: The model's vocabulary sizes, output layer and classes.

    Returns:
        For example ``in1[3] is 1684, not below enc1_vocab_size=1684; ...``.
    """
    if line.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "starts with a UTF-16 byte order mark; convert the file to UTF-8"
    if b"\0" in line:
        return "holds a NUL byte; the file is damaged or is not UTF-8 text"
    try:
        return _problem(line, hyperparameters)
    except RecursionError:
        return "is nested too deeply to be read; mend or remove the line"


def _problem(line: bytes, hyperparameters: Hyperparameters) -> str | None:
    try:
        pair = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return _lenient_problem(line, hyperparameters) or _malformed(line, error)
    if not isinstance(pair, dict):
        return (
            f"is {_kind(pair)}, expected one object a line such as "
            '{"in0": [1], "in1": [2], "label": 1}; write JSON Lines, not a JSON array'
        )
    return _pair_problem(pair, hyperparameters)


def _pair_problem(pair: dict[str, Any], hyperparameters: Hyperparameters) -> str | None:
    return (
        _label_problem(pair, hyperparameters)
        or _weight_problem(pair)
        or _side_problem(pair, 0, hyperparameters)
        or _side_problem(pair, 1, hyperparameters)
    )


def _side_problem(
    pair: dict[str, Any], encoder: int, hyperparameters: Hyperparameters
) -> str | None:
    field = f"in{encoder}"
    if field in hyperparameters.texts:
        return _text_problem(pair, field, f"enc{encoder}_tokenizer")
    limit = f"enc{encoder}_vocab_size"
    return _ids_problem(pair, field, limit, getattr(hyperparameters, limit))


def _text_problem(pair: dict[str, Any], field: str, setting: str) -> str | None:
    expected = "text: a string, or a list of strings"
    if field not in pair:
        return f"field {field} is missing; give {expected} (it may be empty)"
    value = pair[field]
    for_ids = f"; leave {setting} out if {field} holds token ids"
    if isinstance(value, list):
        for position, item in enumerate(value):
            if not isinstance(item, str):
                place = f"{field}[{position}] is {_shown(item)}"
                return f"{place}, expected a string{for_ids}"
    elif not isinstance(value, str):
        return f"{field} is {_shown(value)}, expected {expected}{for_ids}"
    return None


def _lenient_problem(line: bytes, hyperparameters: Hyperparameters) -> str | None:
    """Tells of what Python's own reader lets pass: NaN, 1e400, half a character."""
    try:
        pair = json.loads(line)
    except ValueError:
        return None
    if not isinstance(pair, dict):
        return None
    return _pair_problem(pair, hyperparameters) or _surrogate_problem(pair)


def _surrogate_problem(pair: dict[str, Any]) -> str | None:
    try:
        json.dumps(pair, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = ord(error.object[error.start])
        return (
            f"holds \\u{half:04x} alone, which is half of a UTF-16 surrogate pair; "
            "write both halves, or remove it"
        )
    return None


def _malformed(line: bytes, error: Exception) -> str:
    text = line.strip()
    if text.startswith(b"{") and not text.endswith((b"}", b"},")):
        return (
            f"ends in the middle of an object ({_tail(text)}); write each object on "
            "one line, or fetch the file again if it is truncated"
        )
    if text.startswith(b"["):
        return "is a JSON array; write JSON Lines, one object a line"
    return f"is not JSON: {error} ({_head(text)}); mend or remove the line"


def _label_problem(pair: dict[str, Any], hp: Hyperparameters) -> str | None:
    softmax = hp.output_layer == "softmax"
    wanted = (
        f"an integer class in [0, num_classes={hp.num_classes})"
        if softmax
        else "a finite number"
    )
    if "label" not in pair:
        return f"field label is missing; every pair needs {wanted}"
    label = pair["label"]
    if softmax:
        valid = _is_integer(label) and 0 <= label < hp.num_classes
    else:
        valid = _is_finite(label)
    return None if valid else f"label is {_shown(label)}, expected {wanted}"


def _weight_problem(pair: dict[str, Any]) -> str | None:
    weight = pair.get("weight", 1)
    if _is_finite(weight) and 0 <= weight <= MOST_WEIGHT:
        return None
    return (
        f"weight is {_shown(weight)}, expected a number in 0..{MOST_WEIGHT:g}: a pair "
        "counts so many times; rename the field if it is something else"
    )


def _ids_problem(pair: dict[str, Any], field: str, limit: str, size: int) -> str | None:
    if field not in pair:
        return f"field {field} is missing; give a list of token ids (it may be empty)"
    ids = pair[field]
    side = f"enc{field[-1]}"
    for_text = f"; give {side}_tokenizer and {side}_vocab_file to read text"
    if not isinstance(ids, list):
        hint = for_text if isinstance(ids, str) else ""
        return f"{field} is {_shown(ids)}, expected a list of integer token ids{hint}"
    for position, token in enumerate(ids):
        place = f"{field}[{position}] is {_shown(token)}"
        if not _is_integer(token):
            hint = for_text if isinstance(token, str) else ""
            return f"{place}, expected an integer token id{hint}"
        if token < 0:
            return f"{place}, expected a token id of 0 or more"
        if token >= size:
            return f"{place}, not below {limit}={size}; mend the id or raise {limit}"
    return None


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_finite(value: Any) -> bool:
    """Whether a value is a number, and finite as float32."""
    is_number = _is_integer(value) or isinstance(value, float)
    return is_number and bool(abs(value) < _INFINITE)


def _kind(value: object) -> str:
    kinds = {list: "a JSON array", str: "a string", bool: "a boolean"}
    return "null" if value is None else kinds.get(type(value), "a number")


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def _head(text: bytes) -> str:
    return text[:_SHOWN].decode("utf-8", "replace") + ("..." if text[_SHOWN:] else "")


def _tail(text: bytes) -> str:
    return "..." + text[-_SHOWN // 3 :].decode("utf-8", "replace")
