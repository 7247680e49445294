"""Parquet files of objects: the columns in0, in1 or both."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import orjson
import pyarrow as pa

from object2vec_tf.errors import DataError
from object2vec_tf.inference.file_splits import FileSplit, is_parquet, open_parquet
from object2vec_tf.inference.jsonl_inputs import (
    ObjectReader,
    bounded_parts,
    read_objects,
)
from object2vec_tf.inference.predictor import Predictor
from object2vec_tf.inference.ragged_inputs import MAX_ROWS, RaggedInputs, input_limits
from object2vec_tf.ragged.column import RaggedColumn

_INPUTS = ("in0", "in1")


def read_split(piece: FileSplit, model: Predictor) -> Iterator[RaggedInputs]:
    """Yields the objects of a piece of JSON Lines or Parquet, in parts.

    Args:
        piece: A file, or a part of it.
        model: What makes token ids of text, and knows the vocabularies.

    Raises:
        DataError: A line or row is wrong: the message says file, line or row, field
            and value.
    """
    return (_read_table if is_parquet(piece.path) else read_objects)(piece, model)


def _read_table(piece: FileSplit, model: Predictor) -> Iterator[RaggedInputs]:
    reader = _RowReader(piece, model)
    sizes = {n: size for n, (size, _) in input_limits(model.hyperparameters).items()}
    with open_parquet(piece.path) as file:
        names = [name for name in _INPUTS if name in file.schema_arrow.names]
        if not names:
            raise DataError(
                f"{piece.path}: has no column in0 or in1; its columns are "
                f"{', '.join(file.schema_arrow.names)}"
            )
        for name in names:
            _check_type(file.schema_arrow.field(name), piece)
        stop = file.num_row_groups if piece.stop is None else piece.stop
        groups = [file.metadata.row_group(group).num_rows for group in range(stop)]
        row = 1 + sum(groups[: piece.start])
        chosen = range(piece.start, stop)
        batches = file.iter_batches(MAX_ROWS, chosen, names, use_threads=False)
        try:
            for batch in batches:
                columns = {name: _ids(batch[name], sizes[name]) for name in names}
                known = {name: ids for name, ids in columns.items() if ids is not None}
                if len(known) == len(names):
                    yield reader.cut(RaggedInputs(known))
                else:
                    yield from bounded_parts(reader.rows(batch, row))
                row += len(batch)
        except (OSError, pa.ArrowException) as error:
            raise DataError(
                f"{piece.path}: cannot be read to its end: {error}; the file is "
                "damaged, write it again"
            ) from error


class _RowReader(ObjectReader):
    """Reads rows that are text, or may be wrong, as lines of JSON are read."""

    def rows(self, batch: pa.RecordBatch, row: int) -> RaggedInputs:
        """Returns the objects of a batch, whose first row has this number."""
        text = b"\n".join(map(orjson.dumps, batch.to_pylist()))
        return RaggedInputs.from_rows(self.decoded(text, row))

    def _place(self, line: int) -> str:
        return f"{self._piece.path}: row {line}"


def _check_type(field: pa.Field, piece: FileSplit) -> None:
    kind = field.type
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    lists = lists or pa.types.is_fixed_size_list(kind)
    item = kind.value_type if lists else kind
    if pa.types.is_dictionary(item):
        item = item.value_type
    text = pa.types.is_string(item) or pa.types.is_large_string(item)
    if not (text or (lists and pa.types.is_integer(item))):
        raise DataError(
            f"{piece.path}: column {field.name} holds {kind}; expected lists of "
            "integers (token ids) or, for a model of text, strings or lists of strings"
        )


def _ids(array: pa.Array, size: int) -> RaggedColumn | None:
    """Returns lists of token ids, or None when they are none or one is out of range."""
    kind = array.type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        return None
    values = array.flatten()
    if not pa.types.is_integer(values.type) or array.null_count or values.null_count:
        return None
    ids = values.to_numpy()
    if len(ids) and not 0 <= ids.min() <= ids.max() < size:
        return None
    splits = array.offsets.to_numpy().astype(np.int64)
    return RaggedColumn(ids.astype(np.int32), splits - splits[0])
