"""Parts of input files that are read separately; in order, they make up the file."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import Any, BinaryIO, cast

from object2vec_tf.files.channels import open_file
from object2vec_tf.files.record_batches import (
    is_parquet,
    is_table_file,
    open_parquet,
)

# Text is read and decoded in blocks of this size.
BLOCK_BYTES = 1 << 20
_COMPRESSED = (".gz", ".zst")
# The start of a line is searched for backwards in steps of this size.
_SEARCH_BYTES = 1 << 16


@dataclasses.dataclass(frozen=True)
class FileSplit:
    """A part of a file.

    Attributes:
        path: A JSON Lines file or, by its suffix, a Parquet or Arrow file.
        start: The first byte, which starts a line; for Parquet, the first row group.
            Arrow files have one part.
        stop: The first byte or row group after the part; None for the end of the file.
    """

    path: Path
    start: int = 0
    stop: int | None = None


def split_file(path: Path, size: int) -> list[FileSplit]:
    """Splits a file into parts, in order.

    Compressed text becomes one part, since it can only be read from its start, and so
    do Arrow files. Parquet is split between row groups.

    Args:
        path: JSON Lines, ``.gz`` and ``.zst`` too, Parquet, or Arrow.
        size: The approximate bytes of a part: it may be larger by less than a line or a
            row group. For text, a multiple of `BLOCK_BYTES`: a part then consists of
            the same blocks as in a read of the whole file, and the predictions are the
            same to the last bit.

    Raises:
        DataError: The file cannot be read.
    """
    if is_parquet(path):
        starts = _row_group_starts(path, size)
    elif path.suffix in _COMPRESSED or is_table_file(path):
        starts = [0]
    else:
        starts = _line_starts(path, size)
    stops: list[int | None] = [*starts[1:], None]
    return [FileSplit(path, *ends) for ends in zip(starts, stops, strict=True)]


def _row_group_starts(path: Path, size: int) -> list[int]:
    with open_parquet(path) as file:
        metadata = file.metadata
    starts, size_so_far = [0], 0
    for group in range(metadata.num_row_groups):
        if size_so_far >= size:
            starts.append(group)
            size_so_far = 0
        size_so_far += metadata.row_group(group).total_byte_size
    return starts


def _line_starts(path: Path, size: int) -> list[int]:
    starts = [0]
    with open_file(path) as file:
        end = file.seek(0, io.SEEK_END)
        for offset in range(size, end, size):
            start = _line_start(file, offset, starts[-1])
            if start > starts[-1]:
                starts.append(start)
    return starts


def _line_start(file: BinaryIO, offset: int, min_start: int) -> int:
    """Returns the start of the line that contains an offset; at least ``min_start``."""
    while offset > min_start:
        before = max(offset - _SEARCH_BYTES, min_start)
        file.seek(before)
        newline = file.read(offset - before).rfind(b"\n")
        if newline >= 0:
            return before + newline + 1
        offset = before
    return min_start


def open_split(split: FileSplit) -> BinaryIO:
    """Opens a part of a text file for reading; compressed files are decompressed."""
    file = open_file(split.path)
    if not split.start and split.stop is None:
        return file
    return cast(BinaryIO, _ByteRange(file, split.start, split.stop))


def lines_before(split: FileSplit) -> int:
    """Returns the number of lines in the file before a part of text."""
    count = 0
    if split.start:
        with open_split(FileSplit(split.path, 0, split.start)) as file:
            while data := file.read(BLOCK_BYTES):
                count += data.count(b"\n")
    return count


class _ByteRange(io.RawIOBase):
    """The bytes of a file between two offsets.

    A read of ``n`` bytes ends at the next multiple of ``n`` in the file, as it would in
    a read of the whole file in chunks of ``n`` bytes.
    """

    def __init__(self, file: BinaryIO, start: int, stop: int | None) -> None:
        self._file = file
        self._stop = file.seek(0, io.SEEK_END) if stop is None else stop
        self._offset = file.seek(start)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = len(buffer) - self._offset % len(buffer)
        data = self._file.read(min(size, self._stop - self._offset))
        buffer[: len(data)] = data
        self._offset += len(data)
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()
