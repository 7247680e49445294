"""The exchange of table rows between replicas, each of which owns a part of them."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from object2vec_tf.distributed.collectives import Collectives, message_size


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
        self._asked = tf.stack([tf.size(positions) for positions in of_owner])
        # The messages between any two replicas have the same number of rows.
        largest = collectives.maximum(tf.reduce_max(self._asked))
        self._message = message_size(largest)
        # The positions of the ids in the order of their owners, and the place of each
        # id in the messages.
        self._by_owner = tf.concat(of_owner, axis=0)
        size, _ = self._message
        counts = tf.unstack(self._asked, replicas)
        places = [owner * size + tf.range(n) for owner, n in enumerate(counts)]
        self._places = tf.dynamic_stitch(of_owner, places)
        numbers = tf.cast(tf.gather(ids, self._by_owner) // replicas, tf.int32)
        requests = self._all_to_all(
            self._padded(numbers[:, tf.newaxis] + 1, self._asked)
        )
        requests = tf.reshape(requests - 1, [replicas, size])  # -1 is padding
        self._answered = tf.math.count_nonzero(requests >= 0, axis=1, dtype=tf.int32)
        self.requested = tf.boolean_mask(requests, requests >= 0)

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
            answers = self._all_to_all(self._padded(rows, self._answered))

            def gradient(upstream: tf.Tensor) -> tf.Tensor:
                by_owner = tf.gather(upstream, self._by_owner)
                gradients = self._all_to_all(self._padded(by_owner, self._asked))
                return self._without_padding(gradients, self._answered)

            return tf.gather(answers, self._places), gradient

        return exchanged(rows)

    def _padded(self, rows: tf.Tensor, counts: tf.Tensor) -> tf.Tensor:
        """Returns rows as messages of the same size.

        Args:
            rows: ``[rows, width]``, those of the first message first.
            counts: The number of rows of each message.

        Returns:
            ``[replicas * size, width]``; zeros after the rows of each message.
        """
        # Copies of blocks: a scatter of the rows takes several times as long.
        size, _ = self._message
        parts = []
        lengths = tf.unstack(counts, self._collectives.replicas)
        for part, length in zip(
            tf.split(rows, counts, num=len(lengths)), lengths, strict=True
        ):
            parts += [part, tf.zeros([size - length, rows.shape[1]], rows.dtype)]
        return tf.concat(parts, axis=0)

    def _without_padding(self, messages: tf.Tensor, counts: tf.Tensor) -> tf.Tensor:
        """Returns the rows of messages; the reverse of `_padded`."""
        size, _ = self._message
        lengths = tf.unstack(counts, self._collectives.replicas)
        parts = [messages[i * size : i * size + n] for i, n in enumerate(lengths)]
        return tf.concat(parts, axis=0)

    def _all_to_all(self, rows: tf.Tensor) -> tf.Tensor:
        return self._collectives.all_to_all(rows, self._message)
