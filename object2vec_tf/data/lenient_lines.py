"""Parses blocks of valid lines that the fast parsers reject.

Whole numbers may be written as 3.0, and a single id may be written without a list, in
some lines or in all of them.
"""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import msgspec
import numpy as np
import numpy.typing as npt

from object2vec_tf.data.block_parser import Numbers, Parsed, whole_numbers
from object2vec_tf.data.blocks import has_valid_numbers
from object2vec_tf.data.nearest_float32 import rounding_labels_once
from object2vec_tf.data.pair_schema import INPUTS, PairSchema
from object2vec_tf.files.object_lines import MAX_EXACT_FLOAT, count_objects
from object2vec_tf.ragged.column import RaggedColumn
from object2vec_tf.text.json_objects import decode_lines

_ITEM = str | int | float


class LenientDecoder:
    """Decodes blocks of lines, each of which may be written in another way.

    Args:
        schema: The schema of the pairs.
    """

    def __init__(self, schema: PairSchema) -> None:
        self._schema = schema

    @functools.cached_property
    def _decoder(self) -> msgspec.json.Decoder[Any]:
        fields: list[Any] = []
        for name, tokenization in zip(INPUTS, self._schema.tokenizations, strict=True):
            rows: Any = list[int | float] | int | float
            if tokenization is not None:
                rows = str | list[str]
                if tokenization.is_id:
                    rows = _ITEM | list[_ITEM]
            fields.append((name, rows))
        has_classes = self._schema.num_classes is not None
        fields.append(("label", int | float if has_classes else float))
        weight = Annotated[float, msgspec.Meta(ge=0)] | msgspec.UnsetType
        fields.append(("weight", weight, msgspec.UNSET))
        line: Any = msgspec.defstruct("Line", fields, gc=False)
        return msgspec.json.Decoder(line)

    def decode(
        self, block: bytes, column: Callable[[str, Sequence[Any]], RaggedColumn]
    ) -> Parsed:
        """Returns the content of a block; None if a line may be invalid.

        Args:
            block: Whole lines.
            column: Returns the token ids of text and of ids of any kind, as
                `LineReader.column`.
        """
        try:
            lines = decode_lines(self._decoder, block)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        if len(lines) != count_objects(block):
            return None
        rows = {name: list(map(operator.attrgetter(name), lines)) for name in INPUTS}
        labels: Numbers | None = _numbers(
            map(operator.attrgetter("label"), lines), len(lines)
        )
        if labels is not None and self._schema.num_classes is not None:
            labels = whole_numbers(labels)
        elif labels is not None:
            labels = rounding_labels_once(labels, "label", block)
        weights = _weights(lines)
        if weights is not None:
            weights = rounding_labels_once(weights, "weight", block)
        if labels is None or not has_valid_numbers(labels, weights, self._schema):
            return None
        columns: dict[str, RaggedColumn] = {}
        for name, size, tokenization in zip(
            INPUTS, self._schema.vocab_sizes, self._schema.tokenizations, strict=True
        ):
            if tokenization is None:
                ids = _id_column(rows[name], size)
                if ids is None:
                    return None
                columns[name] = ids
            elif tokenization.is_id and not _are_exact(rows[name]):
                return None
        # Tokenizing counts unknown tokens: only after everything else was valid.
        for name in self._schema.text_inputs:
            columns[name] = column(name, rows[name])
        return columns, labels, weights


def _weights(lines: Sequence[Any]) -> npt.NDArray[np.float64] | None:
    given = list(map(operator.attrgetter("weight"), lines))
    if not {*map(type, given)} - {msgspec.UnsetType}:
        return None
    return np.array([1.0 if weight is msgspec.UNSET else weight for weight in given])


def _numbers(values: Any, count: int) -> npt.NDArray[np.float64] | None:
    try:
        return np.fromiter(values, np.float64, count)
    except OverflowError:  # an integer that no float can hold
        return None


def _id_column(rows: Sequence[Any], vocab_size: int) -> RaggedColumn | None:
    lists = [row if type(row) is list else [row] for row in rows]
    lengths = np.fromiter(map(len, lists), np.int64, len(lists))
    splits = np.zeros(len(lists) + 1, np.int64)
    np.cumsum(lengths, out=splits[1:])
    values = _numbers(itertools.chain.from_iterable(lists), int(splits[-1]))
    ids = None if values is None else whole_numbers(values)
    if ids is None or (len(ids) and not 0 <= ids.min() <= ids.max() < vocab_size):
        return None
    return RaggedColumn(ids.astype(np.int32), splits)


def _are_exact(rows: Sequence[Any]) -> bool:
    """Returns whether all floats among ids of any kind are exact integers."""
    lists = (row if type(row) is list else [row] for row in rows)
    floats = (item for row in lists for item in row if type(item) is float)
    return all(item.is_integer() and abs(item) < MAX_EXACT_FLOAT for item in floats)
