"""A table in Parquet files that are mapped: rows by id, without the table in memory."""

from __future__ import annotations

import os
import time
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from object2vec_tf.errors import UserError
from object2vec_tf.files.digests import verify_digests
from object2vec_tf.tables.parquet_layout import (
    GROUP_ROWS,
    ID,
    TABLE_DIGESTS,
    VALUES,
    WRITE_AGAIN,
    read_layout,
    reported_as_other_layout,
)
from object2vec_tf.tables.parquet_writer import part_files
from object2vec_tf.tables.resident_memory import MappedPages, prefetch_pages
from object2vec_tf.tables.table_reader import ITEM_BYTES, Rows

Ids = npt.NDArray[np.int64]

# Between two looks at the memory that is mapped; each row may map another 2 MB.
_BLOCK_ROWS = 128
# Rows in the system's cache take about one microsecond each.
_DISK_SECONDS = 10e-6
# The memory of a process is shared by all of its tables.
_PAGES = MappedPages()


class TableFileChanged(UserError):
    """A file of a table was truncated or replaced while a process used it."""


class MappedTable:
    """A table that `write_parquet_table` wrote; a `TableReader`, and rows by id.

    Several threads may read it at the same time.

    Args:
        directory: The directory of the files.
        verify: Whether to compare the checksums of all files first, for which they are
            read completely.

    Attributes:
        directory: As given.
        rows: Number of rows.
        width: Number of columns.

    Raises:
        UserError: There are no such files, or they are damaged or have another layout.

    Example:
        >>> import pathlib
        >>> import numpy as np
        >>> from object2vec_tf.tables.mapped_table import MappedTable
        >>> from object2vec_tf.tables.parquet_writer import write_parquet_table
        >>> from object2vec_tf.tables.table_reader import ArrayReader
        >>> directory = pathlib.Path("tables/enc0")
        >>> write_parquet_table(ArrayReader(np.eye(3)), directory)
        >>> MappedTable(directory).take(np.array([2, 0, 2])).tolist()
        [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """

    def __init__(self, directory: Path, *, verify: bool = True) -> None:
        self.directory = directory
        paths = part_files(directory)
        if not paths:
            raise UserError(
                f"{directory}: expected the Parquet files of a table, found none. "
                f"{WRITE_AGAIN}"
            )
        if verify and not verify_digests(directory, WRITE_AGAIN, file=TABLE_DIGESTS):
            raise UserError(
                f"{directory / TABLE_DIGESTS}: is missing: the directory is half "
                f"copied. {WRITE_AGAIN}"
            )
        self._parts: list[_TableFile] = []
        self.rows = 0
        for path in paths:
            self._check_previous(path)
            self._parts.append(_TableFile(path, self.rows))
            self.rows += self._parts[-1].rows
        self.width = self._parts[0].width
        if any(part.width != self.width for part in self._parts):
            raise UserError(
                f"{directory}: expected files with vectors of the same width, got "
                f"{sorted({part.width for part in self._parts})}. {WRITE_AGAIN}"
            )
        groups = [part.groups for part in self._parts]
        self._offsets = np.concatenate([part.offsets for part in self._parts])
        # Whether the rows of the last block were read from the disk.
        self._reads_disk = False
        self._part_of_group = np.repeat(np.arange(len(groups)), groups)

    def _check_previous(self, path: Path) -> None:
        """Checks that a file can follow the previous one."""
        if self.rows % GROUP_ROWS:
            raise UserError(
                f"{self._parts[-1].path}: expected a multiple of {GROUP_ROWS} rows, "
                f"since {path.name} follows, got {self._parts[-1].rows}. {WRITE_AGAIN}"
            )

    def take(self, ids: npt.NDArray[np.integer]) -> Rows:
        """Returns the rows of ids. It takes least time if the ids ascend.

        Args:
            ids: Integers ``[ids]``, also repeated ones.

        Returns:
            float32 ``[ids, width]``.

        Raises:
            IndexError: An id is not in ``[0, rows)``.
            TableFileChanged: A file was truncated or changed after it was opened.
        """
        rows: Ids = ids.astype(np.int64, copy=False)
        if ids.size and not 0 <= ids.min() <= ids.max() < self.rows:
            raise IndexError(
                f"{self.directory}: expected ids in [0, {self.rows}), got ids from "
                f"{ids.min()} to {ids.max()}"
            )
        result = np.empty((len(ids), self.width), np.float32)
        for start in range(0, len(ids), _BLOCK_ROWS):
            block = slice(start, start + _BLOCK_ROWS)
            before = time.perf_counter()
            self._take_block(rows[block], result[block])
            seconds = time.perf_counter() - before
            self._reads_disk = seconds > _DISK_SECONDS * len(rows[block])
            _PAGES.release_if_many()
        return result

    def _take_block(self, ids: Ids, result: Rows) -> None:
        groups = ids // GROUP_ROWS
        offsets = self._offsets[groups] + ids % GROUP_ROWS * self.width * ITEM_BYTES
        parts = self._part_of_group[groups]
        first, last = int(parts.min()), int(parts.max())
        if first == last:
            self._parts[first].copy(offsets, result, prefetch=self._reads_disk)
            return
        for number in np.unique(parts):
            chosen = parts == number
            rows = np.empty((np.count_nonzero(chosen), self.width), np.float32)
            part = self._parts[number]
            part.copy(offsets[chosen], rows, prefetch=self._reads_disk)
            result[chosen] = rows

    def read(self, start: int, stop: int) -> Rows:
        """See `TableReader`; the rows are read from the files, and not mapped."""
        result = np.empty((stop - start, self.width), np.float32)
        while start < stop:
            group = start // GROUP_ROWS
            end = min(stop, (group + 1) * GROUP_ROWS)
            rows = result[len(result) - (stop - start) :][: end - start]
            offset = int(self._offsets[group])
            offset += start % GROUP_ROWS * self.width * ITEM_BYTES
            self._parts[self._part_of_group[group]].read_into(rows, offset)
            start = end
        return result


class _TableFile:
    """One file of a table.

    Args:
        path: The file.
        first_id: The id of its first row.
    """

    def __init__(self, path: Path, first_id: int) -> None:
        self.path = path
        layout = read_layout(path)
        self.rows, self.width, self.offsets = layout.rows, layout.width, layout.offsets
        self.groups = len(self.offsets)
        self._file = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)
        self._state = self._file_state()
        self._mapping = _PAGES.map(self._file)
        row_bytes = self.width * ITEM_BYTES
        # All positions of the file at which a row may begin.
        self._row_at: npt.NDArray[Any] = np.ndarray(
            (self._state[0] - row_bytes + 1,),
            f"V{row_bytes}",
            buffer=self._mapping,
            strides=(1,),
        )
        with reported_as_other_layout(path):
            self._check_rows(first_id)

    def _file_state(self) -> tuple[int, int]:
        state = os.fstat(self._file)
        return state.st_size, state.st_mtime_ns

    def _check_unchanged(self) -> None:
        """Checks that the file is as it was; reading a truncated mapping is fatal."""
        if self._file_state() != self._state:
            raise TableFileChanged(
                f"{self.path}: was changed while it was in use. Export to another "
                "directory or version, and start again."
            )

    def copy(self, offsets: Ids, result: Rows, prefetch: bool = False) -> None:
        """Copies rows to consecutive ones.

        Args:
            offsets: The positions of the rows in the file.
            result: The rows to write, float32 ``[offsets, width]``.
            prefetch: Whether to let the system read all rows first.
        """
        self._check_unchanged()
        if prefetch:
            prefetch_pages(self._mapping, offsets, self.width * ITEM_BYTES)
        result.view(self._row_at.dtype)[:, 0] = self._row_at[offsets]

    def read_into(self, rows: Rows, offset: int) -> None:
        """Reads consecutive rows.

        Args:
            rows: The rows to write, contiguous.
            offset: The position of the first of them in the file.
        """
        data = memoryview(rows.view(np.uint8).data).cast("B")
        while data:
            count = os.preadv(self._file, [data], offset)
            if not count:
                raise TableFileChanged(f"{self.path}: was truncated. {WRITE_AGAIN}")
            data, offset = data[count:], offset + count

    def _check_rows(self, first_id: int) -> None:
        """Compares the first row and the last row with what a Parquet reader reads."""
        file = pq.ParquetFile(self.path)
        row_bytes = self.width * ITEM_BYTES
        last = (self.rows - 1) % GROUP_ROWS
        for group, row, expected_id in (
            (0, 0, first_id),
            (self.groups - 1, last, first_id + self.rows - 1),
        ):
            table = file.read_row_group(group, columns=[ID, VALUES])
            mapped = np.empty((1, self.width), np.float32)
            offset = self.offsets[group : group + 1] + row * row_bytes
            self.copy(offset, mapped)
            expected = np.array(table[VALUES][row].values, np.float32)
            if table[ID][row].as_py() != expected_id or not np.array_equal(
                mapped[0].view(np.uint32), expected.view(np.uint32)
            ):
                raise UserError(
                    f"{self.path}: expected the vectors of the ids from {first_id} on, "
                    f"got other rows. {WRITE_AGAIN}"
                )
