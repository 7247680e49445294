"""Predictions for a split of a file, written in the order of its rows."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from object2vec_tf.bulk.answer_options import AnswerOptions
from object2vec_tf.bulk.answer_rows import AnswerRows
from object2vec_tf.bulk.jsonl_rows import read_json_lines
from object2vec_tf.bulk.output_writers import OutputWriter
from object2vec_tf.bulk.parquet_rows import read_parquet
from object2vec_tf.bulk.row_counts import RowCounts
from object2vec_tf.files.record_batches import is_table_file
from object2vec_tf.inference.file_splits import FileSplit
from object2vec_tf.inference.parquet_inputs import read_split
from object2vec_tf.inference.predictor import Predictor

# The number of blocks that the model predicts at the same time.
_CONCURRENT_BLOCKS = 2


def write_predictions(
    model: Predictor,
    split: FileSplit,
    path: Path,
    writer: type[OutputWriter],
    options: AnswerOptions,
) -> Iterator[RowCounts]:
    """Writes a model's predictions for a split of a file, in the order of its rows.

    The memory does not grow with the size of the split.

    Args:
        model: The model.
        split: A file of JSON Lines or Parquet, or a part of one.
        path: The output file.
        writer: Writes the output file.
        options: The options of the answers.

    Yields:
        After each block, the counts of the rows so far.

    Raises:
        DataError: A line or row is wrong.
    """
    counts = RowCounts()
    with writer(path) as file:
        blocks = _read_rows(split, model, options)
        for rows, encoded in _predict_blocks(model, blocks, writer):
            file.write(encoded)
            counts += rows
            yield counts


def _read_rows(
    split: FileSplit, model: Predictor, options: AnswerOptions
) -> Iterator[AnswerRows]:
    """Yields the rows of a split in chunks."""
    if options.is_default:
        for inputs in read_split(split, model):
            yield AnswerRows(RowCounts(rows=len(inputs)), inputs)
    elif is_table_file(split.path):
        yield from read_parquet(split, model, options)
    else:
        yield from read_json_lines(split, model, options)


def _predict_blocks(
    model: Predictor, blocks: Iterable[AnswerRows], writer: type[OutputWriter]
) -> Iterator[tuple[RowCounts, Any]]:
    """Yields the counts and the encoded answers of each block, in order.

    Two blocks are predicted at a time: one runs while the other waits for a core.
    """

    def predict(rows: AnswerRows) -> tuple[RowCounts, Any]:
        predictions = model(rows.inputs) if rows.inputs else None
        return rows.counts, writer.encode(rows, predictions)

    futures: deque[Future[tuple[RowCounts, Any]]] = deque()
    with ThreadPoolExecutor(_CONCURRENT_BLOCKS) as pool:
        for inputs in blocks:
            futures.append(pool.submit(predict, inputs))
            if len(futures) > 2 * _CONCURRENT_BLOCKS:
                yield futures.popleft().result()
        while futures:
            yield futures.popleft().result()
