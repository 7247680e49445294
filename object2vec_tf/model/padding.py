"""Between ragged rows and dense ones: padding at the end, and the mask that tells."""

from __future__ import annotations

import tensorflow as tf


def pad(vectors: tf.RaggedTensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Pads rows with zeros to the longest row of the batch.

    Args:
        vectors: RaggedTensor float ``[batch, (time), dim]``.

    Returns:
        The dense tensor ``[batch, time, dim]`` with time at least 1 (a convolution over
        no time at all returns its input unchanged), and the lengths ``[batch]``.
    """
    lengths = vectors.row_lengths()
    time = tf.reduce_max(tf.concat([lengths, [1]], axis=0))
    dim = vectors.shape[-1]
    shape = tf.stack([vectors.nrows(), time, tf.cast(dim, tf.int64)])
    dense = tf.ensure_shape(vectors.to_tensor(shape=shape), [None, None, dim])
    return dense, lengths


def mask(dense: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
    """Returns 1 for the steps of a row and 0 for its padding, ``[batch, time, 1]``."""
    valid = tf.sequence_mask(lengths, tf.shape(dense)[1], dtype=dense.dtype)
    return valid[:, :, tf.newaxis]
