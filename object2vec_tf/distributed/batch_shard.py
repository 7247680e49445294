"""A replica's rows of a batch that several replicas learn from together.

Whatever looks at more than a row of its own (negatives, the in-batch softmax, the mean
of the loss) looks at the whole batch, so that what is learnt does not depend on the
number of replicas beyond rounding.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from object2vec_tf.distributed.collectives import current
from object2vec_tf.optimizers.gradients import (
    Gradient,
    sum_repeated_rows,
    sum_replica_rows,
)

# Of a dataset's inputs: int32 [3], the number of the replica's first row, of its rows,
# and of the batch's.
SHARD = "shard"


class FullBatch:
    """A batch that one replica has to itself: nothing is to be done."""

    def gathered(self, rows: tf.Tensor) -> tf.Tensor:
        """Returns the rows of all replicas, in the batch's order.

        Args:
            rows: This replica's, numbers ``[own, ...]``. What the gathered rows'
                gradients are on every replica comes back to these, summed.

        Returns:
            ``[batch, ...]``.
        """
        return rows

    def gathered_ids(self, ids: tf.RaggedTensor) -> tf.RaggedTensor:
        """Returns the token ids of all replicas, ``[batch, (time)]``."""
        return ids

    def own(self, rows: tf.Tensor) -> tf.Tensor:
        """Returns this replica's rows out of the batch's."""
        return rows

    def learnt(self, rows: tf.Tensor) -> tf.Tensor:
        """Returns the batch's rows, which every replica has made from the same.

        Their gradient is, on every replica, the sum of all replicas'.
        """
        return rows

    def learnt_own(self, rows: tf.Tensor) -> tf.Tensor:
        """Returns ``own(learnt(rows))``, where other rows are of no use."""
        return rows

    def own_partners(self, partners: tf.Tensor) -> tf.Tensor:
        """Returns the partners of this replica's pairs.

        Args:
            partners: For place n the partner of pair ``n % batch``, ``[rate * batch]``.

        Returns:
            The same of this replica's pairs, ``[rate * own]``; numbers of the batch.
        """
        return partners

    def part(self, mean: tf.Tensor) -> tf.Tensor:
        """Returns what a Keras loss, of own rows, adds to that of the batch."""
        return mean

    def mean(self, part: tf.Tensor) -> tf.Tensor:
        """Returns the mean over own rows that adds so much to that over the batch."""
        return part

    def total(self, value: tf.Tensor) -> tf.Tensor:
        """Returns the sum of what all replicas have."""
        return value

    def counted(self, rows: Any) -> Any:
        """Returns those of this replica's rows that metrics are told of."""
        return rows

    def reduce_gradients(
        self,
        gradients: Sequence[Gradient | None],
        as_rows: bool,
        distinct: bool,
        whole: Sequence[bool],
    ) -> list[Gradient | None]:
        """Returns the sums of all replicas' gradients, repeated tokens summed.

        Args:
            gradients: This replica's; None for a variable that has none.
            as_rows: Whether rows stay rows (see `sum_repeated_rows`).
            distinct: Whether rows are known to have each index once.
            whole: Which gradients are the whole batch's on every replica.
        """
        return [
            sum_repeated_rows(gradient, as_rows, distinct) for gradient in gradients
        ]

    @property
    def of_several(self) -> bool:
        """Whether other replicas have rows of the batch."""
        return False


@dataclasses.dataclass(frozen=True)
class ShardedBatch(FullBatch):
    """Neighbouring rows of a batch; the replicas' shares follow one another.

    A replica without rows has one that stands in, the batch's row 0, and counts for
    nothing: encoders need not know how to encode no object.

    Attributes:
        start: The number of the first row in the batch, int32 scalar.
        count: The number of the rows, int32 scalar.
        batch: The number of the batch's rows, int32 scalar.
    """

    start: tf.Tensor
    count: tf.Tensor
    batch: tf.Tensor

    def gathered(self, rows: tf.Tensor) -> tf.Tensor:
        """See `FullBatch`."""

        @tf.custom_gradient
        def joined(rows: tf.Tensor) -> tuple[tf.Tensor, Callable[..., tf.Tensor]]:
            def gradient(upstream: tf.Tensor) -> tf.Tensor:
                behind = self.start + self.count
                return current().sums(upstream)[self.start : behind]

            return current().shares(rows, self.batch), gradient

        return joined(rows[: self.count])

    def gathered_ids(self, ids: tf.RaggedTensor) -> tf.RaggedTensor:
        """See `FullBatch`."""
        ids = ids[: self.count]
        splits = tf.pad(tf.cumsum(self.gathered(ids.row_lengths())), [[1, 0]])
        before, count = splits[self.start], splits[-1]
        values = current().gathered(
            ids.values, tf.cast(before, tf.int32), tf.cast(count, tf.int32)
        )
        return tf.RaggedTensor.from_row_splits(values, splits, validate=False)

    def own(self, rows: tf.Tensor) -> tf.Tensor:
        """See `FullBatch`."""
        return rows[self.start : self.start + tf.maximum(self.count, 1)]

    def learnt(self, rows: tf.Tensor) -> tf.Tensor:
        """See `FullBatch`."""

        @tf.custom_gradient
        def same(rows: tf.Tensor) -> tuple[tf.Tensor, Callable[..., tf.Tensor]]:
            return tf.identity(rows), lambda upstream: current().sums(upstream)

        return same(rows)

    def learnt_own(self, rows: tf.Tensor) -> tf.Tensor:
        """See `FullBatch`; each replica has but its own gradient to tell."""

        @tf.custom_gradient
        def cut(rows: tf.Tensor) -> tuple[tf.Tensor, Callable[..., tf.Tensor]]:
            def gradient(upstream: tf.Tensor) -> tf.Tensor:
                return current().shares(upstream[: self.count], self.batch)

            return self.own(rows), gradient

        return cut(rows)

    def own_partners(self, partners: tf.Tensor) -> tf.Tensor:
        """See `FullBatch`."""
        by_pair = tf.transpose(tf.reshape(partners, [-1, self.batch]))
        return tf.reshape(tf.transpose(self.own(by_pair)), [-1])

    def part(self, mean: tf.Tensor) -> tf.Tensor:
        """See `FullBatch`."""
        # Keras 3.15 divides losses by this number (keras/src/losses/loss.py).
        share = current().replicas * self.count / self.batch
        return mean * tf.cast(share, mean.dtype)

    def mean(self, part: tf.Tensor) -> tf.Tensor:
        """See `FullBatch`."""
        share = tf.cast(self.count / self.batch, part.dtype)
        return tf.math.divide_no_nan(part, share)

    def total(self, value: tf.Tensor) -> tf.Tensor:
        """See `FullBatch`."""
        return current().total(value)

    def counted(self, rows: Any) -> Any:
        """See `FullBatch`."""
        if rows is None:
            return None
        return rows[: tf.where(self.count > 0, tf.shape(rows)[0], 0)]

    def reduce_gradients(
        self,
        gradients: Sequence[Gradient | None],
        as_rows: bool,
        distinct: bool,
        whole: Sequence[bool],
    ) -> list[Gradient | None]:
        """See `FullBatch`; token rows are exchanged as rows."""
        told = [
            sum_repeated_rows(gradient, as_rows if done else True, distinct)
            for gradient, done in zip(gradients, whole, strict=True)
        ]
        rows, dense = (
            [
                i
                for i, gradient in enumerate(told)
                if isinstance(gradient, kind) and not whole[i]
            ]
            for kind in (tf.IndexedSlices, tf.Tensor)
        )
        for i, gradient in zip(
            rows, current().rows([told[i] for i in rows]), strict=True
        ):
            told[i] = sum_replica_rows(gradient, as_rows)
        for i, gradient in zip(
            dense, current().totals([told[i] for i in dense]), strict=True
        ):
            told[i] = gradient
        return told

    @property
    def of_several(self) -> bool:
        """See `FullBatch`."""
        return True


def batch_shard_of(inputs: Mapping[str, Any]) -> FullBatch:
    """Returns the share of its batch that a dataset's inputs are."""
    if SHARD not in inputs:
        return FullBatch()
    start, count, batch = tf.unstack(tf.ensure_shape(inputs[SHARD], [3]))
    return ShardedBatch(start, count, batch)
