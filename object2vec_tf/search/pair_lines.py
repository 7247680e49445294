"""Pairs in JSON Lines files, with their labels, for searches and evaluations."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from object2vec_tf.data.block_parser import parse_block
from object2vec_tf.data.pair_schema import PairSchema
from object2vec_tf.errors import DataError, UserError
from object2vec_tf.files.line_blocks import open_line_blocks
from object2vec_tf.files.object_lines import (
    decode_object,
    decode_value,
    is_blank,
    numbered_lines,
)
from object2vec_tf.inference.file_splits import BLOCK_BYTES, FileSplit
from object2vec_tf.inference.jsonl_inputs import ObjectReader
from object2vec_tf.inference.predictor import Predictor
from object2vec_tf.inference.ragged_inputs import RaggedInputs, input_limits
from object2vec_tf.ragged.column import RaggedColumn
from object2vec_tf.ragged.row_hashes import RowHashes, row_hashes

# Integers from 2**63 to 2**64 - 1 are negative for awkward.
_WRAPPED = re.compile(rb"[0-9]{19}")
# A number that may be 0 for awkward, though it is not.
_MINUTE = re.compile(rb"[eE]-[0-9]{3}|0{100}")


@dataclasses.dataclass(frozen=True)
class PairBlock:
    """Some pairs of a file.

    Attributes:
        objects: in0 and in1, truncated to their maximum lengths.
        is_true: Whether the label of a pair is above 0 or missing, bool ``[pairs]``.
    """

    objects: RaggedInputs
    is_true: npt.NDArray[np.bool_]


def object_hashes(column: RaggedColumn, side: str, model: Predictor) -> RowHashes:
    """Returns hashes that are equal for objects that the model takes as the same.

    Args:
        column: Token ids by object.
        side: Their input: in0 or in1.
        model: The model; its ``object_key`` says what makes two objects the same.
    """
    schema = PairSchema.of(model.hyperparameters)
    return row_hashes(schema.keys_of(column, int(side[-1])))


def read_pair_blocks(files: Iterable[Path], model: Predictor) -> Iterator[PairBlock]:
    """Yields the pairs in files, in blocks.

    Args:
        files: JSON Lines with in0 and in1; a label is optional.
        model: Provides the tokenizers and the vocabulary sizes.

    Raises:
        DataError: A line is invalid, or a label is not a number.
        UserError: The lines are objects instead of pairs.
    """
    limits = input_limits(model.hyperparameters)
    sizes = {name: limit.size for name, limit in limits.items()}
    for path in files:
        reader = ObjectReader(FileSplit(path), model)
        line = 1
        with open_line_blocks(path, BLOCK_BYTES) as blocks:
            for text in blocks:
                if not is_blank(text):
                    yield _read_block(text, line, path, reader, sizes)
                line += text.count(b"\n")


def _read_block(
    text: bytes, line: int, path: Path, reader: ObjectReader, sizes: dict[str, int]
) -> PairBlock:
    # Numbers without a fraction or exponent have a parser of their own.
    for kind in ("integer", "number") if b'"label"' in text else ():
        if kind == "number" and _MINUTE.search(text):
            break
        if parsed := parse_block(text, sizes, kind, padded=True):
            numbers = np.asarray(parsed[1])
            if numbers.min(initial=0) < 0 and _WRAPPED.search(text):
                break
            objects = reader.truncate(RaggedInputs(parsed[0]))
            reader.names = tuple(objects.columns)
            return PairBlock(objects, numbers > 0)
    try:
        objects = reader.read(text, line)
        labels = _labels(text, line, path, objects)
    except DataError:
        # Which of the invalid lines is the first, by objects or by label?
        for number, content in numbered_lines(text, line):
            _labels(content, number, path, reader.read(content, number))
        raise
    return PairBlock(objects, np.array(labels) > 0)


def _labels(text: bytes, line: int, path: Path, objects: RaggedInputs) -> list[float]:
    """Returns the labels of valid lines."""
    if len(objects.columns) < 2:
        raise UserError(
            f"{path}: expected in0 and in1 in each line, got only "
            f"{' and '.join(objects.columns)}. Give a file of pairs."
        )
    if b"label" not in text and b"\\u" not in text:
        return [1.0] * len(objects)
    return [_label(path, n, content) for n, content in numbered_lines(text, line)]


def _label(path: Path, number: int, text: bytes) -> float:
    """Returns the label in a valid line, 1 if there is none."""
    raw = decode_object(text).get("label", msgspec.Raw(b"1"))
    is_number = type(decode_value(raw)) in (int, float)
    label = float(bytes(raw)) if is_number else math.nan
    if not math.isfinite(label):
        raise DataError(
            f"{path}:{number}: label: expected a number, got "
            f"{bytes(raw).decode()[:60]}. Pairs with a label above 0 are true."
        )
    return label
