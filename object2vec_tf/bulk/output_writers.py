"""Writers of output files: JSON Lines or Parquet."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol, Self

import pyarrow as pa
import pyarrow.parquet as pq

from object2vec_tf.bulk.answer_rows import AnswerRows
from object2vec_tf.bulk.answers import column_types, json_lines, record_batch
from object2vec_tf.errors import UserError
from object2vec_tf.files.tensorflow_paths import tensorflow_path
from object2vec_tf.inference.ragged_inputs import Predictions

# Predictions are collected up to this many bytes, and then become a row group.
_ROW_GROUP_BYTES = 1 << 24
_COPY_BYTES = 1 << 20
_OUTPUTS = frozenset(("embeddings", "scores"))


class OutputWriter(Protocol):
    """Writes an output file, which is closed at the end of the writer's context.

    Attributes:
        suffix: The suffix that an output file adds to its input file's name.
    """

    suffix: str

    def __init__(self, path: Path) -> None:
        """Opens the file."""

    def __enter__(self) -> Self:
        """Returns the writer."""

    def __exit__(self, *error: object) -> None:
        """Closes the file."""

    @staticmethod
    def encode(rows: AnswerRows, predictions: Predictions | None) -> Any:
        """Encodes the answers of rows for `write`.

        Args:
            rows: The rows.
            predictions: The predictions of the valid ones, float32 ``[valid rows,
                width]``; None for no valid rows.
        """

    def write(self, encoded: Any) -> None:
        """Adds encoded answers."""

    def append(self, path: Path) -> None:
        """Adds the content of another file of the same format."""


class JsonLinesWriter:
    """Writes ``{"embeddings": [...]}`` or ``{"scores": [...]}``, one row per line.

    Kept fields come first. An invalid row is ``{"error": "..."}``.

    Args:
        path: The output file.
    """

    suffix = ".out"

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")

    def __enter__(self) -> Self:
        """See `OutputWriter`."""
        return self

    def __exit__(self, *error: object) -> None:
        """See `OutputWriter`."""
        self._file.close()

    @staticmethod
    def encode(rows: AnswerRows, predictions: Predictions | None) -> bytes:
        """See `OutputWriter`."""
        return json_lines(rows, predictions)

    def write(self, encoded: bytes) -> None:
        """See `OutputWriter`."""
        self._file.write(encoded)

    def append(self, path: Path) -> None:
        """See `OutputWriter`."""
        with path.open("rb") as source:
            shutil.copyfileobj(source, self._file, _COPY_BYTES)


class ParquetWriter:
    """Writes a column ``embeddings`` or ``scores`` of list<float32>.

    Kept columns come first. If invalid rows are marked, the last one is ``error``.

    Args:
        path: The output file.
        row_group_bytes: The size from which collected rows are written as a row group.
    """

    suffix = ".out.parquet"

    def __init__(self, path: Path, *, row_group_bytes: int = _ROW_GROUP_BYTES) -> None:
        # pyarrow would read some names as URLs, and expects UTF-8.
        self._file = path.open("wb")
        self._row_group_bytes = row_group_bytes
        self._batches: list[pa.RecordBatch] = []
        self._bytes = 0
        self._has_predictions = False
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> Self:
        """See `OutputWriter`."""
        return self

    def __exit__(self, *error: object) -> None:
        """See `OutputWriter`."""
        with self._file:
            if self._batches and error[0] is None:
                self._write_row_group()
            if self._writer:
                self._writer.close()
            else:  # Without predictions, the name of the column is unknown.
                pq.write_table(pa.table({}), self._file)

    @staticmethod
    def encode(rows: AnswerRows, predictions: Predictions | None) -> pa.RecordBatch:
        """See `OutputWriter`."""
        return record_batch(rows, predictions)

    def write(self, encoded: pa.RecordBatch) -> None:
        """See `OutputWriter`."""
        self._batches.append(encoded)
        self._bytes += encoded.nbytes
        # Before the first valid row, the name of its column is unknown.
        self._has_predictions |= not _OUTPUTS.isdisjoint(encoded.schema.names)
        if self._bytes >= self._row_group_bytes and self._has_predictions:
            self._write_row_group()

    def _write_row_group(self) -> None:
        try:
            self._write_batches()
        except pa.ArrowException as error:
            types = column_types(self._batches[0].schema)
            raise UserError(
                f"--keep: expected columns with values that Parquet has, got {types}: "
                f"{error}. Give --format=jsonl, or keep other columns."
            ) from error
        self._batches, self._bytes = [], 0

    def _write_batches(self) -> None:
        if self._writer is None:
            schemas = [batch.schema for batch in self._batches]
            # The rows of a batch without a column of predictions are all invalid.
            schema = max(schemas, key=lambda schema: len(schema.names))
            # Floats hardly ever repeat, so dictionary encoding would only cost time.
            self._writer = pq.ParquetWriter(self._file, schema, use_dictionary=False)
        schema = self._writer.schema
        batches = [_with_schema(batch, schema) for batch in self._batches]
        self._writer.write_table(pa.Table.from_batches(batches, schema))

    def append(self, path: Path) -> None:
        """See `OutputWriter`."""
        with (
            tensorflow_path(path) as name,
            pq.ParquetFile(name, pre_buffer=False) as source,
        ):
            if source.schema_arrow.names:  # none in a file without predictions
                for batch in source.iter_batches():
                    self.write(batch)


def _with_schema(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Returns a batch with null in the columns that it lacks."""
    if batch.schema.names == schema.names:
        return batch
    columns = [
        batch[field.name]
        if field.name in batch.schema.names
        else pa.nulls(len(batch), field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


FORMATS: Final[Mapping[str, type[OutputWriter]]] = {
    "jsonl": JsonLinesWriter,
    "parquet": ParquetWriter,
}
