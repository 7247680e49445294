"""JSON objects that carry their own checksum, and typed reading of JSON objects."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import xxhash

from object2vec_tf.errors import UserError

# The last key of a sealed object: the XXH3 (128 bits) of all other keys and values.
SEAL = "xxh3_128"


def seal(record: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a JSON object with its checksum as the last entry.

    Args:
        record: The object. An earlier checksum is replaced.

    Example:
        >>> from object2vec_tf.files.sealed_json import seal
        >>> list(seal({"epoch": 3}))
        ['epoch', 'xxh3_128']
    """
    content = {key: value for key, value in record.items() if key != SEAL}
    return {**content, SEAL: _checksum(content)}


def sealed_text(record: Mapping[str, Any]) -> str:
    """Returns the text of a JSON object with its checksum, to be written to a file."""
    return json.dumps(seal(record), indent=2) + "\n"


def read_sealed(
    path: Path,
    fix: str,
    *,
    required: Collection[str] = (),
    is_sealed: bool = False,
    error_class: type[UserError] = UserError,
) -> dict[str, Any]:
    """Reads a JSON object and verifies its checksum, if it has one.

    Files that older versions wrote have none.

    Args:
        path: The file.
        fix: The sentence that says what to do if the file is damaged.
        required: Keys that the object must have.
        is_sealed: Whether an object without a checksum is damaged.
        error_class: The class of the errors.

    Returns:
        The object, without its checksum.

    Raises:
        UserError: The file cannot be read or is damaged.

    Example:
        >>> import pathlib
        >>> from object2vec_tf.files.sealed_json import read_sealed, sealed_text
        >>> path = pathlib.Path("state.json")
        >>> _ = path.write_text(sealed_text({"epoch": 3}).replace("3,", "7,"))
        >>> read_sealed(path, "Copy it again.")
        Traceback (most recent call last):
            ...
        object2vec_tf.errors.UserError: state.json: is damaged: its checksum differs \
from its content. Copy it again.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise error_class(f"{path}: cannot be read: {error.strerror}. {fix}") from error
    return parse_sealed(
        data,
        f"{path}",
        fix,
        required=required,
        is_sealed=is_sealed,
        error_class=error_class,
    )


def parse_sealed(
    data: bytes | str,
    name: str,
    fix: str,
    *,
    required: Collection[str] = (),
    is_sealed: bool = False,
    error_class: type[UserError] = UserError,
) -> dict[str, Any]:
    """Parses a JSON object and verifies its checksum; see `read_sealed`.

    Args:
        data: The text, as UTF-8 if it is bytes.
        name: The name of the file, for messages.
        fix: The sentence that says what to do if the object is damaged.
        required: Keys that the object must have.
        is_sealed: Whether an object without a checksum is damaged.
        error_class: The class of the errors.

    Raises:
        UserError: The object is damaged.
    """
    try:
        record = parse_object(data)
        _verify_seal(record, is_sealed)
        record.pop(SEAL, None)
        missing = [key for key in required if key not in record]
        if missing:
            raise ValueError(f"the JSON object has no {', '.join(missing)}")
    except (ValueError, RecursionError) as error:
        raise error_class(f"{name}: is damaged: {error}. {fix}") from error
    return record


def parse_object(data: bytes | str) -> dict[str, Any]:
    """Parses a JSON object.

    Args:
        data: The text, as UTF-8 if it is bytes.

    Raises:
        ValueError: It is not UTF-8, not JSON or not an object; the message says which.
        RecursionError: It is nested too deeply.
    """
    if isinstance(data, bytes):
        try:
            data = data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(
                f"expected UTF-8, got byte {data[error.start]:#04x} at position "
                f"{error.start}"
            ) from error
    try:
        record = json.loads(data)
    except ValueError as error:
        raise ValueError(f"expected a JSON object: {error}") from error
    if not isinstance(record, dict):
        raise ValueError(f"expected a JSON object, got {record!r:.40}")
    return record


def _verify_seal(record: Mapping[str, Any], is_sealed: bool) -> None:
    """Checks the checksum of an object.

    Raises:
        ValueError: It differs from the content, or there is none and there must be one.
    """
    if SEAL in record:
        content = {key: value for key, value in record.items() if key != SEAL}
        if record[SEAL] != _checksum(content):
            raise ValueError("its checksum differs from its content")
        return
    # The last entry is the checksum, and only its key is damaged.
    rest, last = list(record.items())[:-1], list(record.values())[-1:]
    if is_sealed or last == [_checksum(dict(rest))]:
        raise ValueError("its checksum is missing")


def _checksum(content: Mapping[str, Any]) -> str:
    # As read from a file: keys are strings, tuples are lists.
    content = json.loads(json.dumps(content))
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return xxhash.xxh3_128_hexdigest(canonical.encode())
