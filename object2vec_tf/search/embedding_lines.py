"""JSON Lines of items and queries: their embeddings, read or computed by a model."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from object2vec_tf.errors import DataError, UserError
from object2vec_tf.files.line_blocks import open_line_blocks
from object2vec_tf.inference.parquet_inputs import read_split
from object2vec_tf.inference.predictor import Predictor
from object2vec_tf.inference.ragged_inputs import RaggedInputs
from object2vec_tf.metrics.ranking import Vectors

# The key of embeddings in the output of transform, which can be the input of a search.
EMBEDDINGS = "embeddings"
_BLOCK_BYTES = 1 << 20
_MAX_SHOWN_CHARACTERS = 60


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yields the line number, from 1, and the text of each line that is not blank."""
    number = 1
    with open_line_blocks(path, _BLOCK_BYTES) as blocks:
        for text in itertools.chain.from_iterable(map(bytes.splitlines, blocks)):
            if text.strip():
                yield number, text.strip()
            number += 1


def parse_item(text: bytes) -> dict[str, Any]:
    """Returns the JSON object in a line, without its embedding."""
    item: dict[str, Any] = json.loads(text)
    item.pop(EMBEDDINGS, None)
    return item


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
        vector = _to_vector(values)
        if vector is None:
            raise DataError(
                f"{path}:{number}: {EMBEDDINGS}: expected a list of finite numbers, "
                f"got {_shorten(values)}."
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


def parse_object(path: Path, number: int, text: bytes) -> dict[str, Any]:
    """Returns the JSON object in a line.

    Args:
        path: The file, for messages.
        number: The number of the line, for messages.
        text: The line.

    Raises:
        DataError: The line is not a JSON object.
    """
    try:
        parsed = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise DataError(f"{path}:{number}: not JSON: {error}.") from error
    if not isinstance(parsed, dict):
        raise DataError(
            f"{path}:{number}: expected a JSON object, got {_shorten(parsed)}."
        )
    return parsed


def _to_vector(values: Any) -> Vectors | None:
    """Returns float32 ``[dim]``; None if values is not a list of finite numbers."""
    if not isinstance(values, list) or not values:
        return None
    if not all(type(value) in (int, float) for value in values):
        return None
    with np.errstate(over="ignore"):
        vector = np.array(values, np.float32)
    return vector if np.isfinite(vector).all() else None


def _shorten(value: Any) -> str:
    text = json.dumps(value)
    if len(text) <= _MAX_SHOWN_CHARACTERS:
        return text
    return text[: _MAX_SHOWN_CHARACTERS - 3] + "..."
