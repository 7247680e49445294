"""The pooled_embedding encoder: the mean of an object's token vectors."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from object2vec_tf.registration import PACKAGE


@keras.saving.register_keras_serializable(package=PACKAGE)
class PooledEmbedding(keras.layers.Layer):
    """Averages token vectors; an object without tokens is encoded as zeros.

    Args:
        dropout: Share of the mean's components that is dropped in training.
        seed: Seed of the dropout.
    """

    def __init__(
        self, dropout: float = 0.0, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.dropout = dropout
        self.seed = seed
        self.drop = keras.layers.Dropout(dropout, seed=seed)

    def call(self, vectors: tf.RaggedTensor, training: bool | None = None) -> tf.Tensor:
        """Returns encodings.

        Args:
            vectors: RaggedTensor float ``[batch, (time), dim]``.
            training: Whether dropout applies.

        Returns:
            float ``[batch, dim]``.
        """
        # `tf.reduce_sum(vectors, axis=1)` takes eighty ops for what are five here.
        splits = vectors.row_splits
        tokens = tf.range(tf.shape(vectors.values, splits.dtype)[0])
        rows = tf.raw_ops.UpperBound(sorted_inputs=[splits[1:]], values=[tokens])[0]
        lengths = splits[1:] - splits[:-1]
        total = tf.math.unsorted_segment_sum(vectors.values, rows, tf.size(lengths))
        count = tf.cast(lengths, total.dtype)[:, tf.newaxis]
        mean = tf.math.divide_no_nan(total, count)
        return self.drop(mean, training=training)

    def compute_output_spec(
        self, vectors: Any, training: bool | None = None
    ) -> keras.KerasTensor:
        """Returns the symbolic output ``[batch, dim]``."""
        shape = (vectors.shape[0], vectors.shape[2])
        return keras.KerasTensor(shape, dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "dropout": self.dropout, "seed": self.seed}
