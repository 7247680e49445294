"""Gradients as an optimizer needs them: one row for a token, decay included."""

from __future__ import annotations

from typing import TypeAlias

import keras
import tensorflow as tf

Gradient: TypeAlias = tf.Tensor | tf.IndexedSlices


def sum_repeated_rows(
    gradient: Gradient | None, as_rows: bool, distinct: bool = False
) -> Gradient | None:
    """Sums the rows of a gradient that belong to the same token.

    A token that stands twice in a batch has two rows in an IndexedSlices gradient.
    Keras 3.15's optimizers take them one by one (``keras/src/backend/tensorflow/
    optimizer.py``), so that Adam sees the sum of squares where the square of the sum
    is right.

    Args:
        gradient: A dense gradient or None, which are returned as they are, or
            IndexedSlices.
        as_rows: Whether IndexedSlices stay rows, each index once, or become a dense
            gradient of the whole table.
        distinct: Whether IndexedSlices are known to have each index once.
    """
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    if not as_rows:
        return tf.convert_to_tensor(gradient)  # adds rows of the same index
    if distinct:
        return gradient
    rows, place = tf.unique(gradient.indices)
    values = tf.math.unsorted_segment_sum(gradient.values, place, tf.size(rows))
    return tf.IndexedSlices(values, rows, gradient.dense_shape)


def sum_replica_rows(gradient: tf.IndexedSlices, as_rows: bool) -> Gradient:
    """Sums the rows of several replicas; rows of index -1 are padding.

    Args:
        gradient: The rows of several replicas.
        as_rows: As for `sum_repeated_rows`.
    """
    if not as_rows:
        return sum_repeated_rows(gradient, as_rows)
    # Segments below 0 are left out, too.
    rows, place = tf.unique(tf.concat([[-1], gradient.indices], axis=0))
    values = tf.math.unsorted_segment_sum(
        gradient.values, place[1:] - 1, tf.size(rows) - 1
    )
    return tf.IndexedSlices(values, rows[1:], gradient.dense_shape)


def add_weight_decay(
    gradient: Gradient, variable: keras.Variable, decay: float
) -> Gradient:
    """Adds the gradient of ``decay / 2 * sum(variable ** 2)``.

    For rows (summed before), the sum goes over those rows alone: a token's vector
    decays in the steps that use it.
    """
    if isinstance(gradient, tf.IndexedSlices):
        held = tf.gather(variable.value, gradient.indices)
        return tf.IndexedSlices(
            gradient.values + decay * held, gradient.indices, gradient.dense_shape
        )
    return gradient + decay * variable.value
