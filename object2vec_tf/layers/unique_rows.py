"""The unique rows of a batch, so that an object that occurs twice is encoded once."""

from __future__ import annotations

import tensorflow as tf

from object2vec_tf.devices import on_host


def unique_rows(ids: tf.RaggedTensor) -> tuple[tf.RaggedTensor, tf.Tensor]:
    """Finds the unique rows.

    Rows are compared token by token, not by a hash that could collide.

    Args:
        ids: RaggedTensor of non-negative integers ``[batch, (time)]``.

    Returns:
        The unique rows in the order of their first appearance, ``[unique, (time)]``,
        and each row's index into them, int32 ``[batch]``.
    """
    with on_host():
        # One extra column: without columns, UniqueV2 loses the number of rows.
        padded = tf.pad(ids.to_tensor(-1), [[0, 0], [0, 1]], constant_values=-1)
        rows, indices = tf.raw_ops.UniqueV2(x=padded, axis=[0])
        lengths = tf.reduce_sum(tf.cast(rows >= 0, ids.row_splits.dtype), axis=1)
        splits = tf.pad(tf.cumsum(lengths), [[1, 0]])
        tokens = tf.boolean_mask(rows, rows >= 0)
        unique = tf.RaggedTensor.from_row_splits(tokens, splits, validate=False)
    return unique, indices
