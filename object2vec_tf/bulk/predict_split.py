"""Predictions for a split of a file, written in the order of its rows."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from object2vec_tf.bulk.output_writers import OutputWriter
from object2vec_tf.inference.file_splits import FileSplit
from object2vec_tf.inference.parquet_inputs import read_split
from object2vec_tf.inference.predictor import Predictor
from object2vec_tf.inference.ragged_inputs import RaggedInputs

# The number of blocks that the model predicts at the same time.
_CONCURRENT_BLOCKS = 2


def write_predictions(
    model: Predictor, split: FileSplit, path: Path, writer: type[OutputWriter]
) -> Iterator[int]:
    """Writes a model's predictions for a split of a file, in the order of its rows.

    The memory does not grow with the size of the split.

    Args:
        model: The model.
        split: A file of JSON Lines or Parquet, or a part of one.
        path: The output file.
        writer: Writes the output file.

    Yields:
        After each block, the number of rows written so far.

    Raises:
        DataError: A line or row is wrong.
    """
    count = 0
    with writer(path) as file:
        blocks = read_split(split, model)
        for rows, encoded in _predict_blocks(model, blocks, writer):
            file.write(encoded)
            count += rows
            yield count


def _predict_blocks(
    model: Predictor, blocks: Iterable[RaggedInputs], writer: type[OutputWriter]
) -> Iterator[tuple[int, Any]]:
    """Yields the number of rows and the encoded predictions of each block, in order.

    Two blocks are predicted at a time: one runs while the other waits for a core.
    """

    def predict(inputs: RaggedInputs) -> tuple[int, Any]:
        return len(inputs), writer.encode(model(inputs), inputs.output)

    futures: deque[Future[tuple[int, Any]]] = deque()
    with ThreadPoolExecutor(_CONCURRENT_BLOCKS) as pool:
        for inputs in blocks:
            futures.append(pool.submit(predict, inputs))
            if len(futures) > 2 * _CONCURRENT_BLOCKS:
                yield futures.popleft().result()
        while futures:
            yield futures.popleft().result()
