"""JSON Lines of items and queries: their embeddings, read or computed by a model."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from object2vec_tf.data.nearest_float32 import rounding_once
from object2vec_tf.errors import DataError, UserError
from object2vec_tf.files.line_blocks import open_line_blocks
from object2vec_tf.files.object_lines import (
    LineError,
    decode_object,
    decode_value,
    numbered_lines,
)
from object2vec_tf.inference.parquet_inputs import read_split
from object2vec_tf.inference.predictor import Predictor
from object2vec_tf.inference.ragged_inputs import RaggedInputs
from object2vec_tf.metrics.ranking import Vectors

# The key of embeddings in the output of transform, which can be the input of a search.
EMBEDDINGS = "embeddings"
_BLOCK_BYTES = 1 << 20
_MAX_SHOWN_CHARACTERS = 60
# Python converts no longer text to integers.
_MAX_DIGITS = 4300


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yields the line number, from 1, and the text of each line that is not blank."""
    line = 1
    with open_line_blocks(path, _BLOCK_BYTES) as blocks:
        for text in blocks:
            yield from numbered_lines(text, line)
            line += text.count(b"\n")


def parse_item(text: bytes) -> dict[str, Any]:
    r"""Returns the JSON object in a valid line, without its embedding.

    Numbers that Python cannot write as JSON become strings: those too large for a float
    or of more than 4,300 digits.

    Example:
        >>> parse_item(b'{"in1": [3], "embeddings": [0.5], "price": 1e400}')
        {'in1': [3], 'price': '1e400'}
    """
    item: dict[str, Any] = json.loads(text, parse_float=_float, parse_int=_integer)
    item.pop(EMBEDDINGS, None)
    return item


def _float(text: str) -> float | str:
    number = float(text)
    return number if math.isfinite(number) else text


def _integer(text: str) -> int | str:
    return int(text) if len(text) <= _MAX_DIGITS else text


def has_embeddings(path: Path) -> bool:
    """Whether the first line of a file has an embedding, instead of in0 or in1.

    Raises:
        DataError: The file is empty, or the line is not a JSON object.
    """
    for number, text in read_lines(path):
        return EMBEDDINGS in parse_object(path, number, text)
    raise DataError(
        f'{path}: expected lines such as {{"in1": [172]}} or '
        f'{{"{EMBEDDINGS}": [0.1, -0.2]}}, got an empty file.'
    )


def read_embeddings(path: Path, rows: int = 4096) -> Iterator[Vectors]:
    """Yields the embeddings in a file, float32 ``[rows, dim]``.

    Args:
        path: JSON Lines of ``{"embeddings": [...]}``, such as the output of transform.
        rows: The number of embeddings per block. The last block may have fewer.

    Raises:
        DataError: A line has no embedding, one with another number of values than the
            lines before, or one with a value that is not a finite number.
    """
    block: list[Vectors] = []
    width = 0
    for number, text in read_lines(path):
        values = parse_object(path, number, text).get(EMBEDDINGS)
        vector = None if values is None else _to_vector(values)
        if vector is None:
            got = "none" if values is None else _shorten(bytes(values))
            raise DataError(
                f"{path}:{number}: {EMBEDDINGS}: expected a list of finite numbers, "
                f"got {got}."
            )
        width = width or len(vector)
        if len(vector) != width:
            raise DataError(
                f"{path}:{number}: {EMBEDDINGS}: expected {width} values, as in the "
                f"lines before, got {len(vector)}."
            )
        block.append(vector)
        if len(block) == rows:
            yield np.stack(block)
            block = []
    if block:
        yield np.stack(block)


def embed_file(path: Path, model: Predictor) -> Iterator[Vectors]:
    """Yields the embeddings of the objects in a file, float32 ``[rows, enc_dim]``.

    Args:
        path: JSON Lines with in0 or in1.
        model: The model.

    Raises:
        DataError: A line is wrong.
        UserError: The lines are pairs.
    """
    for objects in read_split(path, model):
        check_one_side(objects, path)
        yield model(objects)


def check_one_side(objects: RaggedInputs, path: Path) -> None:
    """Checks that the objects of a file are not pairs.

    Raises:
        UserError: They are.
    """
    if len(objects.columns) > 1:
        raise UserError(
            f"{path}: expected in0 or in1 in each line, got both. Remove the one that "
            "is not searched."
        )


def parse_object(path: Path, number: int, text: bytes) -> dict[str, msgspec.Raw]:
    """Returns the values of the JSON object in a line, as they are written.

    Args:
        path: The file, for messages.
        number: The number of the line, for messages.
        text: The line.

    Raises:
        DataError: The line is not exactly one JSON object.
    """
    try:
        return decode_object(text)
    except LineError as error:
        raise DataError(f"{path}:{number}: {error}") from error


def _to_vector(raw: msgspec.Raw) -> Vectors | None:
    """Returns float32 ``[dim]``; None if a value is not a list of finite numbers."""
    values = decode_value(raw)
    if not isinstance(values, list) or not values:
        return None
    if not all(type(value) in (int, float) for value in values):
        return None
    try:
        numbers = np.array(values, np.float64)
    except OverflowError:
        return None

    def text_of(position: int) -> bytes:
        return bytes(msgspec.json.decode(raw, type=list[msgspec.Raw])[position])

    with np.errstate(over="ignore"):
        vector = rounding_once(numbers, text_of).astype(np.float32)
    return vector if np.isfinite(vector).all() else None


def _shorten(text: bytes) -> str:
    shown = text.decode()
    if len(shown) <= _MAX_SHOWN_CHARACTERS:
        return shown
    return shown[: _MAX_SHOWN_CHARACTERS - 3] + "..."
