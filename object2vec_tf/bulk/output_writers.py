"""Writers of output files: JSON Lines or Parquet."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from object2vec_tf.inference.ragged_inputs import Predictions
from object2vec_tf.inference.request_codec import JSON_LINES, encode_predictions

# Predictions are collected up to this many bytes, and then become a row group.
_ROW_GROUP_BYTES = 1 << 24
_COPY_BYTES = 1 << 20


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
    def encode(predictions: Predictions, output: str) -> Any:
        """Encodes predictions for `write`.

        Args:
            predictions: float32 ``[rows, width]``.
            output: Their name: embeddings or scores.
        """

    def write(self, encoded: Any) -> None:
        """Adds encoded predictions."""

    def append(self, path: Path) -> None:
        """Adds the content of another file of the same format."""


class JsonLinesWriter:
    """Writes ``{"embeddings": [...]}`` or ``{"scores": [...]}``, one row per line.

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
    def encode(predictions: Predictions, output: str) -> bytes:
        """See `OutputWriter`."""
        return encode_predictions(predictions, output, JSON_LINES)

    def write(self, encoded: bytes) -> None:
        """See `OutputWriter`."""
        self._file.write(encoded)

    def append(self, path: Path) -> None:
        """See `OutputWriter`."""
        with path.open("rb") as source:
            shutil.copyfileobj(source, self._file, _COPY_BYTES)


class ParquetWriter:
    """Writes a column ``embeddings`` or ``scores`` of list<float32>.

    Args:
        path: The output file.
        row_group_bytes: The size from which collected rows are written as a row group.
    """

    suffix = ".out.parquet"

    def __init__(self, path: Path, *, row_group_bytes: int = _ROW_GROUP_BYTES) -> None:
        self._path = path
        self._row_group_bytes = row_group_bytes
        self._batches: list[pa.RecordBatch] = []
        self._bytes = 0
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> Self:
        """See `OutputWriter`."""
        return self

    def __exit__(self, *error: object) -> None:
        """See `OutputWriter`."""
        if self._batches:
            self._write_row_group()
        if self._writer:
            self._writer.close()
        else:  # Without predictions, the name of the column is unknown.
            pq.write_table(pa.table({}), self._path)

    @staticmethod
    def encode(predictions: Predictions, output: str) -> pa.RecordBatch:
        """See `OutputWriter`."""
        rows, width = predictions.shape
        splits = pa.array(width * np.arange(rows + 1, dtype=np.int32))
        lists = pa.ListArray.from_arrays(splits, pa.array(predictions.ravel()))
        return pa.record_batch({output: lists})

    def write(self, encoded: pa.RecordBatch) -> None:
        """See `OutputWriter`."""
        self._batches.append(encoded)
        self._bytes += encoded.nbytes
        if self._bytes >= self._row_group_bytes:
            self._write_row_group()

    def _write_row_group(self) -> None:
        table = pa.Table.from_batches(self._batches)
        if self._writer is None:
            # Floats hardly ever repeat, so dictionary encoding would only cost time.
            self._writer = pq.ParquetWriter(
                self._path, table.schema, use_dictionary=False
            )
        self._writer.write_table(table)
        self._batches, self._bytes = [], 0

    def append(self, path: Path) -> None:
        """See `OutputWriter`."""
        with pq.ParquetFile(path, pre_buffer=False) as source:
            if source.schema_arrow.names:  # none in a file without predictions
                for batch in source.iter_batches():
                    self.write(batch)


FORMATS: Final[Mapping[str, type[OutputWriter]]] = {
    "jsonl": JsonLinesWriter,
    "parquet": ParquetWriter,
}
