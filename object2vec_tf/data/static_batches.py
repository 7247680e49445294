"""Batches in the static layout, for steps that XLA compiles."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from object2vec_tf.data.batch_negatives import (
    BATCH_OBJECTS,
    KNOWN_PAIRS,
    NEGATIVES,
    Extra,
)
from object2vec_tf.data.dataset import PairBatches
from object2vec_tf.data.row_layout import BatchRows, LaidOutRows
from object2vec_tf.data.static_shapes import shape_of
from object2vec_tf.data.unique_tokens import TokenFinder
from object2vec_tf.ragged.column import Counts
from object2vec_tf.ragged.static_layout import BatchShape, Layout

ObjectNumbers = tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]


@dataclasses.dataclass(frozen=True, eq=False)
class StaticGroup:
    """Consecutive batches of an epoch, in one array.

    Attributes:
        shape: The shape of each batch.
        vectors: int32 ``[steps, shape.size]``; see `BatchShape.fields`. Vectors from
            ``count`` on are undefined.
        first: The number of the first batch in its epoch.
        count: The number of batches.
    """

    shape: BatchShape
    vectors: npt.NDArray[np.int32]
    first: int
    count: int


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class StaticBatches:
    """The batches of an epoch, in groups.

    Attributes:
        pairs: The batches.
        layout: The static layout.
        steps: Number of batches per group.
        epoch: The number of the epoch.
        objects: The number of the object of in0 and of in1 in each row of the channel,
            if the layout lists known pairs and they are not those of the channel;
            otherwise None.
    """

    pairs: PairBatches
    layout: Layout
    steps: int
    epoch: int
    objects: ObjectNumbers | None

    @property
    def batches(self) -> int:
        """The number of batches, without the skipped ones."""
        return max(self.pairs.total_batches - self.pairs.first_batch, 0)

    def __len__(self) -> int:
        """Returns the number of groups."""
        first, batches = self.pairs.first_batch, self.batches
        return -(-(first + batches) // self.steps) - first // self.steps

    def __iter__(self) -> Iterator[StaticGroup]:
        """Yields the groups in order."""
        pairs, finder = self.pairs, TokenFinder()
        plan = pairs.plan(self.epoch)
        batches = pairs.with_extras(plan, self.epoch)
        first = pairs.first_batch
        while first < len(plan):
            stop = min(first - first % self.steps + self.steps, len(plan))
            numbers = range(first, stop)
            rows = self._rows([next(batches) for _ in numbers])
            laid_out = LaidOutRows(self.layout, rows, finder)
            shape = shape_of(self.layout, self._row_count, laid_out.sizes)
            vectors = np.zeros((self.steps, shape.size), np.int32)
            laid_out.write(shape, vectors[: len(numbers)])
            yield StaticGroup(shape, vectors, first, len(numbers))
            first = stop

    @property
    def _row_count(self) -> int:
        """The number of rows of each batch, padding included."""
        return min(self.pairs.batch_size, len(self.pairs.labels))

    def _rows(self, batches_with_extras: Sequence[tuple[Counts, Extra]]) -> BatchRows:
        pairs, layout = self.pairs, self.layout
        batches, extras = zip(*batches_with_extras, strict=True)
        sizes = np.array([len(batch) for batch in batches])
        rows = np.concatenate(batches)
        labels = pairs.labels.take(rows)
        objects = known = negatives = None
        if layout.lists_known:
            objects, known = self._objects(rows, sizes, labels, extras)
        if layout.negatives:
            negatives = np.concatenate([extra[NEGATIVES] for extra in extras])
        frequencies = pairs.log_frequencies
        return BatchRows(
            sizes,
            (pairs.in0.take(rows), pairs.in1.take(rows)),
            labels,
            None
            if pairs.weights is None
            else np.asarray(pairs.weights.take(rows), np.float32),
            frequencies[rows] if frequencies is not None else None,
            negatives,
            objects,
            known,
        )

    def _objects(
        self,
        rows: Counts,
        sizes: Counts,
        labels: npt.NDArray[Any],
        extras: Sequence[Extra],
    ) -> tuple[npt.NDArray[np.int32], list[npt.NDArray[np.int32]]]:
        """Returns the numbers of the objects of batches, and their known pairs."""
        if self.objects is None:
            known = []
            for extra in extras:
                count = int(extra[BATCH_OBJECTS][:, 1].max()) + 1
                pairs = np.divmod(extra[KNOWN_PAIRS], count)
                known.append(np.stack(pairs, axis=1).astype(np.int32))
            return np.concatenate([extra[BATCH_OBJECTS] for extra in extras]), known
        splits = np.concatenate([[0], np.cumsum(sizes)])
        finder = TokenFinder()
        objects = np.stack(
            [
                finder.find(side[rows], splits, int(side.max()) + 1).positions
                for side in self.objects
            ],
            axis=1,
        )
        parts = np.split(objects, splits[1:-1]), np.split(labels > 0, splits[1:-1])
        return objects, [o[positive] for o, positive in zip(*parts, strict=True)]
