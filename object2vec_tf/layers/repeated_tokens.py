"""Sublinear counts of the tokens that an object repeats."""

from __future__ import annotations

import tensorflow as tf


def logarithmic_factors(indices: tf.RaggedTensor, unique: tf.Tensor) -> tf.Tensor:
    """Returns factors that make n occurrences of a token count 1 + log n.

    Each occurrence has the factor (1 + log n) / n. This is the sublinear term frequency
    of information retrieval.

    Source: Manning, Raghavan and Schütze 2008, "Introduction to Information Retrieval",
    section 6.4.1.

    Args:
        indices: The index of each token of an object among the unique tokens of the
            batch, RaggedTensor int32 ``[batch, (time)]``.
        unique: Number of unique tokens, an integer scalar.

    Returns:
        float32 ``[tokens]``, in the order of ``indices.values``.

    Example:
        >>> import tensorflow as tf
        >>> indices = tf.ragged.constant([[4, 4, 2, 4], [4]], dtype=tf.int32)
        >>> [round(float(x), 4) for x in logarithmic_factors(indices, 5)]
        [0.6995, 0.6995, 1.0, 0.6995, 1.0]
    """
    rows = tf.cast(indices.value_rowids(), tf.int64)
    cells = rows * tf.cast(unique, tf.int64) + tf.cast(indices.values, tf.int64)
    _, positions, counts = tf.unique_with_counts(cells)
    occurrences = tf.cast(counts, tf.float32)
    return tf.gather((1 + tf.math.log(occurrences)) / occurrences, positions)
