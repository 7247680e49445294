"""The exchange of table rows between replicas, each of which owns a part of them."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from object2vec_tf.distributed.collectives import Collectives


class RowExchange:
    """Sends rows of a table from their owners to the replicas that look them up.

    The table's row i belongs to replica ``i % replicas``, which numbers its own rows by
    ``i // replicas``. All replicas must create exchanges in the same order, since this
    is a message: every owner learns which of its rows each replica needs.

    Args:
        ids: The rows that this replica needs, distinct integers ``[ids]``.
        collectives: The collectives of this replica.

    Attributes:
        requested: This replica's own rows that were asked for, by its own numbers,
            int32 ``[requests]``. A row that several replicas need occurs repeatedly.
    """

    def __init__(self, ids: tf.Tensor, collectives: Collectives) -> None:
        self._collectives = collectives
        replicas = collectives.replicas
        owners = tf.cast(ids % replicas, tf.int32)
        of_owner = tf.dynamic_partition(tf.range(tf.size(ids)), owners, replicas)
        largest = tf.reduce_max([tf.size(positions) for positions in of_owner])
        # The messages between any two replicas have the same number of rows.
        self._message = collectives.message_size(collectives.maximum(largest))
        size, _ = self._message
        # The place of each id: message of its owner, and position in it.
        self._places = tf.dynamic_stitch(
            of_owner,
            [
                owner * size + tf.range(tf.size(positions))
                for owner, positions in enumerate(of_owner)
            ],
        )
        numbers = tf.cast(ids // replicas, tf.int32)[:, tf.newaxis]
        requests = self._all_to_all(self._packed(numbers + 1)) - 1  # -1 is padding
        self._answered = tf.where(requests[:, 0] >= 0)
        self.requested = tf.gather_nd(requests[:, 0], self._answered)

    def answers(self, rows: tf.Tensor) -> tf.Tensor:
        """Returns the rows that this replica needs; all replicas must call it.

        Args:
            rows: The `requested` rows, float ``[requests, width]``. Their gradient has
                a row for each request, from the replica that made it.

        Returns:
            float ``[ids, width]``, in the order of the ids.
        """

        @tf.custom_gradient
        def exchanged(rows: tf.Tensor) -> tuple[tf.Tensor, Callable[..., tf.Tensor]]:
            size, _ = self._message
            shape = [self._collectives.replicas * size, rows.shape[1]]
            padded = tf.scatter_nd(self._answered, rows, tf.cast(shape, tf.int64))
            answers = tf.gather(self._all_to_all(padded), self._places)

            def gradient(upstream: tf.Tensor) -> tf.Tensor:
                gradients = self._all_to_all(self._packed(upstream))
                return tf.gather_nd(gradients, self._answered)

            return answers, gradient

        return exchanged(rows)

    def _packed(self, rows: tf.Tensor) -> tf.Tensor:
        """Returns rows by id as messages to their owners, padded with zeros."""
        size, _ = self._message
        shape = [self._collectives.replicas * size, rows.shape[1]]
        return tf.scatter_nd(self._places[:, tf.newaxis], rows, shape)

    def _all_to_all(self, rows: tf.Tensor) -> tf.Tensor:
        return self._collectives.all_to_all(rows, self._message)
