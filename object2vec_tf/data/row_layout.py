"""Lays out the rows of batches in numpy; see `object2vec_tf.ragged.static_layout`.

The arrays of several batches are made together, which is several times as fast for
small batches as one batch after the other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from object2vec_tf.data.unique_tokens import TokenFinder, UniqueTokens
from object2vec_tf.ragged.column import (
    Counts,
    Ids,
    RaggedColumn,
    consecutive,
    repeated,
)
from object2vec_tf.ragged.static_layout import (
    OWN_FIELDS,
    BatchShape,
    Field,
    Layout,
    SideLayout,
)

Vectors = npt.NDArray[np.int32]


@dataclasses.dataclass(frozen=True, eq=False)
class BatchRows:
    """The rows of consecutive batches, end to end.

    Attributes:
        sizes: The number of rows of each batch, ``[batches]``.
        sides: Token ids of in0 and of in1.
        labels: ``[rows]``.
        weights: float32 ``[rows]``; None for ones.
        log_frequencies: float32 ``[rows, 2]``; None if the layout has none.
        negatives: int32 ``[rows, rate]``, positions in the batch; None if the layout
            has none.
        objects: int32 ``[rows, 2]``, the numbers of the objects in their batch; None if
            the layout has none.
        known: The number of in0 and of in1 of each known pair, int32 ``[known, 2]`` for
            each batch; None if the layout has none.
        shards: The number of rows of each replica, batch by batch,
            ``[batches * replicas]``; None if a single replica has them all.
    """

    sizes: Counts
    sides: tuple[RaggedColumn, RaggedColumn]
    labels: npt.NDArray[Any]
    weights: npt.NDArray[np.float32] | None = None
    log_frequencies: npt.NDArray[np.float32] | None = None
    negatives: npt.NDArray[np.int32] | None = None
    objects: npt.NDArray[np.int32] | None = None
    known: Sequence[npt.NDArray[np.int32]] | None = None
    shards: Counts | None = None


@dataclasses.dataclass(frozen=True)
class Sizes:
    """The sizes that a batch needs, or that a shape has; see `BatchShape`.

    Attributes:
        unique: Number of distinct tokens of each table.
        chunks: Number of chunks of a replica of in0 and of in1.
        row_chunks: Largest number of chunks of a row of in0 and of in1.
        known: Number of known pairs.
    """

    unique: tuple[int, ...]
    chunks: tuple[int, int]
    row_chunks: tuple[int, int]
    known: int = 0

    @property
    def numbers(self) -> tuple[int, ...]:
        """All of them."""
        return (*self.unique, *self.chunks, *self.row_chunks, self.known)

    @classmethod
    def largest(cls, sizes: Sequence[Sizes]) -> Sizes:
        """Returns the largest of each."""
        return cls.of_numbers(
            [max(n) for n in zip(*(s.numbers for s in sizes), strict=True)]
        )

    @classmethod
    def of_numbers(cls, numbers: Sequence[int]) -> Sizes:
        """Returns the inverse of ``numbers``."""
        *unique, chunks0, chunks1, row0, row1, known = (int(n) for n in numbers)
        return cls(tuple(unique), (chunks0, chunks1), (row0, row1), known)


@dataclasses.dataclass(frozen=True, eq=False)
class _SideChunks:
    """The chunks of one side's rows.

    Attributes:
        lengths: Tokens of each row, ``[rows]``.
        counts: Chunks of each row, ``[rows]``.
        starts: The first chunk of each row in its shard, ``[rows]``.
        totals: Chunks of each shard, ``[shards]``.
    """

    lengths: Counts
    counts: Counts
    starts: Counts
    totals: Counts


def chunk_counts(lengths: Counts, side: SideLayout) -> Counts:
    """Returns the number of chunks of rows; an empty row has none.

    Args:
        lengths: Tokens of each row, ``[rows]``.
        side: The layout of the side.

    Example:
        >>> import numpy as np
        >>> chunk_counts(np.array([0, 1, 7, 8]), SideLayout(width=8, gap=1))
        array([0, 1, 1, 2])
    """
    if side.width == 1 and not side.gap:
        return lengths
    return np.where(lengths, (lengths + (side.gap + side.width - 1)) // side.width, 0)


def shard_sizes(sizes: Counts, rows: int, replicas: int) -> Counts:
    """Returns how many rows of each batch each replica has.

    Args:
        sizes: The number of rows of each batch, ``[batches]``.
        rows: The rows of a replica. The last replicas of a batch may have fewer.
        replicas: The number of replicas.

    Returns:
        ``[batches * replicas]``, batch by batch.

    Example:
        >>> import numpy as np
        >>> shard_sizes(np.array([7, 3]), rows=3, replicas=3)
        array([3, 3, 1, 3, 0, 0])
    """
    left = sizes[:, np.newaxis] - rows * np.arange(replicas)
    return left.clip(0, rows).reshape(-1)


class LaidOutRows:
    """Batches whose sizes are known, to be written into vectors.

    Args:
        layout: What the batches of the run have in common.
        rows: The rows of the batches.
        finder: Finds their unique tokens.

    Raises:
        DataError: A token id is not in the vocabulary.
    """

    def __init__(self, layout: Layout, rows: BatchRows, finder: TokenFinder) -> None:
        self._layout = layout
        self._rows = rows
        self._shards = rows.sizes if rows.shards is None else rows.shards
        self._splits = _cumulative(self._shards)
        self._chunks = [
            self._side_chunks(column, side)
            for column, side in zip(rows.sides, layout.sides, strict=True)
        ]
        self._tables, self._positions = self._find_unique(finder)

    def _side_chunks(self, column: RaggedColumn, side: SideLayout) -> _SideChunks:
        lengths = column.lengths
        counts = chunk_counts(lengths, side)
        ends = _cumulative(counts)
        starts = ends[:-1] - repeated(ends[self._splits[:-1]], self._shards)
        return _SideChunks(lengths, counts, starts, np.diff(ends[self._splits]))

    def _find_unique(
        self, finder: TokenFinder
    ) -> tuple[list[UniqueTokens], tuple[Ids, Ids]]:
        """Returns the unique tokens of each table, and the positions of each side."""
        sides, vocab_sizes = self._rows.sides, self._layout.vocab_sizes
        tokens = [column.values for column in sides]
        batches = self._splits[:: self._layout.replicas]
        splits = [column.row_splits[batches] for column in sides]
        if self._layout.tied:
            table = finder.find(tokens, splits, vocab_sizes[0])
            return [table], (table.positions[0], table.positions[1])
        tables = [finder.find([tokens[i]], [splits[i]], vocab_sizes[i]) for i in (0, 1)]
        return tables, (tables[0].positions[0], tables[1].positions[0])

    @property
    def needed(self) -> Sizes:
        """The sizes that the batches need: the largest of each."""
        known = (len(pairs) for pairs in self._rows.known or ())
        return Sizes.of_numbers(
            [
                *(int(table.counts.max()) for table in self._tables),
                *(int(chunks.totals.max()) for chunks in self._chunks),
                *(int(chunks.counts.max()) for chunks in self._chunks),
                max(known, default=0),
            ]
        )

    def write(self, shape: BatchShape, vectors: Vectors) -> None:
        """Writes all arrays of the batches.

        Args:
            shape: The shape of the batches.
            vectors: int32 ``[batches * replicas, shape.size]``; the vectors of the
                replicas for a batch are adjacent.
        """
        fields, replicas = shape.fields(), self._layout.replicas
        views = {name: _view(vectors, field) for name, field in fields.items()}
        for side in (0, 1):
            self._write_side(side, shape, vectors, fields, views)
        shared = {
            name: view[::replicas]
            for name, view in views.items()
            if name not in OWN_FIELDS
        }
        self._write_shared(shape, shared)
        for replica in range(1, replicas):
            for name, view in shared.items():
                views[name][replica::replicas] = view

    def _write_shared(
        self, shape: BatchShape, views: dict[str, npt.NDArray[Any]]
    ) -> None:
        """Writes the arrays that are the same for all replicas."""
        rows, batch_rows = self._rows, shape.batch_rows
        for number, table in enumerate(self._tables):
            padding = self._layout.vocab_sizes[number]
            _fill(views[f"unique{number}"], table.ids, table.counts, padding)
        views["count"][:, 0] = rows.sizes
        ones = np.ones(len(rows.labels), np.float32)
        by_row: dict[str, tuple[npt.NDArray[Any] | None, float]] = {
            "labels": (rows.labels, 0),
            "weights": (ones if rows.weights is None else rows.weights, 0),
            "negatives": (rows.negatives, -1),
            "objects": (rows.objects, batch_rows - 1),
            "log_frequencies": (rows.log_frequencies, 0),
        }
        for name, (values, filler) in by_row.items():
            if name in views:
                assert values is not None
                _fill(views[name], values, rows.sizes, filler)
        if "known" in views:
            assert rows.known is not None
            for view, pairs in zip(views["known"], rows.known, strict=True):
                view[: len(pairs)] = pairs[:, 0] * batch_rows + pairs[:, 1]
                view[len(pairs) :] = batch_rows**2

    def _write_side(
        self,
        side: int,
        shape: BatchShape,
        vectors: Vectors,
        fields: Any,
        views: dict[str, npt.NDArray[Any]],
    ) -> None:
        chunks, width = self._chunks[side], self._layout.sides[side].width
        sizes = self._shards
        row = np.arange(len(chunks.counts)) - repeated(self._splits[:-1], sizes)
        _fill(views[f"lengths{side}"], chunks.lengths, sizes, 0)
        _fill(views[f"starts{side}"], chunks.starts, sizes, chunks.totals)
        numbers = repeated(row, chunks.counts)
        _fill(views[f"chunk_rows{side}"], numbers, chunks.totals, shape.rows)
        views[f"cells{side}"][:] = shape.unique[shape.table(side)]
        # The index of each row's first cell among the elements of all vectors.
        shard_starts = np.arange(len(sizes)) * shape.size + fields[f"cells{side}"].start
        first_cells = repeated(shard_starts, sizes) + chunks.starts * width
        cells = consecutive(first_cells, chunks.lengths)
        vectors.reshape(-1)[cells] = self._positions[side]


def _view(vectors: Vectors, field: Field) -> npt.NDArray[Any]:
    """Returns an array of all batches, ``[batches, *field.shape]``."""
    part = vectors[:, field.start : field.stop]
    if field.is_float:
        part = part.view(np.float32)
    # Splitting an axis of a strided array makes no copy.
    return part.reshape(len(vectors), *field.shape)


def _fill(
    view: npt.NDArray[Any],
    values: npt.NDArray[Any],
    sizes: Counts,
    padding: float | Counts,
) -> None:
    """Writes the rows of each batch, and padding after them.

    Args:
        view: ``[batches, rows, ...]``
        values: The rows of all batches, end to end, ``[rows, ...]``.
        sizes: The number of rows of each batch, ``[batches]``.
        padding: One value, or one for each batch.
    """
    if np.all(sizes == sizes[0]):
        size = int(sizes[0])
        view[:, :size] = values.reshape(len(sizes), size, *values.shape[1:])
        if size < view.shape[1]:
            is_single = np.ndim(padding) == 0
            view[:, size:] = padding if is_single else np.expand_dims(padding, 1)
        return
    stops = np.cumsum(sizes)
    fillers = np.broadcast_to(padding, len(sizes))
    for array, size, stop, filler in zip(view, sizes, stops, fillers, strict=True):
        array[:size] = values[stop - size : stop]
        array[size:] = filler


def _cumulative(counts: Counts) -> Counts:
    sums = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=sums[1:])
    return sums
