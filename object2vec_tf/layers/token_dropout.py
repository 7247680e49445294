"""Drops tokens of objects in training, before their vectors are summed."""

from __future__ import annotations

import dataclasses

import keras
import tensorflow as tf

from object2vec_tf.layers.static_rows import StaticRows


def drop_tokens(
    dropout: keras.layers.Dropout,
    indices: tf.RaggedTensor,
    factors: tf.Tensor | None = None,
) -> tuple[tf.RaggedTensor, tf.Tensor | None]:
    """Removes random tokens of each row.

    The sum of the remaining vectors then takes less time.

    Args:
        dropout: The layer that has the fraction to drop, and the random state.
        indices: RaggedTensor int32 ``[rows, (time)]``.
        factors: A value for each token, float ``[tokens]``, or None.

    Returns:
        The remaining tokens and their factors.

    Example:
        >>> rows = tf.RaggedTensor.from_row_lengths(tf.zeros(3000, tf.int32), [3000])
        >>> kept, _ = drop_tokens(keras.layers.Dropout(0.75, seed=1), rows)
        >>> 650 < int(kept.row_lengths()[0]) < 850
        True
    """
    keep = _kept(dropout, tf.shape(indices.values))
    ends = tf.cumsum(tf.cast(keep, indices.row_splits.dtype))
    ends = tf.concat([tf.zeros_like(ends[:1]), ends], axis=0)
    values = tf.boolean_mask(indices.values, keep)
    if factors is not None:
        factors = tf.boolean_mask(factors, keep)
    rows = tf.RaggedTensor.from_row_splits(
        values, tf.gather(ends, indices.row_splits), validate=False
    )
    return rows, factors


def drop_cells(
    dropout: keras.layers.Dropout, rows: StaticRows, empty: int
) -> StaticRows:
    """Makes random cells empty; the lengths of the rows do not change.

    Args:
        dropout: As for `drop_tokens`.
        rows: The rows of a batch in the static layout.
        empty: The value of an empty cell.
    """
    keep = _kept(dropout, rows.cells.shape)
    return dataclasses.replace(rows, cells=tf.where(keep, rows.cells, empty))


def _kept(
    dropout: keras.layers.Dropout, shape: tf.Tensor | tf.TensorShape
) -> tf.Tensor:
    """Returns which of the elements of a shape the layer keeps."""
    return dropout(tf.ones(shape, dropout.variable_dtype), training=True) > 0
