"""The distinct rows of a batch, so that an object that repeats is encoded once."""

from __future__ import annotations

import tensorflow as tf


def unique_rows(ids: tf.RaggedTensor) -> tuple[tf.RaggedTensor, tf.Tensor]:
    """Finds the distinct rows.

    Rows are compared token by token, not by a hash that two may share.

    Args:
        ids: RaggedTensor of non-negative integers ``[batch, (time)]``.

    Returns:
        The distinct rows in the order of their first appearance, ``[distinct,
        (time)]``, and where among them each row is, int32 ``[batch]``.
    """
    # A column more, since of rows without any column UniqueV2 cannot tell how many.
    padded = tf.pad(ids.to_tensor(-1), [[0, 0], [0, 1]], constant_values=-1)
    rows, places = tf.raw_ops.UniqueV2(x=padded, axis=[0])
    lengths = tf.reduce_sum(tf.cast(rows >= 0, ids.row_splits.dtype), axis=1)
    splits = tf.pad(tf.cumsum(lengths), [[1, 0]])
    tokens = tf.boolean_mask(rows, rows >= 0)
    return tf.RaggedTensor.from_row_splits(tokens, splits, validate=False), places
