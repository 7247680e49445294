"""The part of a batch that a replica trains on; a single device has the full batch.

On a single device this is the whole batch, and every method of `FullBatch` returns its
argument. Several replicas have shards (sharded_batch.py). Operations that involve more
than one pair (negatives, the in-batch softmax, the mean of the loss) use the pairs of
the whole batch, so that the number of replicas changes results only by rounding.
"""

from __future__ import annotations

import abc
import dataclasses
import enum
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.optimizers.gradients import (
    Gradient,
    sum_repeated_rows,
)

# Key of a dataset's inputs: int32 [3], the index of the replica's first row, the number
# of its rows, and the number of the batch's rows.
SHARD = "shard"

Inputs = Mapping[str, Any]
# From inputs to the encodings of in0 and of in1.
Encode = Callable[[Inputs], tuple[tf.Tensor, tf.Tensor]]


class GradientScope(enum.Enum):
    """What the gradient of a variable, as one of several replicas computes it, is of.

    Attributes:
        OWN_PAIRS: Of this replica's pairs.
        BATCH: Of all pairs; every replica computes the same.
        OWN_ROWS: Of all pairs, for the rows of a sharded table that this replica owns.
            Rows that several replicas looked up are repeated.
    """

    OWN_PAIRS = enum.auto()
    BATCH = enum.auto()
    OWN_ROWS = enum.auto()


@dataclasses.dataclass(frozen=True)
class EncodingPlan:
    """How several replicas encode a batch; a single device does not need it.

    Attributes:
        replicated: Encoders (0, 1) that every replica applies to the whole batch.
        all_pairs: For in0 and in1, whether training uses encodings of other pairs.
    """

    replicated: tuple[int, ...]
    all_pairs: tuple[bool, bool]


@dataclasses.dataclass(frozen=True)
class PairCounts:
    """How many pairs a replica trains on, negatives included.

    Attributes:
        own: The number of this replica's pairs, int32 scalar.
        batch: The number of pairs of all replicas, int32 scalar.
        rows: The number of rows that the pairs occupy, if some of them are padding.
    """

    own: tf.Tensor
    batch: tf.Tensor
    rows: int | None = None


class BatchShard(abc.ABC):
    """The rows of a batch that one replica trains on."""

    @property
    def real_pairs(self) -> tf.Tensor | None:
        """The number of pairs, int32 scalar, if rows after them are padding.

        None if every row is a pair.
        """
        return None

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
    def contribution(
        self, mean: tf.Tensor, counts: PairCounts | None = None
    ) -> tf.Tensor:
        """Converts a Keras loss over own rows to its part of the batch's loss.

        Args:
            mean: A float scalar.
            counts: The numbers of rows; None if they are in proportion to those of the
                shards.
        """

    @abc.abstractmethod
    def own_mean(
        self, contribution: tf.Tensor, counts: PairCounts | None = None
    ) -> tf.Tensor:
        """Converts a part of the batch's loss to the mean over own rows."""

    @abc.abstractmethod
    def total(self, value: tf.Tensor) -> tf.Tensor:
        """Returns the sum of a value over all replicas."""

    @abc.abstractmethod
    def metric_rows(self, rows: Any) -> Any:
        """Returns the rows that metrics count; None stays None."""

    def metric_count(
        self, rows: tf.Tensor, counts: PairCounts | None = None
    ) -> tf.Tensor:
        """Returns how many pairs the mean of the loss counts, int32 scalar.

        Args:
            rows: What `metric_rows` returned, ``[pairs, ...]``.
            counts: As for `contribution`.
        """
        return tf.shape(rows)[0]

    @abc.abstractmethod
    def reduce_gradients(
        self,
        gradients: Sequence[Gradient | None],
        as_rows: bool,
        distinct: bool,
        scopes: Sequence[GradientScope],
    ) -> list[Gradient | None]:
        """Returns the batch's gradients, with the rows of repeated tokens summed.

        Args:
            gradients: This replica's gradients; None for a variable without one.
            as_rows: Whether row gradients stay rows (see `sum_repeated_rows`).
            distinct: Whether each index is known to occur once in row gradients, but
                in those of sharded tables.
            scopes: What each gradient is of.
        """


@dataclasses.dataclass(frozen=True)
class BatchEncodings:
    """Encodings of in0 and of in1.

    Attributes:
        shard: The part of the batch that this replica trains on; on a single device
            the whole batch.
        own: Encodings of this replica's pairs, float ``[own, enc_dim]`` for each side.
        all: Encodings of all pairs of the batch, float ``[batch, enc_dim]`` for each
            side; None for a side where they were not gathered.
    """

    shard: BatchShard
    own: tuple[tf.Tensor, tf.Tensor]
    all: tuple[tf.Tensor | None, tf.Tensor | None] = (None, None)

    def all_pairs(self, side: int) -> tf.Tensor:
        """Returns the encodings of all pairs of the batch, of in0 (0) or in1 (1)."""
        encodings = self.all[side]
        return self.shard.all_pairs(self.own[side]) if encodings is None else encodings

    def without_gradient(self) -> BatchEncodings:
        """Returns the same encodings as constants."""

        def constant(encodings: tf.Tensor | None) -> tf.Tensor | None:
            return None if encodings is None else tf.stop_gradient(encodings)

        return BatchEncodings(
            self.shard,
            (constant(self.own[0]), constant(self.own[1])),
            (constant(self.all[0]), constant(self.all[1])),
        )


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

    def contribution(
        self, mean: tf.Tensor, counts: PairCounts | None = None
    ) -> tf.Tensor:
        """See `BatchShard`."""
        return mean

    def own_mean(
        self, contribution: tf.Tensor, counts: PairCounts | None = None
    ) -> tf.Tensor:
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
        scopes: Sequence[GradientScope],
    ) -> list[Gradient | None]:
        """See `BatchShard`."""
        return [
            sum_repeated_rows(gradient, as_rows, distinct) for gradient in gradients
        ]


def replicated_encoders(
    hyperparameters: Hyperparameters, is_sharded: bool = False
) -> tuple[int, ...]:
    """Returns the encoders that every replica applies to the whole batch.

    These are pooled encoders, unless they share their table with hcnn or bilstm: part
    of the gradient of that table would then be the batch's, and part the replica's own.

    Args:
        hyperparameters: The hyperparameters.
        is_sharded: Whether token tables are sharded. Each replica then looks up only
            the tokens of its own pairs.
    """
    if is_sharded:
        return ()
    pooled = tuple(
        encoder
        for encoder in (0, 1)
        if hyperparameters.network(encoder) == "pooled_embedding"
    )
    tied = hyperparameters.tied_token_embedding_weight
    return pooled if not tied or len(pooled) == 2 else ()
