"""Rows of Parquet, with the kept columns."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import pyarrow as pa

from object2vec_tf.bulk.answer_options import AnswerOptions
from object2vec_tf.bulk.answer_rows import AnswerRows, Kept
from object2vec_tf.bulk.row_reader import RowReader
from object2vec_tf.inference.file_splits import FileSplit
from object2vec_tf.inference.parquet_inputs import ParquetRows
from object2vec_tf.inference.predictor import Predictor
from object2vec_tf.inference.ragged_inputs import RaggedInputs

# A batch with invalid rows is read again in pieces of this size, and pieces with
# invalid rows in smaller ones.
_PIECE_ROWS = 64


@dataclasses.dataclass(frozen=True)
class _Batch:
    """Consecutive rows, and the number of the first of them in the file."""

    rows: pa.RecordBatch
    number: int


class _Parquet:
    """The rows of a Parquet file; a `RowSource`."""

    def __init__(self, rows: ParquetRows, keep: Sequence[str]) -> None:
        self._rows = rows
        self._keep = list(keep)

    def read(self, block: _Batch) -> RaggedInputs:
        return self._rows.read(block.rows, block.number)

    def kept(self, block: _Batch) -> tuple[pa.RecordBatch, dict[str, int]]:
        return self.kept_of_invalid(block), {}

    def kept_of_invalid(self, block: _Batch) -> pa.RecordBatch:
        return block.rows.select(self._keep)

    def pieces(self, block: _Batch) -> Sequence[_Batch]:
        count = len(block.rows)
        if count < 2:
            return []
        size = min(_PIECE_ROWS, -(-count // 2))
        return [
            _Batch(block.rows.slice(start, size), block.number + start)
            for start in range(0, count, size)
        ]

    def join(self, parts: Sequence[Kept]) -> Kept:
        if len(parts) == 1:
            return parts[0]
        return pa.concat_batches(list(parts))


def read_parquet(
    split: FileSplit, model: Predictor, options: AnswerOptions
) -> Iterator[AnswerRows]:
    """Yields the rows of a Parquet file, or of some of its row groups, in chunks.

    Args:
        split: The file or the part.
        model: Provides the tokenizers and the vocabulary sizes.
        options: The options of the answers.

    Raises:
        DataError: A row is invalid, a kept column is missing, or the file is damaged.
    """
    rows = ParquetRows(split, model)
    reader = RowReader(_Parquet(rows, options.keep), split.path, model, options)
    for batch, number in rows.batches(options.keep):
        yield from reader.read(_Batch(batch, number))
