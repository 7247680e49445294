"""Which rows make a batch: the order of an epoch, and where it is cut.

Rows are told by numbers of 32 bits where there are fewer than 2**32 of them, and a
batch's rows are picked out when it is asked for: an epoch takes 4 bytes a pair, and 10
while pairs are put into buckets.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from object2vec_tf.ragged.column import Counts

# Sets the stream that orders batches apart from the one that orders rows.
_OF_BATCHES = 1
_SORTED_ROWS = 1 << 20
_MOST_BUCKETS = 1 << 16


@dataclasses.dataclass(frozen=True, eq=False)
class Batches(Sequence[Counts]):
    """The rows of each batch of an epoch.

    Attributes:
        order: The rows, one batch after the other; None: as they are numbered.
        starts: Where each batch starts in the order.
        stops: Where each ends.
        sequence: The batches' order; None: as they lie.
    """

    order: Counts | None
    starts: Sequence[int] | Counts
    stops: Sequence[int] | Counts
    sequence: Counts | None = None

    def __len__(self) -> int:
        """Returns the number of batches."""
        return len(self.starts)

    def __getitem__(self, number: Any) -> Any:
        """Returns the rows of a batch, by its number."""
        i = number if self.sequence is None else self.sequence[number]
        start, stop = int(self.starts[i]), int(self.stops[i])
        return np.arange(start, stop) if self.order is None else self.order[start:stop]


def epoch_order(rows: int, seed: int, epoch: int) -> Counts:
    """Returns the rows of one epoch in random order, the same for the same numbers.

    The permutation is global (every row can meet every other) and needs no state:
    epoch 7 can be drawn without drawing the six before it.
    """
    return _permutation(rows, seed, epoch)


def count_batches(
    lengths: tuple[Counts, Counts] | None, rows: int, batch_size: int, bucket_width: int
) -> int:
    """Returns the number of batches that rows of such lengths make, in any order."""
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
) -> Batches:
    """Cuts an epoch's rows into batches; every row is in exactly one.

    Args:
        lengths: Tokens of in0 and in1 for every row, ``[rows]`` each; needed where
            there is a bucket width.
        rows: Their number.
        batch_size: Rows in a batch; a bucket's last batch may be smaller.
        bucket_width: 0 cuts the epoch's order as it stands. Otherwise a batch holds
            rows whose in0 lengths, and whose in1 lengths, differ by less than this.
        shuffled: Seed and epoch by which rows, and bucketed batches, are put in random
            order; None leaves rows as they are numbered, and buckets from short to
            long.

    Returns:
        The rows of each batch.
    """
    order = None if shuffled is None else epoch_order(rows, *shuffled)
    if not bucket_width or lengths is None:
        starts = range(0, rows, batch_size)
        return Batches(order, starts, _Stops(starts, rows))
    buckets = _buckets(*lengths, bucket_width)
    ends = np.cumsum(np.bincount(buckets))
    order = _by_bucket(buckets, order, ends)
    begins = np.concatenate([[0], ends[:-1]])
    counts = -(-(ends - begins) // batch_size)
    number = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    first = np.repeat(begins, counts) + number * batch_size
    stops = np.minimum(first + batch_size, np.repeat(ends, counts))
    sequence = (
        None if shuffled is None else _permutation(len(first), *shuffled, _OF_BATCHES)
    )
    return Batches(order, first, stops, sequence)


def shard_rows(
    rows: Counts, replica: int, replicas: int
) -> tuple[Counts, npt.NDArray[np.int32]]:
    """Returns the rows of a batch that one of its replicas takes.

    Shares are neighbouring rows, in the order of the replicas, and differ by one row at
    the most. Where a replica has none, the batch's first row stands in.

    Args:
        rows: The batch's, ``[batch]``.
        replica: The number of the replica.
        replicas: How many there are.

    Returns:
        The rows, and int32 ``[3]``: how many of the batch's are in front of them, how
        many there are (0 where one stands in), and how many the batch has.
    """
    start, stop = (len(rows) * i // replicas for i in (replica, replica + 1))
    share = np.array([start, stop - start, len(rows)], np.int32)
    return rows[start:stop] if start < stop else rows[:1], share


@dataclasses.dataclass(frozen=True)
class _Stops(Sequence[int]):
    """Where batches end that follow one another in equal steps."""

    starts: range
    rows: int

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, number: Any) -> Any:
        return min(self.starts[number] + self.starts.step, self.rows)


def _buckets(lengths0: Counts, lengths1: Counts, width: int) -> npt.NDArray[np.uint16]:
    """Returns the number of each row's bucket, in0's length before in1's."""
    bucket0, bucket1 = lengths0 // width, lengths1 // width
    across = int(bucket1.max(initial=0)) + 1
    if (int(bucket0.max(initial=0)) + 1) * across <= _MOST_BUCKETS:
        return (bucket0 * across + bucket1).astype(np.uint16)
    wide = bucket0.astype(np.int64) * across + bucket1
    held, numbers = np.unique(wide, return_inverse=True)
    return numbers.astype(np.uint16 if len(held) <= _MOST_BUCKETS else np.int32)


def _by_bucket(buckets: npt.NDArray[Any], order: Counts | None, ends: Counts) -> Counts:
    """Returns the order with bucket after bucket, and as it was within each."""
    rows = len(buckets)
    sorted_rows = np.empty(rows, _row_type(rows))
    begins = np.concatenate([[0], ends[:-1]])
    for start in range(0, rows, _SORTED_ROWS):
        stop = min(start + _SORTED_ROWS, rows)
        part = np.arange(start, stop) if order is None else order[start:stop]
        of_part = buckets[part]
        by_bucket = np.argsort(of_part, kind="stable")
        counts = np.bincount(of_part, minlength=len(ends))
        behind = np.arange(len(part)) - np.repeat(np.cumsum(counts) - counts, counts)
        sorted_rows[np.repeat(begins, counts) + behind] = part[by_bucket]
        begins = begins + counts
    return sorted_rows


def _permutation(count: int, *entropy: int) -> Counts:
    generator = np.random.Philox(np.random.SeedSequence(entropy))
    return np.random.Generator(generator).permutation(
        np.arange(count, dtype=_row_type(count))
    )


def _row_type(rows: int) -> type[np.uint32] | type[np.int64]:
    return np.uint32 if rows <= np.iinfo(np.uint32).max else np.int64
