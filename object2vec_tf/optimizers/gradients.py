"""Prepares gradients for an optimizer: one row per token, with weight decay."""

from __future__ import annotations

from typing import TypeAlias

import keras
import tensorflow as tf

from object2vec_tf.layers.compilation import under_xla

Gradient: TypeAlias = tf.Tensor | tf.IndexedSlices


def sum_repeated_rows(
    gradient: Gradient | None, as_rows: bool, distinct: bool = False
) -> Gradient | None:
    """Sums the rows of a gradient that belong to the same token.

    A token that occurs twice in a batch has two rows in an IndexedSlices gradient. The
    optimizers of Keras 3.15 apply such rows one by one (``keras/src/backend/tensorflow/
    optimizer.py``). Adam then sees the sum of the squares, where the square of the sum
    is correct.

    Args:
        gradient: IndexedSlices; a dense gradient or None is returned unchanged.
        as_rows: Whether to return IndexedSlices with unique indices, or a dense
            gradient of the whole table.
        distinct: Whether the indices are known to be unique.
    """
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    if not as_rows:
        return tf.convert_to_tensor(gradient)  # sums rows with the same index
    if distinct:
        return gradient
    rows, positions = tf.unique(gradient.indices)
    values = tf.math.unsorted_segment_sum(gradient.values, positions, tf.size(rows))
    return tf.IndexedSlices(values, rows, gradient.dense_shape)


def sum_replica_rows(gradient: tf.IndexedSlices, as_rows: bool) -> Gradient:
    """Sums the rows of several replicas that belong to the same token.

    Args:
        gradient: The rows of all replicas; rows with index -1 are padding.
        as_rows: As for `sum_repeated_rows`.
    """
    if not as_rows:
        return sum_repeated_rows(gradient, as_rows)
    # -1 comes first, so that its segment is -1, which unsorted_segment_sum drops.
    rows, positions = tf.unique(tf.concat([[-1], gradient.indices], axis=0))
    values = tf.math.unsorted_segment_sum(
        gradient.values, positions[1:] - 1, tf.size(rows) - 1
    )
    return tf.IndexedSlices(values, rows[1:], gradient.dense_shape)


def add_weight_decay(
    gradient: Gradient, variable: keras.Variable, decay: float
) -> Gradient:
    """Adds the gradient of ``decay / 2 * sum(variable ** 2)``.

    For IndexedSlices, which must have unique indices, the sum is over those rows only.
    A token's vector then decays only in the steps that use it. Under XLA, rows whose
    index is out of range are padding and do not decay.
    """
    if isinstance(gradient, tf.IndexedSlices):
        rows = tf.gather(variable.value, gradient.indices)
        if under_xla():  # where a gather clamps indices
            is_row = gradient.indices[:, tf.newaxis] < variable.shape[0]
            rows = tf.where(is_row, rows, 0.0)
        return tf.IndexedSlices(
            gradient.values + decay * rows, gradient.indices, gradient.dense_shape
        )
    return gradient + decay * variable.value
