"""A batch of a static number of rows, of which the last ones may be padding."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf

from object2vec_tf.distributed.batch_shard import (
    FullBatch,
    GradientScope,
    PairCounts,
)
from object2vec_tf.layers.static_rows import StaticRows, unpack
from object2vec_tf.optimizers.gradients import Gradient
from object2vec_tf.ragged.static_layout import BatchShape

# Names of arrays of a batch that are not inputs of the model.
LABELS, WEIGHTS = "labels", "weights"


class PaddedInputs(Mapping[str, Any]):
    """The inputs of a batch in the static layout.

    Its items are the arrays of `BatchShape.fields`.

    Args:
        arrays: The arrays by name.
        shape: The shape of the batch.
        replica: The number of the replica whose rows they have.

    Attributes:
        shape: As given.
        replica: As given.
    """

    def __init__(
        self, arrays: Mapping[str, tf.Tensor], shape: BatchShape, replica: int = 0
    ) -> None:
        self._arrays = arrays
        self.shape = shape
        self.replica = replica

    def __getitem__(self, name: str) -> Any:
        """Returns an array."""
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        """Iterates over the names of the arrays."""
        return iter(self._arrays)

    def __len__(self) -> int:
        """Returns the number of arrays."""
        return len(self._arrays)

    @property
    def count(self) -> tf.Tensor:
        """The number of pairs of the batch, an int32 scalar."""
        return tf.reshape(self["count"], [])

    @property
    def shard(self) -> PaddedBatch:
        """The part of the batch whose rows these inputs have."""
        rows = self.shape.rows
        if self.shape.layout.replicas == 1:
            return PaddedBatch(self.count, rows)
        return PaddedShard(self.count, rows, self.replica * rows, self.shape.batch_rows)

    def rows(self, side: int) -> StaticRows:
        """Returns the rows of in0 (0) or of in1 (1)."""
        return StaticRows.of_side(self, self.shape, side)


def padded_data(
    vector: tf.Tensor, shape: BatchShape, replica: int = 0
) -> tuple[PaddedInputs, tf.Tensor, tf.Tensor]:
    """Returns a batch as the steps of `object2vec_tf.Object2Vec` take it.

    Args:
        vector: The arrays of the batch in one vector, int32 ``[shape.size]``.
        shape: The shape of the batch.
        replica: The number of the replica whose rows the vector has.

    Returns:
        Inputs, labels ``[rows]`` and weights float32 ``[rows]``. The weight of a row
        of padding is 0.
    """
    inputs = PaddedInputs(unpack(vector, shape), shape, replica)
    labels, weights = (inputs.shard.own_pairs(inputs[n]) for n in (LABELS, WEIGHTS))
    return inputs, labels, weights


@dataclasses.dataclass(frozen=True)
class PaddedBatch(FullBatch):
    """The whole batch, with rows of padding that count for nothing.

    Attributes:
        count: Number of pairs, int32 scalar. Rows from this one on are padding.
        rows: Number of rows, padding included.
    """

    count: tf.Tensor
    rows: int

    @property
    def real_pairs(self) -> tf.Tensor:
        """See `BatchShard`."""
        return self.count

    @property
    def own_count(self) -> tf.Tensor:
        """The number of pairs among the rows, int32 scalar."""
        return self.count

    def contribution(
        self, mean: tf.Tensor, counts: PairCounts | None = None
    ) -> tf.Tensor:
        """See `BatchShard`: Keras divides the sum of the losses by all rows."""
        rows, pairs = self.rows, self.count
        if counts is not None:
            rows, pairs = counts.rows or rows, counts.batch
        return mean * tf.cast(rows / pairs, mean.dtype)

    def metric_count(
        self, rows: tf.Tensor, counts: PairCounts | None = None
    ) -> tf.Tensor:
        """See `BatchShard`."""
        return self.own_count if counts is None else counts.own

    def reduce_gradients(
        self,
        gradients: Sequence[Gradient | None],
        as_rows: bool,
        distinct: bool,
        scopes: Sequence[GradientScope],
    ) -> list[Gradient | None]:
        """See `BatchShard`: each table is looked up once, so indices are unique.

        The index of padding is the number of rows of the table.
        """
        return super().reduce_gradients(gradients, as_rows, True, scopes)


@dataclasses.dataclass(frozen=True)
class PaddedShard(PaddedBatch):
    """The rows of one of several replicas, some of which may be padding.

    The compiled parts of a step have no collectives. They get the encodings of all
    pairs, if they need them, and leave the sum of gradients to the step.

    Attributes:
        start: Index of the first row in the batch.
        batch_rows: Number of rows of all replicas, padding included.
    """

    start: int
    batch_rows: int

    @property
    def own_count(self) -> tf.Tensor:
        """See `PaddedBatch`."""
        return tf.clip_by_value(self.count - self.start, 0, self.rows)

    def own_pairs(self, rows: tf.Tensor) -> tf.Tensor:
        """See `BatchShard`."""
        return rows[self.start : self.start + self.rows]

    def own_negatives(self, indices: tf.Tensor) -> tf.Tensor:
        """See `BatchShard`."""
        by_copy = tf.reshape(indices, [-1, self.batch_rows])
        return tf.reshape(by_copy[:, self.start : self.start + self.rows], [-1])

    def own_mean(
        self, contribution: tf.Tensor, counts: PairCounts | None = None
    ) -> tf.Tensor:
        """See `BatchShard`."""
        own, batch = self.own_count, self.count
        if counts is not None:
            own, batch = counts.own, counts.batch
        batch, own = (tf.cast(pairs, contribution.dtype) for pairs in (batch, own))
        return tf.math.divide_no_nan(contribution * batch, own)

    def all_pairs(self, rows: tf.Tensor) -> tf.Tensor:
        """Raises an error: a compiled program cannot gather.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError

    def total(self, value: tf.Tensor) -> tf.Tensor:
        """Raises an error, as `all_pairs` does.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError
