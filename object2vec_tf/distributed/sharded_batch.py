"""The part of a batch that one of several replicas trains on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from object2vec_tf.distributed.batch_shard import (
    SHARD,
    BatchEncodings,
    BatchShard,
    Encode,
    EncodingPlan,
    FullBatch,
    GradientScope,
    Inputs,
    PairCounts,
)
from object2vec_tf.distributed.collectives import current_collectives
from object2vec_tf.distributed.padded_batch import PaddedInputs
from object2vec_tf.layers.token_embedding import as_ragged
from object2vec_tf.optimizers.gradients import (
    Gradient,
    sum_repeated_rows,
    sum_replica_rows,
)


@dataclasses.dataclass(frozen=True)
class ShardedBatch(BatchShard):
    """Adjacent rows of a batch that several replicas share.

    A replica without rows gets row 0 of the batch as a placeholder that counts for
    nothing, so that encoders never see an empty batch.

    Attributes:
        start: Index of the first row in the batch, int32 scalar.
        count: Number of rows, int32 scalar.
        batch: Number of rows of the batch, int32 scalar.
    """

    start: tf.Tensor
    count: tf.Tensor
    batch: tf.Tensor

    def encode(
        self, encode: Encode, inputs: Inputs, plan: EncodingPlan
    ) -> BatchEncodings:
        """See `BatchShard`.

        Replicated encoders make replicas exchange gradients of encodings, one for each
        side of a pair. Gradients of token vectors would be about as many as a pair has
        tokens.
        """
        ids = [as_ragged(inputs[name]) for name in ("in0", "in1")]
        for side in plan.replicated:
            ids[side] = self.all_ids(ids[side])
        encoded = encode({"in0": ids[0], "in1": ids[1]})
        own, all_pairs = list(encoded), [None, None]
        for side in plan.replicated:
            if plan.all_pairs[side]:
                all_pairs[side] = self._replicated(encoded[side])
                own[side] = self.own_pairs(all_pairs[side])
            else:
                own[side] = self._own_replicated(encoded[side])
        return BatchEncodings(self, (own[0], own[1]), (all_pairs[0], all_pairs[1]))

    def all_pairs(self, rows: tf.Tensor) -> tf.Tensor:
        """See `BatchShard`."""

        @tf.custom_gradient
        def gathered(rows: tf.Tensor) -> tuple[tf.Tensor, Callable[..., tf.Tensor]]:
            def gradient(upstream: tf.Tensor) -> tf.Tensor:
                stop = self.start + self.count
                sums = current_collectives().all_reduce_rows(upstream)
                return sums[self.start : stop]

            return current_collectives().all_gather_batch(rows, self.batch), gradient

        return gathered(rows[: self.count])

    def all_ids(self, ids: tf.RaggedTensor) -> tf.RaggedTensor:
        """See `BatchShard`."""
        ids = ids[: self.count]
        splits = tf.pad(tf.cumsum(self.all_pairs(ids.row_lengths())), [[1, 0]])
        before, count = splits[self.start], splits[-1]
        values = current_collectives().all_reduce_padded(
            ids.values, tf.cast(before, tf.int32), tf.cast(count, tf.int32)
        )
        return tf.RaggedTensor.from_row_splits(values, splits, validate=False)

    def own_pairs(self, rows: tf.Tensor) -> tf.Tensor:
        """See `BatchShard`."""
        return rows[self.start : self.start + tf.maximum(self.count, 1)]

    def _replicated(self, rows: tf.Tensor) -> tf.Tensor:
        """Returns rows that every replica computed for the whole batch.

        Their gradient on each replica is the sum of all replicas' gradients.
        """

        @tf.custom_gradient
        def same(rows: tf.Tensor) -> tuple[tf.Tensor, Callable[..., tf.Tensor]]:
            return tf.identity(rows), current_collectives().all_reduce_rows

        return same(rows)

    def _own_replicated(self, rows: tf.Tensor) -> tf.Tensor:
        """Returns ``own_pairs(_replicated(rows))`` for rows that only own pairs use.

        Each replica then contributes the gradients of its own rows alone.
        """

        @tf.custom_gradient
        def sliced(rows: tf.Tensor) -> tuple[tf.Tensor, Callable[..., tf.Tensor]]:
            def gradient(upstream: tf.Tensor) -> tf.Tensor:
                own = upstream[: self.count]
                return current_collectives().all_gather_batch(own, self.batch)

            return self.own_pairs(rows), gradient

        return sliced(rows)

    def own_negatives(self, indices: tf.Tensor) -> tf.Tensor:
        """See `BatchShard`."""
        by_pair = tf.transpose(tf.reshape(indices, [-1, self.batch]))
        return tf.reshape(tf.transpose(self.own_pairs(by_pair)), [-1])

    def contribution(
        self, mean: tf.Tensor, counts: PairCounts | None = None
    ) -> tf.Tensor:
        """See `BatchShard`."""
        # Keras 3.15 divides losses by this number (keras/src/losses/loss.py).
        fraction = current_collectives().replicas * self._fraction(counts)
        return mean * tf.cast(fraction, mean.dtype)

    def own_mean(
        self, contribution: tf.Tensor, counts: PairCounts | None = None
    ) -> tf.Tensor:
        """See `BatchShard`."""
        fraction = tf.cast(self._fraction(counts), contribution.dtype)
        return tf.math.divide_no_nan(contribution, fraction)

    def _fraction(self, counts: PairCounts | None) -> tf.Tensor:
        """Returns this replica's fraction of all pairs, a float64 scalar."""
        if counts is None:
            return self.count / self.batch
        return tf.where(self.count > 0, counts.own, 0) / counts.batch

    def total(self, value: tf.Tensor) -> tf.Tensor:
        """See `BatchShard`."""
        return current_collectives().all_reduce(value)

    def metric_rows(self, rows: Any) -> Any:
        """See `BatchShard`."""
        if rows is None:
            return None
        return rows[: tf.where(self.count > 0, tf.shape(rows)[0], 0)]

    def reduce_gradients(
        self,
        gradients: Sequence[Gradient | None],
        as_rows: bool,
        distinct: bool,
        scopes: Sequence[GradientScope],
    ) -> list[Gradient | None]:
        """See `BatchShard`; row gradients are exchanged as rows."""
        reduced = [
            sum_repeated_rows(
                gradient,
                as_rows or scope is GradientScope.OWN_PAIRS,
                distinct and scope is not GradientScope.OWN_ROWS,
            )
            for gradient, scope in zip(gradients, scopes, strict=True)
        ]
        rows, dense = (
            [
                i
                for i, gradient in enumerate(reduced)
                if isinstance(gradient, kind) and scopes[i] is GradientScope.OWN_PAIRS
            ]
            for kind in (tf.IndexedSlices, tf.Tensor)
        )
        collectives = current_collectives()
        for i, gradient in zip(
            rows, collectives.all_gather_slices([reduced[i] for i in rows]), strict=True
        ):
            reduced[i] = sum_replica_rows(gradient, as_rows)
        for i, gradient in zip(
            dense, collectives.all_reduce_many([reduced[i] for i in dense]), strict=True
        ):
            reduced[i] = gradient
        return reduced


def batch_shard_of(inputs: Inputs) -> BatchShard:
    """Returns the part of its batch that a dataset's inputs are."""
    if isinstance(inputs, PaddedInputs):
        return inputs.shard
    if SHARD not in inputs:
        return FullBatch()
    start, count, batch = tf.unstack(tf.ensure_shape(inputs[SHARD], [3]))
    return ShardedBatch(start, count, batch)
