"""Hashes that identify the objects of a channel, and the frequencies of objects."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from object2vec_tf.ragged.column import Column

RowHashes = npt.NDArray[np.uint64]
_BLOCK_ROWS = 1 << 16
# Constants of the generator splitmix64 (Steele et al., 2014).
_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def row_hashes(
    column: Column, max_rows: int | None = None, *, block_rows: int = _BLOCK_ROWS
) -> RowHashes:
    """Returns a hash of each row; rows with the same tokens have the same hash.

    Args:
        column: Token ids by row.
        max_rows: Hashes only this number of rows, from the first; None for all.
        block_rows: Number of rows to hash at a time.

    Returns:
        uint64 ``[rows]``.
    """
    rows = min(len(column), max_rows or len(column))
    hashes = np.empty(rows, np.uint64)
    for start in range(0, rows, block_rows):
        stop = min(start + block_rows, rows)
        block = column.take(np.arange(start, stop))
        hashes[start:stop] = _hash_rows(block.values, block.row_splits)
    return hashes


def log_frequencies(
    column: Column, *, block_rows: int = _BLOCK_ROWS
) -> npt.NDArray[np.float32]:
    """Returns the logarithm of the relative frequency of each row.

    Args:
        column: Token ids by row.
        block_rows: Number of rows to hash at a time.

    Returns:
        float32 ``[rows]``, at most 0: the logarithm of the fraction of rows with the
        same tokens.
    """
    hashes = row_hashes(column, block_rows=block_rows)
    _, numbers, counts = np.unique(hashes, return_inverse=True, return_counts=True)
    return np.log(counts / len(hashes)).astype(np.float32)[numbers]


def object_numbers(
    column: Column, *, block_rows: int = _BLOCK_ROWS
) -> npt.NDArray[np.int32]:
    """Returns the number of each row's object; rows with the same tokens share it.

    The peak of memory is about 25 bytes per row.

    Args:
        column: Token ids by row.
        block_rows: Number of rows to hash at a time.

    Returns:
        int32 ``[rows]``, from 0 to the number of distinct objects minus 1.

    Example:
        >>> from object2vec_tf.ragged.column import RaggedColumn
        >>> numbers = object_numbers(RaggedColumn.from_rows([[5, 6], [7], [5, 6]]))
        >>> bool(numbers[0] == numbers[2]), sorted(set(numbers.tolist()))
        (True, [0, 1])
    """
    hashes = row_hashes(column, block_rows=block_rows)
    distinct = np.sort(hashes)
    is_new = np.ones(len(distinct), bool)
    np.not_equal(distinct[1:], distinct[:-1], out=is_new[1:])
    distinct = distinct[is_new]
    numbers = np.empty(len(hashes), np.int32)
    # Hashes are evenly spread: their first bits give almost the position.
    shift = np.uint64(64 - max(len(distinct).bit_length(), 1))
    starts = np.searchsorted(distinct >> shift, np.arange(1 << (64 - int(shift))))
    for start in range(0, len(hashes), block_rows):
        block = hashes[start : start + block_rows]
        positions = starts[block >> shift]
        later = np.arange(len(block))
        while len(later):
            later = later[distinct[positions[later]] != block[later]]
            positions[later] += 1
        numbers[start : start + block_rows] = positions
    return numbers


class RowPositions:
    """Finds the positions of rows by their hashes, in sorted arrays.

    Args:
        hashes: The hash of the row at each position, uint64 ``[rows]``. Rows may
            repeat.

    Example:
        >>> import numpy as np
        >>> positions = RowPositions(np.array([9, 4, 9, 7], np.uint64))
        >>> numbers, found = positions.find(np.array([7, 5, 9], np.uint64))
        >>> numbers, found
        (array([0, 2, 2]), array([3, 0, 2]))
    """

    def __init__(self, hashes: RowHashes) -> None:
        self._order = np.argsort(hashes, kind="stable")
        self._hashes = hashes[self._order]

    def find(
        self, hashes: RowHashes
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Returns all positions of the rows with the given hashes.

        Args:
            hashes: uint64 ``[rows]``.

        Returns:
            The number of the given row and the position, for each match: int64
            ``[matches]`` each. The numbers are in ascending order.
        """
        starts = np.searchsorted(self._hashes, hashes, "left")
        counts = np.searchsorted(self._hashes, hashes, "right") - starts
        numbers = np.repeat(np.arange(len(hashes)), counts)
        offsets = np.arange(len(numbers)) - np.repeat(
            np.cumsum(counts) - counts, counts
        )
        return numbers, self._order[np.repeat(starts, counts) + offsets]


def join_matches(
    first: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]],
    second: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Returns all pairs of a first and a second position found for the same row.

    Args:
        first: A result of `RowPositions.find`.
        second: Another one, for rows with the same numbers.

    Returns:
        First and second positions, int64 ``[pairs]`` each.

    Example:
        >>> import numpy as np
        >>> first = np.array([0, 1]), np.array([5, 6])
        >>> second = np.array([1, 1, 2]), np.array([7, 8, 9])
        >>> join_matches(first, second)
        (array([6, 6]), array([7, 8]))
    """
    numbers, matches = RowPositions(second[0].astype(np.uint64)).find(
        first[0].astype(np.uint64)
    )
    return first[1][numbers], second[1][matches]


def _hash_rows(
    values: npt.NDArray[np.integer], splits: npt.NDArray[np.int64]
) -> RowHashes:
    """Returns a hash of the ids of each row and of their order."""
    lengths = np.diff(splits)
    positions = np.arange(len(values)) - np.repeat(splits[:-1] - splits[0], lengths)
    mixed = _mixed(_mixed(values.astype(np.uint64)) + positions.astype(np.uint64))
    # The sums wrap around; the difference of two of them is exact nevertheless.
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(mixed, dtype=np.uint64)])
    ends = splits - splits[0]
    return _mixed(sums[ends[1:]] - sums[ends[:-1]] + lengths.astype(np.uint64))


def _mixed(numbers: RowHashes) -> RowHashes:
    numbers = numbers + _STEP
    numbers = (numbers ^ (numbers >> np.uint64(30))) * _MIX[0]
    numbers = (numbers ^ (numbers >> np.uint64(27))) * _MIX[1]
    return numbers ^ (numbers >> np.uint64(31))
