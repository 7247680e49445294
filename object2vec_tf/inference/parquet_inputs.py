"""Parquet and Arrow files as model inputs: the columns in0, in1 or both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from object2vec_tf.data.table_columns import (
    is_numbers,
    is_text,
    ragged_integers,
)
from object2vec_tf.data.table_reader import Rows
from object2vec_tf.errors import DataError
from object2vec_tf.files.record_batches import (
    is_parquet,
    is_table_file,
    json_lines,
    mappings,
    open_batches,
    open_parquet,
)
from object2vec_tf.inference.file_splits import FileSplit
from object2vec_tf.inference.jsonl_inputs import (
    ObjectReader,
    read_objects,
    row_chunks,
)
from object2vec_tf.inference.predictor import InputModel
from object2vec_tf.inference.ragged_inputs import MAX_ROWS, RaggedInputs, input_limits
from object2vec_tf.ragged.column import RaggedColumn

_INPUT_NAMES = ("in0", "in1")


def read_split(source: Path | FileSplit, model: InputModel) -> Iterator[RaggedInputs]:
    """Yields the objects of a JSON Lines, Parquet or Arrow file, or of a part of it.

    Args:
        source: The file or the part.
        model: Provides the tokenizers and the vocabulary sizes.

    Raises:
        DataError: A line or row is invalid. The message names file, line or row, field
            and value.
    """
    split = source if isinstance(source, FileSplit) else FileSplit(source)
    if is_table_file(split.path):
        return _read_table(split, model)
    return read_objects(split, model)


def _read_table(split: FileSplit, model: InputModel) -> Iterator[RaggedInputs]:
    rows = ParquetRows(split, model)
    for batch, row in rows.batches():
        yield from row_chunks(rows.read(batch, row))


def read_rows(
    parts: Iterable[Rows], name: str, model: InputModel
) -> Iterator[RaggedInputs]:
    """Yields the objects of a table in memory.

    Args:
        parts: The rows in order, as record batches or sequences of mappings.
        name: The name of the table, for messages.
        model: Provides the tokenizers and the vocabulary sizes.

    Raises:
        DataError: A row is invalid.
    """
    reader, row = _RowReader(FileSplit(Path(name)), model), 1
    for part in parts:
        is_batch = isinstance(part, pa.RecordBatch)
        rows = mappings(part, name, row) if is_batch else part
        yield from row_chunks(reader.read(json_lines(rows), row))
        row += len(part)


class ParquetRows:
    """Rows of a Parquet or Arrow file, or of some row groups of a Parquet file.

    Args:
        split: The file or the part.
        model: Provides the tokenizers and the vocabulary sizes.
    """

    def __init__(self, split: FileSplit, model: InputModel) -> None:
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
        path = self._split.path
        names = list(dict.fromkeys([*_INPUT_NAMES, *columns]))
        row, groups = self._row_groups()
        opened = open_batches(path, names, MAX_ROWS, groups, threads=False)
        with opened as (schema, batches):
            self._check_columns(schema, columns)
            for batch in batches:
                yield batch, row
                row += len(batch)

    def _row_groups(self) -> tuple[int, range | None]:
        """Returns the number of the first row, and the row groups to read."""
        split = self._split
        if not is_parquet(split.path):
            return 1, None
        with open_parquet(split.path) as file:
            stop = file.num_row_groups if split.stop is None else split.stop
            counts = [file.metadata.row_group(i).num_rows for i in range(split.start)]
        return 1 + sum(counts), range(split.start, stop)

    def _check_columns(self, schema: pa.Schema, columns: Sequence[str]) -> None:
        path = self._split.path
        self._names = [name for name in _INPUT_NAMES if name in schema.names]
        if not self._names:
            raise DataError(
                f"{path}: expected a column in0 or in1, got the columns "
                f"{', '.join(schema.names)}. Rename them."
            )
        for name in [*self._names, *columns]:
            if (count := schema.names.count(name)) > 1:
                raise DataError(
                    f"{path}: expected one column {name}, got {count}. Remove or "
                    "rename the others."
                )
        for name in self._names:
            _check_type(schema.field(name), f"{path}")
        for name in set(columns) - set(schema.names):
            raise DataError(
                f"{path}: expected a column {name}, got the columns "
                f"{', '.join(schema.names)}. Name one of them, or none."
            )

    def read(self, batch: pa.RecordBatch, row: int) -> RaggedInputs:
        """Returns the objects of consecutive rows.

        Args:
            batch: Rows of one of the `batches`.
            row: The number of the first of them.

        Raises:
            DataError: A row is invalid.
        """
        columns = {
            name: self._ids(batch[name], name)
            for name in self._names
            if name not in self._external_ids
        }
        valid = {name: ids for name, ids in columns.items() if ids is not None}
        if len(valid) == len(self._names):
            return self._reader.truncate(RaggedInputs(valid))
        rows = mappings(batch.select(self._names), f"{self._split.path}", row)
        return self._reader.decode_rows(rows, row)

    def _ids(self, column: pa.Array, name: str) -> RaggedColumn | None:
        try:
            return ragged_integers(column, self._limits[name][0], drop_padding=True)
        except pa.ArrowNotImplementedError:  # rare types: row by row
            return None


class _RowReader(ObjectReader):
    """Reads rows that are text or may be invalid, in the same way as JSON Lines."""

    def decode_rows(self, rows: Sequence[Any], row: int) -> RaggedInputs:
        """Returns the objects of rows, the first of which has this number."""
        return self.decode_lines(json_lines(rows), row)

    def location(self, line: int) -> str:
        """Returns the location of a row, for messages."""
        return f"{self._split.path}: row {line}"


def _check_type(field: pa.Field, name: str) -> None:
    if not (is_text(field.type) or is_numbers(field.type)):
        raise DataError(
            f"{name}: column {field.name}: expected lists of integers (token ids) or, "
            "for a model trained on text, strings or lists of strings, got "
            f"{field.type}. Convert the column."
        )
