"""The part of a batch that a replica trains on.

On a single device this is the whole batch, and every method of `FullBatch` returns its
argument. With several replicas each has a `ShardedBatch`. Operations that involve more
than one pair (negatives, the in-batch softmax, the mean of the loss) use the pairs of
the whole batch, so that the number of replicas changes results only by rounding.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from object2vec_tf.distributed.batch_encodings import BatchEncodings
from object2vec_tf.distributed.collectives import current_collectives
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.layers.token_embedding import as_ragged
from object2vec_tf.optimizers.gradients import (
    Gradient,
    sum_repeated_rows,
    sum_replica_rows,
)

# Key of a dataset's inputs: int32 [3], the index of the replica's first row, the number
# of its rows, and the number of the batch's rows.
SHARD = "shard"

Inputs = Mapping[str, Any]
# From inputs to the encodings of in0 and of in1.
Encode = Callable[[Inputs], tuple[tf.Tensor, tf.Tensor]]


@dataclasses.dataclass(frozen=True)
class EncodingPlan:
    """How several replicas encode a batch; a single device does not need it.

    Attributes:
        replicated: Encoders (0, 1) that every replica applies to the whole batch.
        all_pairs: For in0 and in1, whether training uses encodings of other pairs.
    """

    replicated: tuple[int, ...]
    all_pairs: tuple[bool, bool]


class BatchShard(abc.ABC):
    """The rows of a batch that one replica trains on."""

    @abc.abstractmethod
    def encode(
        self, encode: Encode, inputs: Inputs, plan: EncodingPlan
    ) -> BatchEncodings:
        """Encodes the pairs.

        Args:
            encode: Encodes both sides of ``inputs``.
            inputs: in0 and in1 of this replica's pairs.
            plan: Which encoders run on the whole batch.
        """

    @abc.abstractmethod
    def all_pairs(self, rows: tf.Tensor) -> tf.Tensor:
        """Returns the rows of all pairs of the batch, in its order.

        Args:
            rows: This replica's rows ``[own, ...]``. Their gradient is the sum of the
                gradients that all replicas have for them.

        Returns:
            ``[batch, ...]``.
        """

    @abc.abstractmethod
    def all_ids(self, ids: tf.RaggedTensor) -> tf.RaggedTensor:
        """Returns the token ids of all pairs of the batch, ``[batch, (time)]``."""

    @abc.abstractmethod
    def own_pairs(self, rows: tf.Tensor) -> tf.Tensor:
        """Returns this replica's rows of the batch's rows."""

    @abc.abstractmethod
    def own_negatives(self, indices: tf.Tensor) -> tf.Tensor:
        """Returns the negatives of this replica's pairs.

        Args:
            indices: int32 ``[rate * batch]``; item n is a negative of pair
                ``n % batch``, as an index into the batch.

        Returns:
            The same for this replica's pairs, int32 ``[rate * own]``.
        """

    @abc.abstractmethod
    def contribution(self, mean: tf.Tensor) -> tf.Tensor:
        """Converts a Keras loss over own rows to its part of the batch's loss."""

    @abc.abstractmethod
    def own_mean(self, contribution: tf.Tensor) -> tf.Tensor:
        """Converts a part of the batch's loss to the mean over own rows."""

    @abc.abstractmethod
    def total(self, value: tf.Tensor) -> tf.Tensor:
        """Returns the sum of a value over all replicas."""

    @abc.abstractmethod
    def metric_rows(self, rows: Any) -> Any:
        """Returns the rows that metrics count; None stays None."""

    @abc.abstractmethod
    def reduce_gradients(
        self,
        gradients: Sequence[Gradient | None],
        as_rows: bool,
        distinct: bool,
        replicated: Sequence[bool],
    ) -> list[Gradient | None]:
        """Returns the batch's gradients, with the rows of repeated tokens summed.

        Args:
            gradients: This replica's gradients; None for a variable without one.
            as_rows: Whether row gradients stay rows (see `sum_repeated_rows`).
            distinct: Whether each index is known to occur once in row gradients.
            replicated: Which gradients every replica has computed for the whole batch.
        """


class FullBatch(BatchShard):
    """The whole batch, on a single device."""

    def encode(
        self, encode: Encode, inputs: Inputs, plan: EncodingPlan
    ) -> BatchEncodings:
        """See `BatchShard`."""
        return BatchEncodings(self, encode(inputs))

    def all_pairs(self, rows: tf.Tensor) -> tf.Tensor:
        """See `BatchShard`."""
        return rows

    def all_ids(self, ids: tf.RaggedTensor) -> tf.RaggedTensor:
        """See `BatchShard`."""
        return ids

    def own_pairs(self, rows: tf.Tensor) -> tf.Tensor:
        """See `BatchShard`."""
        return rows

    def own_negatives(self, indices: tf.Tensor) -> tf.Tensor:
        """See `BatchShard`."""
        return indices

    def contribution(self, mean: tf.Tensor) -> tf.Tensor:
        """See `BatchShard`."""
        return mean

    def own_mean(self, contribution: tf.Tensor) -> tf.Tensor:
        """See `BatchShard`."""
        return contribution

    def total(self, value: tf.Tensor) -> tf.Tensor:
        """See `BatchShard`."""
        return value

    def metric_rows(self, rows: Any) -> Any:
        """See `BatchShard`."""
        return rows

    def reduce_gradients(
        self,
        gradients: Sequence[Gradient | None],
        as_rows: bool,
        distinct: bool,
        replicated: Sequence[bool],
    ) -> list[Gradient | None]:
        """See `BatchShard`."""
        return [
            sum_repeated_rows(gradient, as_rows, distinct) for gradient in gradients
        ]


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

    def contribution(self, mean: tf.Tensor) -> tf.Tensor:
        """See `BatchShard`."""
        # Keras 3.15 divides losses by this number (keras/src/losses/loss.py).
        fraction = current_collectives().replicas * self.count / self.batch
        return mean * tf.cast(fraction, mean.dtype)

    def own_mean(self, contribution: tf.Tensor) -> tf.Tensor:
        """See `BatchShard`."""
        fraction = tf.cast(self.count / self.batch, contribution.dtype)
        return tf.math.divide_no_nan(contribution, fraction)

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
        replicated: Sequence[bool],
    ) -> list[Gradient | None]:
        """See `BatchShard`; row gradients are exchanged as rows."""
        reduced = [
            sum_repeated_rows(gradient, as_rows if complete else True, distinct)
            for gradient, complete in zip(gradients, replicated, strict=True)
        ]
        rows, dense = (
            [
                i
                for i, gradient in enumerate(reduced)
                if isinstance(gradient, kind) and not replicated[i]
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
    if SHARD not in inputs:
        return FullBatch()
    start, count, batch = tf.unstack(tf.ensure_shape(inputs[SHARD], [3]))
    return ShardedBatch(start, count, batch)


def replicated_encoders(hyperparameters: Hyperparameters) -> tuple[int, ...]:
    """Returns the encoders that every replica applies to the whole batch.

    These are pooled encoders, unless they share their table with hcnn or bilstm: part
    of the gradient of that table would then be the batch's, and part the replica's own.
    """
    pooled = tuple(
        encoder
        for encoder in (0, 1)
        if hyperparameters.network(encoder) == "pooled_embedding"
    )
    tied = hyperparameters.tied_token_embedding_weight
    return pooled if not tied or len(pooled) == 2 else ()
