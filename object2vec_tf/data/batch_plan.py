"""Plans the batches of an epoch: the order of the rows, and the rows of each batch.

Row numbers have 32 bits if there are fewer than 2**32 rows, and the rows of a batch are
selected when they are needed. An epoch needs 4 bytes per pair, and 10 bytes while pairs
are put into buckets.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from object2vec_tf.ragged.column import Counts

# Separates the random stream that orders batches from the one that orders rows.
_BATCH_STREAM = 1
_SORTED_ROWS = 1 << 20
# Bucket numbers below this fit 16 bits.
_MAX_SMALL_BUCKETS = 1 << 16


@dataclasses.dataclass(frozen=True, eq=False)
class Batches(Sequence[Counts]):
    """The rows of each batch of an epoch.

    Attributes:
        order: The rows of all batches, end to end; None for ascending row numbers.
        starts: The position in ``order`` of each batch's first row.
        stops: The position in ``order`` after each batch's last row.
        sequence: The order of the batches; None for the order of ``starts``.
    """

    order: Counts | None
    starts: Sequence[int] | Counts
    stops: Sequence[int] | Counts
    sequence: Counts | None = None

    def __len__(self) -> int:
        """Returns the number of batches."""
        return len(self.starts)

    def __getitem__(self, number: Any) -> Any:
        """Returns the rows of a batch."""
        i = number if self.sequence is None else self.sequence[number]
        start, stop = int(self.starts[i]), int(self.stops[i])
        return np.arange(start, stop) if self.order is None else self.order[start:stop]


def epoch_order(rows: int, seed: int, epoch: int) -> Counts:
    """Returns the rows of one epoch in random order, which depends on the numbers only.

    The permutation is global (any two rows can be in one batch) and needs no state:
    epoch 7 can be drawn without drawing the six before it.
    """
    return _permutation(rows, seed, epoch)


def count_batches(
    lengths: tuple[Counts, Counts] | None, rows: int, batch_size: int, bucket_width: int
) -> int:
    """Returns the number of batches of an epoch; see `plan_batches` for the Args."""
    counts: Any = rows
    if bucket_width and lengths is not None:
        counts = np.bincount(_buckets(*lengths, bucket_width))
    return int(np.sum(-(-counts // batch_size)))


def plan_batches(
    lengths: tuple[Counts, Counts] | None,
    rows: int,
    batch_size: int,
    bucket_width: int,
    shuffled: tuple[int, int] | None = None,
    *,
    sorted_rows: int = _SORTED_ROWS,
) -> Batches:
    """Divides the rows of an epoch into batches; every row is in exactly one.

    Args:
        lengths: Number of tokens of in0 and of in1 in every row, ``[rows]`` each;
            required if there is a bucket width.
        rows: The number of rows.
        batch_size: Rows per batch; the last batch of a bucket may be smaller.
        bucket_width: Within a batch, the lengths of in0 differ by less than this, and
            so do the lengths of in1. 0 divides the epoch without regard to lengths.
        shuffled: Seed and epoch of the random order of rows and of bucketed batches.
            None keeps rows in ascending order, and buckets from short to long.
        sorted_rows: Number of rows to sort into buckets at a time.

    Returns:
        The rows of each batch.
    """
    order = None if shuffled is None else epoch_order(rows, *shuffled)
    if not bucket_width or lengths is None:
        starts = range(0, rows, batch_size)
        return Batches(order, starts, _EvenStops(starts, rows))
    buckets = _buckets(*lengths, bucket_width)
    bucket_stops = np.cumsum(np.bincount(buckets))
    bucket_starts = np.concatenate([[0], bucket_stops[:-1]])
    order = _sorted_by_bucket(buckets, order, bucket_starts, sorted_rows)
    counts = -(-(bucket_stops - bucket_starts) // batch_size)
    # The number of each batch within its bucket.
    number = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    first_rows = np.repeat(bucket_starts, counts) + number * batch_size
    stops = np.minimum(first_rows + batch_size, np.repeat(bucket_stops, counts))
    sequence = (
        None
        if shuffled is None
        else _permutation(len(first_rows), *shuffled, _BATCH_STREAM)
    )
    return Batches(order, first_rows, stops, sequence)


def shard_rows(
    rows: Counts, replica: int, replicas: int
) -> tuple[Counts, npt.NDArray[np.int32]]:
    """Returns the shard of a batch that one replica processes.

    Shards are contiguous, in the order of the replicas, and their sizes differ by at
    most one row. A replica without rows gets the first row of the batch as a
    placeholder.

    Args:
        rows: The rows of the batch, ``[batch]``.
        replica: The number of the replica.
        replicas: The number of replicas.

    Returns:
        The rows, and int32 ``[3]``: the number of rows of the batch before the shard,
        the number of rows in the shard (0 for a placeholder), and the number of rows of
        the batch.
    """
    start, stop = (len(rows) * i // replicas for i in (replica, replica + 1))
    shard = np.array([start, stop - start, len(rows)], np.int32)
    return rows[start:stop] if start < stop else rows[:1], shard


@dataclasses.dataclass(frozen=True)
class _EvenStops(Sequence[int]):
    """The ends of contiguous batches of equal size; the last one may be smaller."""

    starts: range
    rows: int

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, number: Any) -> Any:
        return min(self.starts[number] + self.starts.step, self.rows)


def _buckets(lengths0: Counts, lengths1: Counts, width: int) -> npt.NDArray[np.uint16]:
    """Returns the number of each row's bucket, ordered by in0's length, then in1's."""
    bucket0, bucket1 = lengths0 // width, lengths1 // width
    buckets1 = int(bucket1.max(initial=0)) + 1
    if (int(bucket0.max(initial=0)) + 1) * buckets1 <= _MAX_SMALL_BUCKETS:
        return (bucket0 * buckets1 + bucket1).astype(np.uint16)
    sparse = bucket0.astype(np.int64) * buckets1 + bucket1
    distinct, numbers = np.unique(sparse, return_inverse=True)
    is_small = len(distinct) <= _MAX_SMALL_BUCKETS
    return numbers.astype(np.uint16 if is_small else np.int32)


def _sorted_by_bucket(
    buckets: npt.NDArray[Any], order: Counts | None, starts: Counts, block_rows: int
) -> Counts:
    """Sorts rows by bucket, and keeps their order within each bucket.

    Args:
        buckets: The bucket of each row, ``[rows]``.
        order: The order of the rows, ``[rows]``; None for ascending row numbers.
        starts: The position of each bucket's first row in the result, ``[buckets]``.
        block_rows: Number of rows to sort at a time.
    """
    rows = len(buckets)
    sorted_rows = np.empty(rows, _row_type(rows))
    for start in range(0, rows, block_rows):
        stop = min(start + block_rows, rows)
        block = np.arange(start, stop) if order is None else order[start:stop]
        block_buckets = buckets[block]
        by_bucket = np.argsort(block_buckets, kind="stable")
        counts = np.bincount(block_buckets, minlength=len(starts))
        # The number of each row of the block within its bucket.
        number = np.arange(len(block)) - np.repeat(np.cumsum(counts) - counts, counts)
        sorted_rows[np.repeat(starts, counts) + number] = block[by_bucket]
        starts = starts + counts
    return sorted_rows


def _permutation(count: int, *entropy: int) -> Counts:
    generator = np.random.Philox(np.random.SeedSequence(entropy))
    return np.random.Generator(generator).permutation(
        np.arange(count, dtype=_row_type(count))
    )


def _row_type(rows: int) -> type[np.uint32] | type[np.int64]:
    return np.uint32 if rows <= np.iinfo(np.uint32).max else np.int64
