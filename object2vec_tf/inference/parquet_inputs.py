"""Parquet files as model inputs: the columns in0, in1 or both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import orjson
import pyarrow as pa

from object2vec_tf.errors import DataError
from object2vec_tf.inference.file_splits import FileSplit, is_parquet, open_parquet
from object2vec_tf.inference.jsonl_inputs import (
    ObjectReader,
    read_objects,
    row_chunks,
)
from object2vec_tf.inference.predictor import Predictor
from object2vec_tf.inference.ragged_inputs import MAX_ROWS, RaggedInputs, input_limits
from object2vec_tf.ragged.column import RaggedColumn

_INPUT_NAMES = ("in0", "in1")


def read_split(split: FileSplit, model: Predictor) -> Iterator[RaggedInputs]:
    """Yields the objects of a JSON Lines or Parquet file, or of a part of it.

    Args:
        split: The file or the part.
        model: Provides the tokenizers and the vocabulary sizes.

    Raises:
        DataError: A line or row is invalid. The message names file, line or row, field
            and value.
    """
    if is_parquet(split.path):
        return _read_parquet(split, model)
    return read_objects(split, model)


def _read_parquet(split: FileSplit, model: Predictor) -> Iterator[RaggedInputs]:
    rows = ParquetRows(split, model)
    for batch, row in rows.batches():
        yield from row_chunks(rows.read(batch, row))


class ParquetRows:
    """Rows of a Parquet file or of some of its row groups.

    Args:
        split: The file or the part.
        model: Provides the tokenizers and the vocabulary sizes.
    """

    def __init__(self, split: FileSplit, model: Predictor) -> None:
        self._split = split
        self._reader = _RowReader(split, model)
        self._limits = input_limits(model.hyperparameters)
        self._external_ids = model.hyperparameters.external_ids
        self._names: list[str] = []

    def batches(
        self, columns: Sequence[str] = ()
    ) -> Iterator[tuple[pa.RecordBatch, int]]:
        """Yields batches of at most `MAX_ROWS` rows, and the number of the first row.

        Args:
            columns: The names of columns that are read besides in0 and in1.

        Raises:
            DataError: The file is damaged, or lacks a column, or a column has another
                type.
        """
        split = self._split
        with open_parquet(split.path) as file:
            schema = file.schema_arrow
            self._names = [name for name in _INPUT_NAMES if name in schema.names]
            if not self._names:
                raise DataError(
                    f"{split.path}: expected a column in0 or in1, got the columns "
                    f"{', '.join(schema.names)}. Rename them."
                )
            for name in self._names:
                is_external_id = name in self._external_ids
                _check_type(schema.field(name), split, is_external_id)
            for name in set(columns) - set(schema.names):
                raise DataError(
                    f"{split.path}: expected a column {name}, got the columns "
                    f"{', '.join(schema.names)}. Name one of them, or none."
                )
            stop = file.num_row_groups if split.stop is None else split.stop
            counts = [file.metadata.row_group(group).num_rows for group in range(stop)]
            row = 1 + sum(counts[: split.start])
            groups = range(split.start, stop)
            names = list(dict.fromkeys([*self._names, *columns]))
            batches = file.iter_batches(MAX_ROWS, groups, names, use_threads=False)
            try:
                for batch in batches:
                    yield batch, row
                    row += len(batch)
            except (OSError, pa.ArrowException) as error:
                raise DataError(
                    f"{split.path}: cannot be read to its end: {error}. The file is "
                    "damaged: write it again."
                ) from error

    def read(self, batch: pa.RecordBatch, row: int) -> RaggedInputs:
        """Returns the objects of consecutive rows.

        Args:
            batch: Rows of one of the `batches`.
            row: The number of the first of them.

        Raises:
            DataError: A row is invalid.
        """
        columns = {
            name: _ids(batch[name], self._limits[name][0])
            for name in self._names
            if name not in self._external_ids
        }
        valid = {name: ids for name, ids in columns.items() if ids is not None}
        if len(valid) == len(self._names):
            return self._reader.truncate(RaggedInputs(valid))
        return self._reader.decode_batch(batch.select(self._names), row)


class _RowReader(ObjectReader):
    """Reads rows that are text or may be invalid, in the same way as JSON Lines."""

    def decode_batch(self, batch: pa.RecordBatch, row: int) -> RaggedInputs:
        """Returns the objects of a batch whose first row has this number."""
        text = b"\n".join(map(orjson.dumps, batch.to_pylist()))
        return self.decode_lines(text, row)

    def location(self, line: int) -> str:
        """Returns the location of a row, for messages."""
        return f"{self._split.path}: row {line}"


def _check_type(field: pa.Field, split: FileSplit, is_external_id: bool) -> None:
    kind = field.type
    is_list = (
        pa.types.is_list(kind)
        or pa.types.is_large_list(kind)
        or pa.types.is_fixed_size_list(kind)
    )
    item = kind.value_type if is_list else kind
    if pa.types.is_dictionary(item):
        item = item.value_type
    is_text = pa.types.is_string(item) or pa.types.is_large_string(item)
    is_list |= is_external_id  # which may also be single
    if not (is_text or (is_list and pa.types.is_integer(item))):
        raise DataError(
            f"{split.path}: column {field.name}: expected lists of integers (token "
            "ids) or, for a model trained on text, strings or lists of strings, got "
            f"{kind}. Convert the column."
        )


def _ids(array: pa.Array, vocab_size: int) -> RaggedColumn | None:
    """Returns a column of token ids; None if some are invalid or it is not one."""
    kind = array.type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        return None
    values = array.flatten()
    if not pa.types.is_integer(values.type) or array.null_count or values.null_count:
        return None
    ids = values.to_numpy()
    if len(ids) and not 0 <= ids.min() <= ids.max() < vocab_size:
        return None
    splits = array.offsets.to_numpy().astype(np.int64)
    return RaggedColumn(ids.astype(np.int32), splits - splits[0])
