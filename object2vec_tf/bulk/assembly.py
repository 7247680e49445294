"""The output of a file job, assembled from the outputs of the input file's splits."""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack
from pathlib import Path

from object2vec_tf.bulk.file_jobs import FileJob
from object2vec_tf.bulk.job import atomic_output
from object2vec_tf.bulk.output_writers import OutputWriter
from object2vec_tf.bulk.row_counts import RowCounts
from object2vec_tf.files.fingerprints import file_signature
from object2vec_tf.files.special_files import is_special, scratch_parent
from object2vec_tf.inference.file_splits import FileSplit, split_file

# Names of at most 255 bytes, also for characters of four bytes.
_MAX_NAME = 60


class Assembly:
    """Joins the outputs of a file's splits, which may be finished in any order.

    The output of the next split in order is appended to the output file at once, and
    then deleted, so that the disk never contains more than one split twice. The output
    of a single split is moved.

    Args:
        job: The file job.
        size: The approximate size of a split in bytes.

    Attributes:
        job: The file job.
        splits: The splits of the input file, in order.
        counts: The counts of the rows of the splits whose output was appended.

    Raises:
        DataError: The input file cannot be read.
    """

    def __init__(self, job: FileJob, size: int) -> None:
        self.job = job
        self._signature = file_signature(job.path)
        self.splits: list[FileSplit] = split_file(job.path, size)
        self.counts = RowCounts()
        self._finished: dict[int, RowCounts] = {}
        self._next = 0
        self._directory = _parts_directory(job.output)
        # A killed run may have left outputs of other splits.
        shutil.rmtree(self._directory, ignore_errors=True)
        self._directory.mkdir(parents=True)
        self._stack = ExitStack()
        self._stack.callback(shutil.rmtree, self._directory, ignore_errors=True)
        self._temporary: Path | None = None
        self._writer: OutputWriter | None = None

    def split_output(self, number: int) -> Path:
        """Returns the path that the output of a split has to be written to.

        Args:
            number: The position of the split in `splits`.
        """
        return self._directory / str(number)

    def add(self, number: int, counts: RowCounts) -> bool:
        """Adds the output of a finished split.

        Args:
            number: The position of the split in `splits`.
            counts: The counts of its rows.

        Returns:
            Whether all splits are finished. The output file then exists.

        Raises:
            DataError: The input file changed after it was split.
        """
        self._finished[number] = counts
        while self._next in self._finished:
            self.counts += self._finished.pop(self._next)
            self._append(self.split_output(self._next))
            self._next += 1
        if self._next == len(self.splits):
            self._stack.close()
            return True
        return False

    def _append(self, split_output: Path) -> None:
        if self._temporary is None:
            output = atomic_output(self.job, self._signature)
            self._temporary = self._stack.enter_context(output)
        if len(self.splits) == 1 and not is_special(self._temporary):
            split_output.replace(self._temporary)
            return
        if self._writer is None:
            writer = self.job.writer(self._temporary)
            self._writer = self._stack.enter_context(writer)
        self._writer.append(split_output)
        split_output.unlink()

    def abort(self, error: BaseException) -> None:
        """Removes all unfinished output. A complete output file stays."""
        self._stack.__exit__(type(error), error, None)


def _parts_directory(output: Path) -> Path:
    """Returns the directory of the outputs of splits, on the disk of the output."""
    owner = f"-{os.getpid()}" if is_special(output) else ""
    return scratch_parent(output) / f".{output.name[:_MAX_NAME]}{owner}.parts"
