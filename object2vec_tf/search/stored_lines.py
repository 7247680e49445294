"""Lines of a file with random access: the items and labels of an index."""

from __future__ import annotations

import mmap
import os
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

# The starts of lines are collected in arrays of this size.
_STARTS_PER_ARRAY: Final = 1 << 15


class StoredLines:
    """Lines that `write_lines` wrote. They are read from the file when accessed.

    Args:
        path: The file.
        count: The number of lines.

    Raises:
        OSError: The file or its starts cannot be read.
        ValueError: The file does not have the size that it was written with, or its
            starts are damaged.
    """

    def __init__(self, path: Path, count: int) -> None:
        self._starts = _read_starts(starts_path(path), count)
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size != self._starts[-1]:
                raise ValueError(
                    f"{path.name}: expected {self._starts[-1]} bytes, got {size}"
                )
            self._text = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def __len__(self) -> int:
        """Returns the number of lines."""
        return len(self._starts) - 1

    def __iter__(self) -> Iterator[bytes]:
        """Yields all lines."""
        return (self[number] for number in range(len(self)))

    def __getitem__(self, number: int) -> bytes:
        """Returns a line by its number from 0, without its line end."""
        start, stop = int(self._starts[number]), int(self._starts[number + 1])
        return self._text[start : stop - 1]


def _read_starts(path: Path, count: int) -> npt.NDArray[np.int64]:
    """Returns the starts of lines, and the end of the last one, memory-mapped."""
    try:
        starts = np.lib.format.open_memmap(path, mode="r")
    except (ValueError, OverflowError, EOFError, tokenize.TokenError) as error:
        raise ValueError(f"{path.name}: {error}") from error
    if starts.dtype != np.int64 or starts.shape != (count + 1,):
        raise ValueError(
            f"{path.name}: expected {count + 1} values of int64, got {starts.dtype} "
            f"{list(starts.shape)}"
        )
    if starts[0] != 0 or (starts[1:] <= starts[:-1]).any():
        raise ValueError(f"{path.name}: expected ascending values from 0, got others")
    return starts


def starts_path(path: Path) -> Path:
    """Returns the path of the array with the start of each line of a file."""
    return path.with_suffix(".starts.npy")


def write_lines(path: Path, lines: Iterable[bytes]) -> int:
    """Writes lines, and the array of their starts; returns the number of lines.

    Args:
        path: The file to write.
        lines: The lines, without line ends.
    """
    arrays = [np.zeros(1, np.int64)]
    position, starts = 0, []
    with path.open("wb") as file:
        for line in lines:
            position += file.write(line + b"\n")
            starts.append(position)
            if len(starts) == _STARTS_PER_ARRAY:
                arrays.append(np.array(starts, np.int64))
                starts = []
    all_starts = np.concatenate([*arrays, np.array(starts, np.int64)])
    np.save(starts_path(path), all_starts)
    return len(all_starts) - 1
