"""Between ragged rows and dense ones: padding at the end, and the mask that tells."""

from __future__ import annotations

import tensorflow as tf


def pad(vectors: tf.Tensor, places: tf.RaggedTensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Pads rows with zeros to the longest row of the batch.

    Args:
        vectors: float ``[distinct, dim]``.
        places: RaggedTensor int32 ``[batch, (time)]``, indices into ``vectors``.

    Returns:
        The dense tensor ``[rows, time, dim]`` and the lengths ``[rows]``. Rows and time
        are at least 1, since in a graph a convolution over nothing returns its input,
        channels and all, as it is: a batch of no rows gets one, to be cut off behind.
    """
    rows = tf.maximum(places.nrows(), 1)
    lengths = tf.concat([places.row_lengths(), [0]], axis=0)[:rows]
    time = tf.maximum(tf.reduce_max(lengths), 1)
    # Padding is the place of a row of zeros in front of the vectors.
    zeros = tf.zeros([1, vectors.shape[-1]], vectors.dtype)
    padded = tf.concat([zeros, vectors], axis=0)
    dense = (places + 1).to_tensor(default_value=0, shape=tf.stack([rows, time]))
    return tf.gather(padded, dense), lengths


def mask(dense: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
    """Returns 1 for the steps of a row and 0 for its padding, ``[batch, time, 1]``."""
    valid = tf.sequence_mask(lengths, tf.shape(dense)[1], dtype=dense.dtype)
    return valid[:, :, tf.newaxis]
