"""JSON Lines of items and of queries: what they hold, and how they stand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from object2vec_tf.errors import DataError, UserError
from object2vec_tf.files.line_blocks import read_line_blocks
from object2vec_tf.inference.jsonl_inputs import read_objects
from object2vec_tf.inference.predictor import Predictor
from object2vec_tf.metrics.ranking import Vectors

# What transform writes for a line, and is read back here.
EMBEDDINGS = "embeddings"
_BLOCK_BYTES = 1 << 20


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yields the number and the text of each line that is not blank."""
    line = 1
    for text in read_line_blocks(path, _BLOCK_BYTES):
        for content in text.splitlines():
            if content.strip():
                yield line, content.strip()
            line += 1


def as_it_stands(content: bytes) -> dict[str, Any]:
    """Returns a line's object, without an embedding."""
    found: dict[str, Any] = json.loads(content)
    found.pop(EMBEDDINGS, None)
    return found


def has_embeddings(path: Path) -> bool:
    """Whether a file's lines hold embeddings, and not objects; by the first of them.

    Raises:
        DataError: There is none.
    """
    for line, content in read_lines(path):
        return EMBEDDINGS in _object(path, line, content)
    raise DataError(
        f'{path}: is empty; expected lines such as {{"in1": [172]}} or '
        f'{{"{EMBEDDINGS}": [0.1, -0.2]}}'
    )


def read_embeddings(path: Path, rows: int = 4096) -> Iterator[Vectors]:
    """Yields embeddings that stand in a file, float32 ``[some, dim]``.

    Args:
        path: JSON Lines with ``{"embeddings": [...]}``, such as transform writes.
        rows: How many come at a time.

    Raises:
        DataError: A line has none, another number of values than those before, or one
            that is no finite number.
    """
    held: list[Any] = []
    width = 0
    for line, content in read_lines(path):
        values = _object(path, line, content).get(EMBEDDINGS)
        vector = _vector(values)
        if vector is None:
            raise DataError(
                f"{path}:{line}: {EMBEDDINGS}: expected a list of finite numbers, got "
                f"{_shown(values)}"
            )
        width = width or len(vector)
        if len(vector) != width:
            raise DataError(
                f"{path}:{line}: {EMBEDDINGS}: has {len(vector)} values, where the "
                f"lines before have {width}"
            )
        held.append(vector)
        if len(held) == rows:
            yield np.stack(held)
            held = []
    if held:
        yield np.stack(held)


def embedded(path: Path, model: Predictor, side: str | None) -> Iterator[Vectors]:
    """Yields what a model makes of a file's objects, float32 ``[some, enc_dim]``.

    Args:
        path: JSON Lines with in0 or in1.
        model: The model.
        side: The input that they must have; None: in0 or in1.

    Raises:
        DataError: A line is wrong.
        UserError: They are pairs, or of another side.
    """
    for objects in read_objects(path, model):
        inputs = list(objects.columns)
        if len(inputs) > 1:
            raise UserError(
                f"{path}: has in0 and in1 in its lines, of which one can be embedded; "
                "leave the other out"
            )
        if side not in (None, inputs[0]):
            raise UserError(f"{path}: has {inputs[0]} in its lines; expected {side}")
        yield model(objects)


def _object(path: Path, line: int, content: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise DataError(f"{path}:{line}: not JSON: {error}") from error
    if not isinstance(found, dict):
        raise DataError(f"{path}:{line}: expected an object, got {_shown(found)}")
    return found


def _vector(values: Any) -> Vectors | None:
    if not isinstance(values, list) or not values:
        return None
    if not all(type(value) in (int, float) for value in values):
        return None
    with np.errstate(over="ignore"):
        vector = np.array(values, np.float32)
    return vector if np.isfinite(vector).all() else None


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
