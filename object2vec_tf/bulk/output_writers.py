"""Files of answers: JSON Lines or Parquet."""

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

# Rows of Parquet are kept until they are so many bytes, and are a row group then.
_GROUP_BYTES = 1 << 24
_COPIED_BYTES = 1 << 20


class AnswerFile(Protocol):
    """A file of answers that is being written; closed at the end of a context.

    Attributes:
        suffix: What stands behind the input's name.
    """

    suffix: str

    def __init__(self, path: Path) -> None:
        """Opens the file."""

    def __enter__(self) -> Self:
        """Returns itself."""

    def __exit__(self, *error: object) -> None:
        """Closes the file."""

    @staticmethod
    def encoded(predictions: Predictions, output: str) -> Any:
        """Returns predictions ``[rows, width]`` as the file takes them.

        Args:
            predictions: Embeddings or scores.
            output: Which of the two they are.
        """

    def write(self, encoded: Any) -> None:
        """Adds answers."""

    def append(self, part: Path) -> None:
        """Adds all that another file of this kind holds."""


class JsonLines:
    """``{"embeddings": [...]}`` or ``{"scores": [...]}``, a line each."""

    suffix = ".out"

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")

    def __enter__(self) -> Self:
        """See `AnswerFile`."""
        return self

    def __exit__(self, *error: object) -> None:
        """See `AnswerFile`."""
        self._file.close()

    @staticmethod
    def encoded(predictions: Predictions, output: str) -> bytes:
        """See `AnswerFile`."""
        return encode_predictions(predictions, output, JSON_LINES)

    def write(self, encoded: bytes) -> None:
        """See `AnswerFile`."""
        self._file.write(encoded)

    def append(self, part: Path) -> None:
        """See `AnswerFile`."""
        with part.open("rb") as source:
            shutil.copyfileobj(source, self._file, _COPIED_BYTES)


class Parquet:
    """A column ``embeddings`` or ``scores`` of list<float32>."""

    suffix = ".out.parquet"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held: list[pa.RecordBatch] = []
        self._bytes = 0
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> Self:
        """See `AnswerFile`."""
        return self

    def __exit__(self, *error: object) -> None:
        """See `AnswerFile`."""
        if self._held:
            self._write_group()
        if self._writer:
            self._writer.close()
        else:  # no answers: of what kind they would have been, nothing tells
            pq.write_table(pa.table({}), self._path)

    @staticmethod
    def encoded(predictions: Predictions, output: str) -> pa.RecordBatch:
        """See `AnswerFile`."""
        rows, width = predictions.shape
        splits = pa.array(width * np.arange(rows + 1, dtype=np.int32))
        lists = pa.ListArray.from_arrays(splits, pa.array(predictions.ravel()))
        return pa.record_batch({output: lists})

    def write(self, encoded: pa.RecordBatch) -> None:
        """See `AnswerFile`."""
        self._held.append(encoded)
        self._bytes += encoded.nbytes
        if self._bytes >= _GROUP_BYTES:
            self._write_group()

    def _write_group(self) -> None:
        table = pa.Table.from_batches(self._held)
        if self._writer is None:
            self._writer = _writer(self._path, table.schema)
        self._writer.write_table(table)
        self._held, self._bytes = [], 0

    def append(self, part: Path) -> None:
        """See `AnswerFile`."""
        with pq.ParquetFile(part, pre_buffer=False) as source:
            if source.schema_arrow.names:  # otherwise it holds no answers
                for batch in source.iter_batches():
                    self.write(batch)


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    # Hardly any two numbers are the same: a dictionary would be tried in vain.
    return pq.ParquetWriter(path, schema, use_dictionary=False)


FORMATS: Final[Mapping[str, type[AnswerFile]]] = {
    "jsonl": JsonLines,
    "parquet": Parquet,
}
