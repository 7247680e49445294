"""Which objects of a batch form positive pairs."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from object2vec_tf.layers.token_embedding import as_ragged
from object2vec_tf.layers.unique_rows import unique_rows


def positive_mask(in0: Any, in1: Any, labels: tf.Tensor) -> tf.Tensor:
    """Returns which in0 and in1 of a batch form a positive pair of the batch.

    Equal objects are recognized: if one pair is positive, so is every combination of
    rows that hold the same two objects.

    Args:
        in0: Token ids, RaggedTensor ``[batch, (time)]``.
        in1: Token ids of the second objects, of the same shape.
        labels: ``[batch]``; a pair is positive if its label is above 0.

    Returns:
        bool ``[batch, batch]``, by row of in0 and row of in1.
    """
    objects0, index0 = unique_rows(as_ragged(in0))
    objects1, index1 = unique_rows(as_ragged(in1))
    counts = tf.scatter_nd(
        tf.stack([index0, index1], axis=1),
        tf.cast(labels > 0, tf.int32),
        tf.cast(tf.stack([objects0.nrows(), objects1.nrows()]), tf.int32),
    )
    return tf.gather(tf.gather(counts, index0), index1, axis=1) > 0
