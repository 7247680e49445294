"""Sums and gathers over replicas within a step, by TensorFlow's collective ops.

An instance of a collective op accepts tensors of one shape for the life of the process
(TensorFlow 2.21: "Shape mismatch in the collective instance") and is never freed. A
tensor with a varying number of rows is therefore padded to one of about a hundred
sizes, and each size has an op instance of its own.
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

# Each size is less than a fifth larger than the one before it.
_SIZES = np.array(sorted({math.ceil(2 ** (i / 4)) for i in range(4 * 31)}), np.int32)
# TensorFlow's strategies number their groups from 1.
_GROUP = 1_000

# The number of rows of a padded message, and the index of that size; int32 scalars.
MessageSize = tuple[tf.Tensor, tf.Tensor]

_current: contextvars.ContextVar[Collectives] = contextvars.ContextVar("collectives")


class Collectives:
    """Collective operations of one replica.

    All replicas must make the same calls in the same order when a graph is traced.

    Args:
        replica: Index of this replica.
        replicas: Number of replicas.
        device: Device of this replica.
        hint: How the replicas communicate; see `communication_hint`.
    """

    def __init__(
        self, replica: int, replicas: int, device: str, hint: str = "auto"
    ) -> None:
        self.replica = replica
        self.replicas = replicas
        self._hint = hint
        self._device = device
        self._calls = itertools.count()
        with tf.device(device):
            # Ops that take this resource run in the order in which they were traced.
            self._order = tf.Variable(0.0, trainable=False)

    @contextmanager
    def activated(self) -> Iterator[None]:
        """Makes these the `current_collectives` within the context."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    def all_reduce(self, value: tf.Tensor) -> tf.Tensor:
        """Returns the sum of all replicas' values; the shape must never change.

        The gradient is the sum of all replicas' gradients.
        """

        @tf.custom_gradient
        def reduced(value: tf.Tensor) -> tuple[tf.Tensor, Callable[..., tf.Tensor]]:
            return self._reduce(value, 0), lambda upstream: self._reduce(upstream, 0)

        return reduced(value)

    def all_reduce_many(self, values: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Returns the sums of several values, with one message for each dtype."""
        sums: list[Any] = [None] * len(values)
        for dtype in dict.fromkeys(value.dtype for value in values):
            indices = [i for i, value in enumerate(values) if value.dtype == dtype]
            flat = tf.concat([tf.reshape(values[i], [-1]) for i in indices], axis=0)
            sizes = [tf.size(values[i]) for i in indices]
            parts = tf.split(self._reduce(flat, 0), sizes, num=len(sizes))
            for i, part in zip(indices, parts, strict=True):
                sums[i] = tf.reshape(part, tf.shape(values[i]))
                sums[i] = tf.ensure_shape(sums[i], values[i].shape)
        return sums

    def all_reduce_padded(
        self, rows: tf.Tensor, before: tf.Tensor | int, count: tf.Tensor
    ) -> tf.Tensor:
        """Sums rows that each replica places at an offset of its own.

        With offsets that do not overlap, this concatenates any number of rows.

        Args:
            rows: This replica's rows, ``[own, ...]``.
            before: Offset of this replica's rows in the result.
            count: Number of rows of the result.

        Returns:
            ``[count, ...]``, without a gradient.
        """
        size, index = message_size(count)
        return self._reduce(_pad_rows(rows, before, size), index)[:count]

    def all_gather(self, rows: tf.Tensor) -> tf.Tensor:
        """Concatenates the rows of all replicas; the shape must never change.

        Args:
            rows: ``[rows, ...]``.

        Returns:
            ``[replicas * rows, ...]``, without a gradient.
        """
        count, *width = rows.shape
        return tf.ensure_shape(self._gather(rows, 0), [self.replicas * count, *width])

    def all_gather_batch(self, rows: tf.Tensor, batch: tf.Tensor) -> tf.Tensor:
        """Concatenates the rows of a batch that is split over the replicas.

        Args:
            rows: This replica's rows ``[own, ...]``, as
                `object2vec_tf.data.batch_plan.shard_rows` splits them.
            batch: Number of rows of the batch.

        Returns:
            ``[batch, ...]``, without a gradient.
        """
        edges = batch * tf.range(self.replicas + 1) // self.replicas
        size, index = message_size(tf.reduce_max(edges[1:] - edges[:-1]))
        row = tf.range(batch)
        replica = tf.searchsorted(edges[1:], row, side="right")
        padded_row = replica * size + row - tf.gather(edges, replica)
        return tf.gather(self._gather(_pad_rows(rows, 0, size), index), padded_row)

    def all_reduce_rows(self, rows: tf.Tensor) -> tf.Tensor:
        """Returns the sum of all replicas' rows; all have the same number of rows.

        Args:
            rows: ``[any, ...]``.

        Returns:
            The same shape, without a gradient.
        """
        return self.all_reduce_padded(rows, 0, tf.shape(rows)[0])

    def all_gather_slices(
        self, slices: Sequence[tf.IndexedSlices]
    ) -> list[tf.IndexedSlices]:
        """Concatenates the row gradients of all replicas, for each of several tables.

        Several replicas may contribute rows of the same index. Padding rows have the
        index -1 and zero values.
        """
        if not slices:
            return []
        own = tf.stack([tf.shape(table.indices)[0] for table in slices])
        one_hot = tf.one_hot(self.replica, self.replicas, dtype=tf.int32)
        counts = self._reduce(one_hot[:, tf.newaxis] * own, 0)
        largest = tf.unstack(tf.reduce_max(counts, axis=0), num=len(slices))
        gathered = []
        for table, count in zip(slices, largest, strict=True):
            size, index = message_size(count)
            indices = _pad_rows(table.indices + 1, 0, size)
            gathered.append(
                tf.IndexedSlices(
                    self._gather(_pad_rows(table.values, 0, size), index),
                    self._gather(indices, index) - 1,
                    table.dense_shape,
                )
            )
        return gathered

    def maximum(self, value: tf.Tensor) -> tf.Tensor:
        """Returns the largest of all replicas' values, without a gradient.

        Args:
            value: int32 scalar.
        """
        return self._reduce(value, 0, merge_op="Max")

    def all_to_all(self, rows: tf.Tensor, size: MessageSize) -> tf.Tensor:
        """Exchanges a message between each pair of replicas.

        Args:
            rows: This replica's messages to all replicas, in the order of replicas,
                ``[replicas * size, width]``. Each has the same number of rows.
            size: The size of a message, as `message_size` returns it.

        Returns:
            The messages of all replicas to this one, in the same shape, without a
            gradient.
        """
        count, index = size
        width = rows.shape[1]
        received = tf.raw_ops.CollectiveAllToAllV2(
            input=tf.reshape(rows, [self.replicas, count, width]),
            **self._instance(index),
        )
        return tf.reshape(received, [self.replicas * count, width])

    def _reduce(
        self, value: tf.Tensor, size_index: tf.Tensor | int, merge_op: str = "Add"
    ) -> tf.Tensor:
        return tf.raw_ops.CollectiveReduceV2(
            input=tf.convert_to_tensor(value),
            merge_op=merge_op,
            final_op="Id",
            **self._instance(size_index),
        )

    def _gather(self, value: tf.Tensor, size_index: tf.Tensor | int) -> tf.Tensor:
        gathered = tf.raw_ops.CollectiveGatherV2(
            input=value, **self._instance(size_index)
        )
        return tf.ensure_shape(gathered, [None, *value.shape[1:]])

    def _instance(self, size_index: tf.Tensor | int) -> dict[str, Any]:
        """Returns the attributes of a new op instance for a message size."""
        with tf.device("CPU:0"):
            key = next(self._calls) * len(_SIZES) + tf.convert_to_tensor(size_index)
        return {
            "group_size": self.replicas,
            "group_key": _GROUP,
            "instance_key": key,
            "ordering_token": [self._order.handle],
            "communication_hint": self._hint,
        }


def communication_hint(devices: Sequence[str], replicas: int) -> str:
    """Returns the hint for collective ops: NCCL between the GPUs of one process.

    Where the hint is "auto", TensorFlow chooses, perhaps a ring of copies. The choice
    was not observed on GPUs.

    Args:
        devices: The devices of this process's replicas.
        replicas: The number of replicas of all processes.
    """
    kinds = {tf.DeviceSpec.from_string(device).device_type for device in devices}
    is_local = len(devices) == replicas
    return "nccl" if kinds == {"GPU"} and is_local and replicas > 1 else "auto"


def padded_size(rows: int) -> int:
    """Returns the number of rows that a message of ``rows`` rows is padded to."""
    return int(_SIZES[np.searchsorted(_SIZES, rows)])


def current_collectives() -> Collectives:
    """Returns the collectives of the replica that is being traced.

    Raises:
        LookupError: There are none: a shard of a batch was used outside a strategy.
    """
    return _current.get()


def message_size(count: tf.Tensor) -> MessageSize:
    """Returns the padded size of a message with ``count`` rows, and its index.

    Args:
        count: int32 scalar.
    """
    index = tf.searchsorted(_SIZES, tf.reshape(tf.cast(count, tf.int32), [1]))[0]
    return tf.gather(_SIZES, index), index


def _pad_rows(rows: tf.Tensor, before: tf.Tensor | int, size: tf.Tensor) -> tf.Tensor:
    """Pads rows with zeros: ``before`` rows in front, and up to ``size`` in total."""
    after = size - before - tf.shape(rows)[0]
    return tf.pad(rows, [[before, after], *([[0, 0]] * (rows.shape.rank - 1))])
