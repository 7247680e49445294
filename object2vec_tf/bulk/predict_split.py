"""Objects of a file through a model, and what it answers into another."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from object2vec_tf.bulk.output_writers import AnswerFile
from object2vec_tf.inference.file_splits import FileSplit
from object2vec_tf.inference.parquet_inputs import read_split
from object2vec_tf.inference.predictor import Predictor
from object2vec_tf.inference.ragged_inputs import RaggedInputs

# Parts that are in the model's hands at the same time.
_AT_ONCE = 2


def write_answers(
    model: Predictor, piece: FileSplit, path: Path, answer_file: type[AnswerFile]
) -> Iterator[int]:
    """Writes what a model answers to a piece of a file, in the same order.

    Memory does not grow with the piece.

    Args:
        model: The model.
        piece: JSON Lines or Parquet.
        path: The file to write.
        answer_file: What it is written as.

    Yields:
        After each part, how many rows have been written.

    Raises:
        DataError: A line or row is wrong.
    """
    count = 0
    with answer_file(path) as file:
        for rows, encoded in _answered(model, read_split(piece, model), answer_file):
            file.write(encoded)
            count += rows
            yield count


def _answered(
    model: Predictor, parts: Iterable[RaggedInputs], answer_file: type[AnswerFile]
) -> Iterator[tuple[int, Any]]:
    """Yields the number of rows and the encoded answers of each part, in order.

    Two parts are answered at once, so that one runs where the other waits for a core.
    """

    def answer(objects: RaggedInputs) -> tuple[int, Any]:
        return len(objects), answer_file.encoded(model(objects), objects.output)

    answers: deque[Future[tuple[int, Any]]] = deque()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for objects in parts:
            answers.append(pool.submit(answer, objects))
            if len(answers) > 2 * _AT_ONCE:
                yield answers.popleft().result()
        while answers:
            yield answers.popleft().result()
