"""Chooses the shapes of a run's batches from a sample of its batches."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from object2vec_tf.data.batch_negatives import Extra
from object2vec_tf.data.dataset import PairBatches
from object2vec_tf.data.row_layout import (
    LaidOutRows,
    Sizes,
    chunk_counts,
    shard_sizes,
)
from object2vec_tf.data.shape_clusters import clusters
from object2vec_tf.data.static_groups import BatchReader
from object2vec_tf.data.static_shapes import ShapeMenu, rounded_up, shape_for
from object2vec_tf.data.unique_tokens import TokenFinder
from object2vec_tf.ragged.column import Counts
from object2vec_tf.ragged.static_layout import Layout

# The sample has about this number of rows.
_SAMPLED_ROWS = 1 << 20
_SAMPLED_GROUPS = 1 << 12
# Epochs are sampled until there are as many groups as this, or epochs.
_ENOUGH_GROUPS = 64
_MAX_EPOCHS = 4
# Rows are drawn rather than planned if there are more than this and no buckets.
_MAX_PLANNED_ROWS = 1 << 22
# Unique tokens and known pairs are found in this number of batches per shape.
_COUNTED_BATCHES = 8
# Room for batches this number of standard deviations above the mean.
_DEVIATIONS = 5.0
# The cost of reading a chunk that has been reduced to a vector, relative to a cell.
_CHUNK_COST = 0.25
# How much more than necessary batches may cost in order to have fewer shapes.
_TRAINING_GROWTH = 1.05
_EVALUATION_GROWTH = 1.5
# Sizes have this number of significant bits.
_BITS = 6

Numbers = npt.NDArray[np.int64]


def plan_menu(reader: BatchReader, steps: int) -> ShapeMenu:
    """Returns the shapes of the batches of all epochs.

    They depend on the pairs and the settings only, so that a resumed run has the same.

    Args:
        reader: Reads batches.
        steps: Number of batches per group; a group has a single shape.
    """
    pairs, layout = reader.pairs, reader.layout
    sample = _Sample.of(reader, steps)
    rows = reader.rows
    shapes = []
    growth = _TRAINING_GROWTH if pairs.seed is not None else _EVALUATION_GROWTH
    for members in clusters(sample.needs, _cost_factors(layout, rows), growth):
        sizes = _sizes_of_cluster(reader, sample, members)
        shapes.append(shape_for(layout, rows, sizes))
    return ShapeMenu(tuple(sorted(shapes, key=lambda shape: shape.size)))


def _cost_factors(layout: Layout, rows: int) -> npt.NDArray[np.float64]:
    """Returns the costs of a chunk of in0 and of in1, and of a chunk per row."""
    widths = np.array([side.width for side in layout.sides], float)
    # The other encoders read one vector per chunk.
    row_costs = rows * np.where(_pads(layout), widths, _CHUNK_COST)
    return np.concatenate([widths, row_costs])


def _pads(layout: Layout) -> list[bool]:
    """Returns whether rows of in0 and of in1 are padded to the longest, as by bilstm.

    Its chunks are wide and have no gaps.
    """
    return [side.width > 4 and not side.gap for side in layout.sides]


@dataclasses.dataclass(frozen=True, eq=False)
class _Sample:
    """Some groups of batches.

    Attributes:
        groups: The rows of the batches of each group.
        needs: Chunks of in0 and of in1, and most chunks of a row of in0 and of in1,
            that the largest batch of each group needs: int64 ``[groups, 4]``.
    """

    groups: Sequence[Sequence[Counts]]
    needs: Numbers

    @classmethod
    def of(cls, reader: BatchReader, steps: int) -> _Sample:
        """Returns a sample of the batches of several epochs."""
        pairs, layout = reader.pairs, reader.layout
        groups = list(_sampled_groups(pairs, steps))
        batches = [batch for group in groups for batch in group]
        rows = np.concatenate(batches)
        sizes = np.array([len(batch) for batch in batches])
        shards = shard_sizes(sizes, reader.rows, layout.replicas)
        group_starts = _starts([len(group) * layout.replicas for group in groups])
        totals, largest = [], []
        for column, side, pads in zip(
            (pairs.in0, pairs.in1), layout.sides, _pads(layout), strict=True
        ):
            counts = chunk_counts(column.lengths, side)
            sums = _by_shard(np.add, counts[rows], shards)
            most = _by_shard(np.maximum, counts[rows], shards)
            if pairs.seed is not None:
                sums += _margin(counts, reader, len(shards))
                sums = np.minimum(sums, shards * most)
            if pairs.seed is not None and not pairs.bucket_width:
                # Random batches are similar, except for the longest row.
                sums[:] = sums.max()
                if not pads:
                    most[:] = counts.max()
            totals.append(np.maximum.reduceat(sums, group_starts))
            largest.append(np.maximum.reduceat(most, group_starts))
        return cls(groups, np.stack([*totals, *largest], axis=1))


def _by_shard(function: np.ufunc, values: Counts, shards: Counts) -> Numbers:
    """Reduces the values of the rows of each shard; 0 for shards without rows."""
    has_rows = shards > 0
    results = np.zeros(len(shards), np.int64)
    results[has_rows] = function.reduceat(values, _starts(shards[has_rows]))
    return results


def _starts(lengths: Sequence[int] | Counts) -> Numbers:
    return np.cumsum([0, *lengths[:-1]])


def _margin(counts: Counts, reader: BatchReader, shards: int) -> int:
    """Returns how many chunks a shard may have above the largest of the sample."""
    size, rows = reader.rows, len(counts)
    deviation = float(counts.std())
    if reader.pairs.bucket_width:
        deviation = min(deviation, 0.5)
    # The largest of n normal variables is about sqrt(2 log n) deviations above their
    # mean.
    left = _DEVIATIONS - math.sqrt(2 * math.log(max(shards, 1)))
    return math.ceil(max(left, 1) * deviation * math.sqrt(size * (1 - size / rows)))


def _sampled_groups(pairs: PairBatches, steps: int) -> Iterator[list[Counts]]:
    """Yields the rows of the batches of some groups."""
    count, size = len(pairs.labels), pairs.batch_size
    most = max(min(_SAMPLED_ROWS // (size * steps), _SAMPLED_GROUPS), 1)
    if count > _MAX_PLANNED_ROWS and pairs.seed is not None and not pairs.bucket_width:
        generator = np.random.default_rng(pairs.seed)
        for _ in range(most):
            yield list(generator.integers(0, count, (steps, size)))
        return
    groups = 0
    for epoch in range(1 if pairs.seed is None else _MAX_EPOCHS):
        plan = pairs.plan(epoch)
        firsts = range(0, len(plan), steps)
        positions = np.linspace(0, len(firsts) - 1, min(most, len(firsts)))
        for position in positions.astype(int):
            numbers = range(firsts[position], min(firsts[position] + steps, len(plan)))
            yield [plan[number] for number in numbers]
        groups += len(positions)
        if groups >= min(most, _ENOUGH_GROUPS):
            return


def _sizes_of_cluster(reader: BatchReader, sample: _Sample, members: Numbers) -> Sizes:
    """Returns the sizes with room for the batches of some groups, and for similar ones.

    Args:
        reader: Reads batches.
        sample: The sample.
        members: The numbers of the groups.
    """
    layout, pairs = reader.layout, reader.pairs
    needs = sample.needs[members].max(axis=0)
    counted = [_counted(reader, batch) for batch in _largest(sample, members)]
    unique = []
    for table, numbers in enumerate(zip(*(s.unique for s in counted), strict=True)):
        most = max(numbers)
        if pairs.seed is not None or len(members) > len(counted):
            spread = max(float(np.std(numbers)), math.sqrt(most) / 2)
            most += math.ceil(_DEVIATIONS * spread)
        unique.append(min(_rounded(most), layout.vocab_sizes[table]))
    known = max(size.known for size in counted)
    if layout.lists_known:
        lists_own = not (pairs.negatives and pairs.negatives.settings.lists_known)
        room = rounded_up(known + known // 8, 3)
        known = reader.batch_rows if lists_own else room
    return Sizes(
        tuple(unique),
        (_rounded(int(needs[0])), _rounded(int(needs[1]))),
        (int(needs[2]), int(needs[3])),
        known,
    )


def _rounded(number: int) -> int:
    """Rounds up, so that the size is round with one more for padding."""
    return rounded_up(number + 1, _BITS) - 1


def _largest(sample: _Sample, members: Numbers) -> list[Counts]:
    """Returns the last batch of the largest groups, and of some others."""
    order = members[np.argsort(-sample.needs[members, :2].sum(axis=1), kind="stable")]
    half = _COUNTED_BATCHES // 2
    others = order[half:]
    spaced = np.linspace(0, len(others) - 1, min(half, len(others))).astype(int)
    return [sample.groups[i][0] for i in (*order[:half], *others[spaced])]


def _counted(reader: BatchReader, batch: Counts) -> Sizes:
    """Returns the sizes of a batch."""
    extras: list[Extra] = []
    if reader.layout.lists_known and reader.pairs.negatives is not None:
        extras = [reader.pairs.negatives.inputs(0, batch, None, None)]
    layout = dataclasses.replace(reader.layout, negatives=0)
    rows = BatchReader(reader.pairs, layout, reader.objects).read([batch], extras)
    return LaidOutRows(layout, rows, TokenFinder()).needed
