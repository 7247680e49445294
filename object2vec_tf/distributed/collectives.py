"""What replicas exchange in a step: sums, and rows, by TensorFlow's collective ops.

An instance of a collective op takes tensors of one shape for as long as the process
lives (TensorFlow 2.21: "Shape mismatch in the collective instance"), and is never
forgotten. What has any number of rows is therefore filled up to one of some hundred
sizes, each of which has an instance of its own.
"""

from __future__ import annotations

import contextvars
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import tensorflow as tf

# Each size is less than a fifth above the one before it.
_SIZES = np.array(sorted({math.ceil(2 ** (i / 4)) for i in range(4 * 31)}), np.int32)
# Strategies of TensorFlow number their groups from 1 on.
_GROUP = 1_000

_current: contextvars.ContextVar[Collectives] = contextvars.ContextVar("exchange")


class Collectives:
    """The way from one replica to the others.

    All replicas must ask for the same, in the same order, whenever a graph is traced.

    Args:
        replica: The number of this one.
        replicas: How many there are.
        device: Where this one is.
    """

    def __init__(self, replica: int, replicas: int, device: str) -> None:
        self.replica = replica
        self.replicas = replicas
        self._device = device
        self._calls = itertools.count()
        with tf.device(device):
            # Ops that take it run in the order in which they were traced.
            self._order = tf.Variable(0.0, trainable=False)

    @contextmanager
    def used(self) -> Iterator[None]:
        """Makes it the one that a share of a batch finds, while the context lasts."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    def total(self, value: tf.Tensor) -> tf.Tensor:
        """Returns the sum of all replicas' values, which have one shape at all times.

        Its gradient is the sum of all replicas' gradients.
        """

        @tf.custom_gradient
        def summed(value: tf.Tensor) -> tuple[tf.Tensor, Callable[..., tf.Tensor]]:
            return self._reduced(value, 0), lambda upstream: self._reduced(upstream, 0)

        return summed(value)

    def totals(self, values: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Returns the sums of several values in one message a type."""
        told: list[Any] = [None] * len(values)
        for kind in dict.fromkeys(value.dtype for value in values):
            places = [i for i, value in enumerate(values) if value.dtype == kind]
            flat = tf.concat([tf.reshape(values[i], [-1]) for i in places], axis=0)
            sizes = [tf.size(values[i]) for i in places]
            parts = tf.split(self._reduced(flat, 0), sizes, num=len(sizes))
            for i, part in zip(places, parts, strict=True):
                told[i] = tf.reshape(part, tf.shape(values[i]))
                told[i] = tf.ensure_shape(told[i], values[i].shape)
        return told

    def gathered(
        self, rows: tf.Tensor, before: tf.Tensor, count: tf.Tensor
    ) -> tf.Tensor:
        """Returns the rows of all replicas, of which each may have any number.

        Args:
            rows: This replica's, ``[own, ...]``.
            before: How many rows of others stand in front of them.
            count: How many all replicas have.

        Returns:
            ``[count, ...]``; without a gradient.
        """
        size, number = _size(count)
        return self._reduced(_filled(rows, before, size), number)[:count]

    def shares(self, rows: tf.Tensor, batch: tf.Tensor) -> tf.Tensor:
        """Returns the rows of a batch, of which each replica has its share.

        Args:
            rows: This replica's, ``[own, ...]``: what `shard_rows` gives it.
            batch: How many all replicas have.

        Returns:
            ``[batch, ...]``; without a gradient.
        """
        edges = batch * tf.range(self.replicas + 1) // self.replicas
        size, number = _size(tf.reduce_max(edges[1:] - edges[:-1]))
        place = tf.range(batch)
        replica = tf.searchsorted(edges[1:], place, side="right")
        filled = replica * size + place - tf.gather(edges, replica)
        return tf.gather(self._joined(_filled(rows, 0, size), number), filled)

    def sums(self, rows: tf.Tensor) -> tf.Tensor:
        """Returns the sum of all replicas' rows, of which all have as many.

        Args:
            rows: ``[any, ...]``.

        Returns:
            The same shape; without a gradient.
        """
        return self.gathered(rows, 0, tf.shape(rows)[0])

    def rows(self, slices: Sequence[tf.IndexedSlices]) -> list[tf.IndexedSlices]:
        """Returns the rows of all replicas' slices, each of a table.

        Those of one index may come from several replicas. What fills up the message
        has zeros for values and -1 for an index.
        """
        if not slices:
            return []
        own = tf.stack([tf.shape(each.indices)[0] for each in slices])
        mine = tf.one_hot(self.replica, self.replicas, dtype=tf.int32)
        counts = self._reduced(mine[:, tf.newaxis] * own, 0)
        most = tf.unstack(tf.reduce_max(counts, axis=0), num=len(slices))
        told = []
        for each, count in zip(slices, most, strict=True):
            size, number = _size(count)
            indices = _filled(each.indices + 1, 0, size)
            told.append(
                tf.IndexedSlices(
                    self._joined(_filled(each.values, 0, size), number),
                    self._joined(indices, number) - 1,
                    each.dense_shape,
                )
            )
        return told

    def _reduced(self, value: tf.Tensor, number: tf.Tensor | int) -> tf.Tensor:
        return tf.raw_ops.CollectiveReduceV2(
            input=tf.convert_to_tensor(value),
            merge_op="Add",
            final_op="Id",
            **self._instance(number),
        )

    def _joined(self, value: tf.Tensor, number: tf.Tensor | int) -> tf.Tensor:
        joined = tf.raw_ops.CollectiveGatherV2(input=value, **self._instance(number))
        return tf.ensure_shape(joined, [None, *value.shape[1:]])

    def _instance(self, number: tf.Tensor | int) -> dict[str, Any]:
        """Returns the attributes of an op of its own, for the size of this number."""
        with tf.device("CPU:0"):
            key = next(self._calls) * len(_SIZES) + tf.convert_to_tensor(number)
        return {
            "group_size": self.replicas,
            "group_key": _GROUP,
            "instance_key": key,
            "ordering_token": [self._order.handle],
        }


def filled_size(rows: int) -> int:
    """Returns the rows of the message that carries so many."""
    return int(_SIZES[np.searchsorted(_SIZES, rows)])


def current() -> Collectives:
    """Returns the exchange in use.

    Raises:
        LookupError: None is: a share of a batch is learnt from outside of a strategy.
    """
    return _current.get()


def _size(count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the size of a message of so many rows, and its number."""
    number = tf.searchsorted(_SIZES, tf.reshape(tf.cast(count, tf.int32), [1]))[0]
    return tf.gather(_SIZES, number), number


def _filled(rows: tf.Tensor, before: tf.Tensor | int, size: tf.Tensor) -> tf.Tensor:
    """Returns rows with as many zeros in front, and behind up to the size."""
    behind = size - before - tf.shape(rows)[0]
    return tf.pad(rows, [[before, behind], *([[0, 0]] * (rows.shape.rank - 1))])
