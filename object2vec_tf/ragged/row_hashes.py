"""Objects of a channel told apart, and how often each stands there."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from object2vec_tf.ragged.column import Column

RowHashes = npt.NDArray[np.uint64]
_ROWS = 1 << 16
# Constants of the generator splitmix64 (Steele and others, 2014).
_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def row_hashes(column: Column, most: int | None = None) -> RowHashes:
    """Returns a number for each row, the same where the same tokens stand: a hash.

    Args:
        column: Token ids by row.
        most: How many rows are looked at, from the first on; None: all.

    Returns:
        uint64 ``[rows]``.
    """
    rows = min(len(column), most or len(column))
    keys = np.empty(rows, np.uint64)
    for start in range(0, rows, _ROWS):
        stop = min(start + _ROWS, rows)
        part = column.take(np.arange(start, stop))
        keys[start:stop] = _row_keys(part.values, part.row_splits)
    return keys


def log_frequencies(column: Column) -> npt.NDArray[np.float32]:
    """Returns the logarithm of the share of rows that hold what each row holds.

    Args:
        column: Token ids by row.

    Returns:
        float32 ``[rows]``, 0 at the most.
    """
    keys = row_hashes(column)
    _, places, counts = np.unique(keys, return_inverse=True, return_counts=True)
    return np.log(counts / len(keys)).astype(np.float32)[places]


def _row_keys(
    values: npt.NDArray[np.integer], splits: npt.NDArray[np.int64]
) -> RowHashes:
    """Returns a hash of each row's ids and their order."""
    lengths = np.diff(splits)
    places = np.arange(len(values)) - np.repeat(splits[:-1] - splits[0], lengths)
    mixed = _mixed(_mixed(values.astype(np.uint64)) + places.astype(np.uint64))
    # Sums that wrap around: the difference of two is exact nevertheless.
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(mixed, dtype=np.uint64)])
    ends = splits - splits[0]
    return _mixed(sums[ends[1:]] - sums[ends[:-1]] + lengths.astype(np.uint64))


def _mixed(keys: RowHashes) -> RowHashes:
    keys = keys + _STEP
    keys = (keys ^ (keys >> np.uint64(30))) * _MIX[0]
    keys = (keys ^ (keys >> np.uint64(27))) * _MIX[1]
    return keys ^ (keys >> np.uint64(31))
