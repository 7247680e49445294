"""Between ragged rows and dense ones: padding at the end, and the mask that tells."""

from __future__ import annotations

import tensorflow as tf


def pad(vectors: tf.RaggedTensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Pads rows with zeros to the longest row of the batch.

    Args:
        vectors: RaggedTensor float ``[batch, (time), dim]``.

    Returns:
        The dense tensor ``[rows, time, dim]`` and the lengths ``[rows]``. Rows and time
        are at least 1, since in a graph a convolution over nothing returns its input,
        channels and all, as it is: a batch of no rows gets one, to be cut off behind.
    """
    rows = tf.maximum(vectors.nrows(), 1)
    lengths = tf.concat([vectors.row_lengths(), [0]], axis=0)[:rows]
    time = tf.maximum(tf.reduce_max(lengths), 1)
    dim = vectors.shape[-1]
    shape = tf.stack([rows, time, tf.cast(dim, tf.int64)])
    dense = tf.ensure_shape(vectors.to_tensor(shape=shape), [None, None, dim])
    return dense, lengths


def mask(dense: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
    """Returns 1 for the steps of a row and 0 for its padding, ``[batch, time, 1]``."""
    valid = tf.sequence_mask(lengths, tf.shape(dense)[1], dtype=dense.dtype)
    return valid[:, :, tf.newaxis]
