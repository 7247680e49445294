"""A shard's answers, put together of the answers to its pieces."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from pathlib import Path

from object2vec_tf.bulk.job import whole_answers
from object2vec_tf.bulk.output_writers import AnswerFile
from object2vec_tf.bulk.shards import Shard
from object2vec_tf.files.fingerprints import file_signature
from object2vec_tf.inference.file_splits import FileSplit, split_file


class Assembly:
    """Takes the answers to a shard's pieces as they come, in any order.

    What is next in order goes into the shard's file at once, and is gone from where it
    was: the disk holds no more than one piece twice. A shard of one piece is moved.

    Args:
        shard: The shard.
        size: The bytes of a piece, about.

    Attributes:
        pieces: What is to be answered.
        rows: How many rows have come.

    Raises:
        DataError: The shard cannot be read.
    """

    def __init__(self, shard: Shard, size: int) -> None:
        self.shard = shard
        self._before = file_signature(shard.path)
        self.pieces: list[FileSplit] = split_file(shard.path, size)
        self.rows = 0
        self._come: set[int] = set()
        self._next = 0
        self._directory = shard.out.parent / f".{shard.out.name}.parts"
        # What a job that was killed has left may answer other pieces than these.
        shutil.rmtree(self._directory, ignore_errors=True)
        self._directory.mkdir(parents=True)
        self._held = ExitStack()
        self._held.callback(shutil.rmtree, self._directory, ignore_errors=True)
        self._temporary: Path | None = None
        self._file: AnswerFile | None = None

    def part(self, number: int) -> Path:
        """Returns where the answers to a piece are to be."""
        return self._directory / str(number)

    def add(self, number: int, rows: int) -> bool:
        """Takes the answers to a piece; returns whether all have come.

        Then the shard's file is there.

        Raises:
            DataError: The shard has changed since it was cut.
        """
        self._come.add(number)
        self.rows += rows
        while self._next in self._come:
            self._append(self.part(self._next))
            self._next += 1
        if self._next == len(self.pieces):
            self._held.close()
            return True
        return False

    def _append(self, part: Path) -> None:
        if self._temporary is None:
            whole = whole_answers(self.shard, self._before)
            self._temporary = self._held.enter_context(whole)
        if len(self.pieces) == 1:
            part.replace(self._temporary)
            return
        if self._file is None:
            file = self.shard.answer_file(self._temporary)
            self._file = self._held.enter_context(file)
        self._file.append(part)
        part.unlink()

    def give_up(self, error: BaseException) -> None:
        """Removes what has been written, if the shard's file is not there yet."""
        self._held.__exit__(type(error), error, None)
