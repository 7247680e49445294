"""Pieces of files: each is read by itself, and end to end they are the file."""

from __future__ import annotations

import dataclasses
import io
import itertools
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from object2vec_tf.errors import DataError
from object2vec_tf.files.channels import open_file

# Text that is read and decoded at a time.
BLOCK_BYTES = 1 << 20
_PACKED = (".gz", ".zst")
_BACKWARDS = 1 << 16


@dataclasses.dataclass(frozen=True)
class FileSplit:
    """A part of a file.

    Attributes:
        path: JSON Lines or, by its suffix, Parquet.
        start: The first byte of the part, at the start of a line; of Parquet the first
            row group.
        stop: What follows its last one; None at the end of the file.
    """

    path: Path
    start: int = 0
    stop: int | None = None


def is_parquet(path: Path) -> bool:
    """Whether a file is Parquet, by its suffix; otherwise it is JSON Lines."""
    return path.suffix == ".parquet"


def open_parquet(path: Path) -> pq.ParquetFile:
    """Opens a Parquet file; of its columns no more than a buffer is read ahead.

    Raises:
        DataError: It is none, or is damaged.
    """
    try:
        return pq.ParquetFile(path, buffer_size=BLOCK_BYTES, pre_buffer=False)
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"{path}: cannot be read as Parquet: {error}; write the file again"
        ) from error


def split_file(path: Path, size: int) -> list[FileSplit]:
    """Returns the pieces of a file, in order; one where it cannot be entered inside.

    Packed text cannot: it is read from its beginning. Parquet is cut between row
    groups.

    Args:
        path: JSON Lines, ``.gz`` and ``.zst`` too, or Parquet.
        size: The bytes of a piece, about: more by less than a line, or a row group. For
            text a multiple of `BLOCK_BYTES`, so that pieces are made of the blocks in
            which the whole file is read, and are answered bit by bit as it is.

    Raises:
        DataError: The file cannot be read.
    """
    if is_parquet(path):
        starts = _row_groups(path, size)
    elif path.suffix in _PACKED:
        starts = [0]
    else:
        starts = _line_starts(path, size)
    if len(starts) == 1:
        return [FileSplit(path)]
    return list(itertools.starmap(FileSplit, _ranges(path, starts)))


def _ranges(path: Path, starts: list[int]) -> list[tuple[Path, int, int | None]]:
    stops: list[int | None] = [*starts[1:], None]
    return [(path, *ends) for ends in zip(starts, stops, strict=True)]


def _row_groups(path: Path, size: int) -> list[int]:
    with open_parquet(path) as file:
        metadata = file.metadata
    starts, held = [0], 0
    for group in range(metadata.num_row_groups):
        if held >= size:
            starts.append(group)
            held = 0
        held += metadata.row_group(group).total_byte_size
    return starts


def _line_starts(path: Path, size: int) -> list[int]:
    starts = [0]
    with open_file(path) as file:
        end = file.seek(0, io.SEEK_END)
        for place in range(size, end, size):
            start = _line_start(file, place, starts[-1])
            if start > starts[-1]:
                starts.append(start)
    return starts


def _line_start(file: BinaryIO, place: int, least: int) -> int:
    """Returns where the line begins that goes on at a place; at least ``least``."""
    while place > least:
        before = max(place - _BACKWARDS, least)
        file.seek(before)
        found = file.read(place - before).rfind(b"\n")
        if found >= 0:
            return before + found + 1
        place = before
    return least


def open_split(piece: FileSplit) -> BinaryIO:
    """Opens a piece of text for reading, packed files unpacked on the way."""
    file = open_file(piece.path)
    if not piece.start and piece.stop is None:
        return file
    return cast(BinaryIO, _Stretch(file, piece.start, piece.stop))


def lines_before(piece: FileSplit) -> int:
    """Returns how many lines of its file stand before a piece of text."""
    count = 0
    if piece.start:
        with open_split(FileSplit(piece.path, 0, piece.start)) as file:
            while data := file.read(BLOCK_BYTES):
                count += data.count(b"\n")
    return count


class _Stretch(io.RawIOBase):
    """The bytes of a file from one place to another.

    Reads end where those of the whole file, in chunks of the same size, would.
    """

    def __init__(self, file: BinaryIO, start: int, stop: int | None) -> None:
        self._file = file
        self._stop = file.seek(0, io.SEEK_END) if stop is None else stop
        self._place = file.seek(start)

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        whole = len(target) - self._place % len(target)
        data = self._file.read(min(whole, self._stop - self._place))
        target[: len(data)] = data
        self._place += len(data)
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()
