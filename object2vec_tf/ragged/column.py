"""Columns of ragged token ids: values and row splits."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int32]
Splits = npt.NDArray[np.int64]
# Row numbers or token counts, in any integer type that is wide enough.
Counts = npt.NDArray[np.integer[Any]]

# From this number of tokens on, other threads should not wait while rows are gathered.
_MANY_TOKENS = 1 << 17


class Column(Protocol):
    """Rows of token ids, in memory or in a file."""

    def __len__(self) -> int:
        """Returns the number of rows."""

    @property
    def lengths(self) -> Counts:
        """The number of tokens in each row, ``[rows]``."""

    @property
    def tokens(self) -> int:
        """The number of tokens of all rows."""

    def take(self, rows: Counts) -> RaggedColumn:
        """Returns the given rows, in the given order."""


@dataclasses.dataclass(frozen=True)
class RaggedColumn:
    """Rows of token ids of any lengths, stored end to end.

    Attributes:
        values: int32 ``[tokens]``, the ids of all rows.
        row_splits: int64 ``[rows + 1]``; row i is
            ``values[row_splits[i]:row_splits[i + 1]]``.
    """

    values: Ids
    row_splits: Splits

    def __len__(self) -> int:
        """Returns the number of rows."""
        return len(self.row_splits) - 1

    @property
    def lengths(self) -> Splits:
        """The number of tokens in each row, ``[rows]``."""
        return np.diff(self.row_splits)

    @property
    def tokens(self) -> int:
        """The number of tokens of all rows."""
        return int(self.row_splits[-1] - self.row_splits[0])

    def take(self, rows: Counts) -> RaggedColumn:
        """Returns the given rows, in the given order."""
        starts = self.row_splits[rows]
        return gather_rows(self.values, starts, self.row_splits[rows + 1] - starts)

    def rows(self, start: int, stop: int) -> RaggedColumn:
        """Returns the rows from start to before stop, or to the end."""
        splits = self.row_splits[start : stop + 1]
        return RaggedColumn(self.values[splits[0] : splits[-1]], splits - splits[0])

    def where(self, kept: npt.NDArray[np.bool_]) -> RaggedColumn:
        """Returns the rows with some of their tokens.

        Args:
            kept: Which tokens to keep, ``[tokens]``.

        Example:
            >>> column = RaggedColumn.from_rows([[7, -1, 8], [-1], [9]])
            >>> column = column.where(column.values != -1)
            >>> column.values, column.row_splits
            (array([7, 8, 9], dtype=int32), array([0, 2, 2, 3]))
        """
        counts = np.zeros(len(kept) + 1, np.int64)
        np.cumsum(kept, out=counts[1:])
        return RaggedColumn(self.values[kept], counts[self.row_splits])

    def truncate(
        self, max_len: int, continued_from: int | None = None
    ) -> tuple[RaggedColumn, int]:
        """Truncates rows to ``max_len`` tokens.

        Args:
            max_len: The number of tokens to keep.
            continued_from: Ids from this one on belong to the token before them; None
                if every id is a token.

        Returns:
            The column, and the number of rows that were truncated.

        Example:
            >>> column = RaggedColumn.from_rows([[1, 7, 9, 9, 2], [3]])
            >>> column.truncate(2, continued_from=8)[0].values
            array([1, 7, 9, 9, 3], dtype=int32)
        """
        if continued_from is not None and np.any(self.values >= continued_from):
            return self._truncate_runs(max_len, continued_from)
        lengths = self.lengths
        truncated = int(np.count_nonzero(lengths > max_len))
        if not truncated:
            return self, 0
        position = np.arange(len(self.values)) - np.repeat(
            self.row_splits[:-1], lengths
        )
        kept = self.values[position < max_len]
        return RaggedColumn(kept, _splits(np.minimum(lengths, max_len))), truncated

    def _truncate_runs(
        self, max_len: int, continued_from: int
    ) -> tuple[RaggedColumn, int]:
        """Truncates rows in which some tokens have several ids."""
        counts = np.zeros(len(self.values) + 1, np.int64)
        np.cumsum(self.values < continued_from, out=counts[1:])
        before = np.repeat(counts[self.row_splits[:-1]], self.lengths)
        column = self.where(counts[1:] - before <= max_len)
        return column, int(np.count_nonzero(column.lengths < self.lengths))

    @staticmethod
    def from_rows(rows: Sequence[Sequence[int]]) -> RaggedColumn:
        """Converts lists of token ids to a column."""
        lengths = np.array([len(row) for row in rows], np.int64)
        values = np.fromiter(itertools.chain.from_iterable(rows), np.int32)
        return RaggedColumn(values, _splits(lengths))

    @staticmethod
    def concatenate(columns: Sequence[RaggedColumn]) -> RaggedColumn:
        """Returns the rows of all columns in order."""
        values = [column.values for column in columns]
        lengths = [column.lengths for column in columns]
        return RaggedColumn(
            np.concatenate(values or [np.zeros(0, np.int32)]),
            _splits(np.concatenate(lengths or [np.zeros(0, np.int64)])),
        )


def gather_rows(
    values: npt.NDArray[np.integer[Any]], starts: Splits, lengths: Splits
) -> RaggedColumn:
    """Returns rows from anywhere in the values.

    Args:
        values: Token ids, ``[tokens]``.
        starts: The position of each row's first token, ``[rows]``.
        lengths: The number of tokens of each row, ``[rows]``.
    """
    splits = _splits(lengths)
    positions = starts
    if splits[-1] >= _MANY_TOKENS:
        positions = consecutive(starts, lengths)
    elif np.any(lengths != 1):
        positions = np.repeat(starts - splits[:-1], lengths) + np.arange(splits[-1])
    return RaggedColumn(values[positions].astype(np.int32, copy=False), splits)


def repeated(values: Counts, counts: Counts) -> Splits:
    """Returns the same as ``np.repeat``, without Python's lock.

    numpy 2 keeps the lock in ``np.repeat``, so that other threads wait for it.

    Args:
        values: int64 ``[rows]``.
        counts: How often to repeat each value, ``[rows]``.

    Example:
        >>> repeated(np.array([7, 3, 5]), np.array([2, 0, 3])).tolist()
        [7, 7, 5, 5, 5]
    """
    return _running_sums(values, counts, 0)


def consecutive(starts: Counts, counts: Counts) -> Splits:
    """Returns ``counts[i]`` consecutive numbers from ``starts[i]`` on, for each i.

    It does not keep Python's lock; see `repeated`.

    Args:
        starts: int64 ``[rows]``.
        counts: ``[rows]``.

    Example:
        >>> consecutive(np.array([7, 3, 5]), np.array([2, 0, 3])).tolist()
        [7, 8, 5, 6, 7]
    """
    return _running_sums(starts, counts, 1)


def _running_sums(starts: Counts, counts: Counts, step: int) -> Splits:
    """Returns arithmetic sequences with a common step, end to end."""
    has_any = counts > 0
    if not np.all(has_any):
        starts, counts = starts[has_any], counts[has_any]
    splits = _splits(counts)
    steps = np.full(splits[-1], step, np.int64)
    if len(starts):
        steps[0] = starts[0]
        steps[splits[1:-1]] = starts[1:] - starts[:-1] - step * (counts[:-1] - 1)
    return np.cumsum(steps, out=steps)


def first_tokens(
    column: Column, continued_from: int | None = None, *, block_rows: int = 1 << 16
) -> RaggedColumn:
    """Returns the first token of each row; an empty row stays empty.

    Args:
        column: Rows of token ids.
        continued_from: As for `RaggedColumn.truncate`.
        block_rows: Number of rows to read at a time.

    Example:
        >>> first_tokens(RaggedColumn.from_rows([[7, 8], [], [9]])).values
        array([7, 9], dtype=int32)
    """
    starts = range(0, len(column), block_rows)
    blocks = (np.arange(i, min(i + block_rows, len(column))) for i in starts)
    return RaggedColumn.concatenate(
        [column.take(rows).truncate(1, continued_from)[0] for rows in blocks]
    )


def _splits(lengths: Counts) -> Splits:
    splits = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=splits[1:])
    return splits
