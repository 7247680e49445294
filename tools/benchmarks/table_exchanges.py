"""The exchange of a token table's rows and gradients in a step, by several methods.

A step encodes this replica's pairs, computes the gradient of a simple loss, and applies
it to the rows by stochastic gradient descent. All methods learn the same. The row of an
id is on replica ``id % replicas``, at ``id // replicas``.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from object2vec_tf.data.batch_plan import shard_rows
from object2vec_tf.distributed.batch_shard import EncodingPlan
from object2vec_tf.distributed.collectives import Collectives, message_size
from object2vec_tf.distributed.row_exchange import RowExchange
from object2vec_tf.distributed.sharded_batch import ShardedBatch
from object2vec_tf.layers.ragged_sum import ragged_sum
from object2vec_tf.layers.token_embedding import concat_rows

LEARNING_RATE = 0.1

Rows = npt.NDArray[np.float32]
# Token ids of in0 and of in1, int32 [pairs, tokens] each.
Batch = tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]


class Exchange(abc.ABC):
    """A method to share a token table.

    Args:
        collectives: The collectives of this replica.
        table: The rows of this replica; it must not be used by another method.
    """

    def __init__(self, collectives: Collectives, table: tf.Variable) -> None:
        self._collectives = collectives
        self.table = table

    @abc.abstractmethod
    def step(self, in0: tf.RaggedTensor, in1: tf.RaggedTensor, shard: Any) -> None:
        """Trains on a replica's pairs.

        Args:
            in0: Token ids, RaggedTensor int32 ``[pairs, (time)]``.
            in1: The same.
            shard: Which pairs of the batch they are, as from `shard_rows`.
        """

    def _descend(self, indices: tf.Tensor, gradients: tf.Tensor) -> None:
        self.table.scatter_sub(tf.IndexedSlices(LEARNING_RATE * gradients, indices))


class AllToAll(Exchange):
    """Sends ids to the owners of their rows, gets rows, and sends back gradients.

    This is the package's method for sharded tables.
    """

    def step(self, in0: tf.RaggedTensor, in1: tf.RaggedTensor, shard: Any) -> None:
        """See `Exchange`."""
        unique, tokens = unique_ids(in0, in1)
        exchange = RowExchange(unique, self._collectives)
        with tf.GradientTape() as tape:
            rows = tf.gather(self.table, exchange.requested)
            tape.watch(rows)
            loss = _loss(_encodings(exchange.answers(rows), tokens), shard[2])
        self._descend(exchange.requested, tape.gradient(loss, rows))


class GatherAndSlice(Exchange):
    """Sends all ids, rows and gradients to all replicas, which use their part."""

    def step(self, in0: tf.RaggedTensor, in1: tf.RaggedTensor, shard: Any) -> None:
        """See `Exchange`."""
        replicas, replica = self._collectives.replicas, self._collectives.replica
        unique, tokens = unique_ids(in0, in1)
        count = tf.size(unique)
        all_counts = self._collectives.all_gather(tf.reshape(count, [1]))
        size, index = message_size(tf.reduce_max(all_counts))
        ids = self._gather(unique + 1, size, index) - 1
        # The owner of padding is none of the replicas.
        owner = tf.where(ids < 0, replicas, ids % replicas)
        number = _number_within(owner, replicas + 1)
        own = tf.where(owner == replica)[:, 0]
        rows = tf.gather(self.table, tf.gather(ids, own) // replicas)
        asked = tf.math.bincount(owner, minlength=replicas + 1)[:replicas]
        row_size, row_index = message_size(tf.reduce_max(asked))
        all_rows = self._gather(rows, row_size, row_index)
        start = replica * size
        place = (owner * row_size + number)[start : start + count]
        gradients = row_gradients(tf.gather(all_rows, place), tokens, shard[2])
        all_gradients = self._gather(gradients, size, index)
        self._descend(
            tf.gather(ids, own) // replicas,
            tf.gather(all_gradients, own),
        )

    def _gather(
        self, rows: tf.Tensor, size: tf.Tensor, size_index: tf.Tensor
    ) -> tf.Tensor:
        padding = [[0, size - tf.shape(rows)[0]], *[[0, 0]] * (rows.shape.rank - 1)]
        return self._collectives._gather(tf.pad(rows, padding), size_index)


class Replicated(Exchange):
    """Every replica has the whole table, and encodes the whole batch.

    This is the package's method: replicas exchange ids and gradients of encodings.
    """

    def step(self, in0: tf.RaggedTensor, in1: tf.RaggedTensor, shard: Any) -> None:
        """See `Exchange`."""

        def encode(inputs: Any) -> tuple[tf.Tensor, tf.Tensor]:
            unique, tokens = unique_ids(inputs["in0"], inputs["in1"])
            vectors = tf.gather(self.table, unique)
            return _encodings(vectors, tokens)

        plan = EncodingPlan((0, 1), (False, False))
        batch = ShardedBatch(*tf.unstack(tf.ensure_shape(shard, [3])))
        with tf.GradientTape() as tape, self._collectives.activated():
            own = batch.encode(encode, {"in0": in0, "in1": in1}, plan).own
            loss = _loss(own, shard[2])
        with self._collectives.activated():
            gradient = tape.gradient(loss, self.table)
        self._descend(gradient.indices, gradient.values)


METHODS: dict[str, type[Exchange]] = {
    "all to all": AllToAll,
    "gather and slice": GatherAndSlice,
    "replicated": Replicated,
}


def unique_ids(
    in0: tf.RaggedTensor, in1: tf.RaggedTensor
) -> tuple[tf.Tensor, tf.RaggedTensor]:
    """Returns the distinct ids of pairs, and each token's position among them.

    Returns:
        int32 ``[unique]``, and RaggedTensor int32 ``[2 * pairs, (time)]``.
    """
    ids = concat_rows(in0, in1)
    unique, positions = tf.unique(ids.values)
    return unique, ids.with_values(positions)


def row_gradients(
    vectors: tf.Tensor, tokens: tf.RaggedTensor, batch: tf.Tensor
) -> tf.Tensor:
    """Returns the gradients of the vectors of a replica's tokens.

    Args:
        vectors: float32 ``[unique, dim]``.
        tokens: The vector of each token, as from `unique_ids`.
        batch: Number of pairs of all replicas.

    Returns:
        float32 ``[unique, dim]``.
    """
    with tf.GradientTape() as tape:
        tape.watch(vectors)
        loss = _loss(_encodings(vectors, tokens), batch)
    return tape.gradient(loss, vectors)


def replica_batch(
    batch: Batch, replica: int, replicas: int
) -> tuple[tf.RaggedTensor, tf.RaggedTensor, tf.Tensor]:
    """Returns the arguments of `Exchange.step` for one replica's pairs of a batch."""
    rows, shard = shard_rows(np.arange(len(batch[0])), replica, replicas)
    in0, in1 = (tf.RaggedTensor.from_tensor(ids[rows]) for ids in batch)
    return in0, in1, tf.constant(shard)


def initial_rows(rows: int, dim: int, replica: int, replicas: int) -> Rows:
    """Returns the initial rows of an owner; a row depends only on its id.

    Random numbers of a large table would take longer than the measurement.
    """
    ids = np.arange(replica, rows, replicas, dtype=np.float32)
    return np.outer(np.sin(ids), np.cos(np.arange(dim))).astype(np.float32)


def own_rows(table: Rows, replica: int, replicas: int) -> Rows:
    """Returns the rows of a table that a replica owns."""
    return table[replica::replicas]


def whole_table(parts: Sequence[Rows]) -> Rows:
    """Returns a table from the rows of its owners, the inverse of `own_rows`."""
    table = np.empty((sum(map(len, parts)), parts[0].shape[1]), np.float32)
    for replica, rows in enumerate(parts):
        table[replica :: len(parts)] = rows
    return table


def _encodings(
    vectors: tf.Tensor, tokens: tf.RaggedTensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the means of the vectors of in0 and of in1, ``[pairs, dim]`` each."""
    lengths = tf.cast(tokens.row_lengths(), vectors.dtype)[:, tf.newaxis]
    in0, in1 = tf.split(ragged_sum(vectors, tokens, training=True) / lengths, 2)
    return in0, in1


def _loss(encodings: tuple[tf.Tensor, tf.Tensor], batch: tf.Tensor) -> tf.Tensor:
    """Returns this replica's part of the mean inner product of the pairs."""
    return tf.reduce_sum(encodings[0] * encodings[1]) / tf.cast(batch, tf.float32)


def _number_within(groups: tf.Tensor, count: int) -> tf.Tensor:
    """Returns how many earlier elements are in the same group, int32 ``[elements]``."""
    order = tf.argsort(groups, stable=True)
    sizes = tf.math.bincount(groups, minlength=count, maxlength=count)
    starts = tf.cumsum(sizes, exclusive=True)
    numbers = tf.range(tf.size(groups)) - tf.gather(starts, tf.gather(groups, order))
    return tf.scatter_nd(order[:, tf.newaxis], numbers, tf.shape(groups))
