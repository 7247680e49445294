"""The pooled_embedding encoder: the mean of an object's token vectors, or like it."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from object2vec_tf.layers.ragged_sum import ragged_sum
from object2vec_tf.registration import PACKAGE


@keras.saving.register_keras_serializable(package=PACKAGE)
class PooledEmbedding(keras.layers.Layer):
    """Pools token vectors; an object without tokens is encoded as zeros.

    Args:
        dropout: Share of the mean's components that is dropped in training.
        seed: Seed of the dropout.
        pooling: mean, or sqrtn, which divides the sum of n vectors by the root of n, so
            that objects of many tokens are not shorter than those of few (as
            ``tf.nn.embedding_lookup_sparse`` has it, and SVD++ the items of a user).
    """

    def __init__(
        self,
        dropout: float = 0.0,
        seed: int | None = None,
        pooling: str = "mean",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.pooling = pooling
        self.dropout = dropout
        self.seed = seed
        self.drop = keras.layers.Dropout(dropout, seed=seed)

    def call(
        self, tokens: tuple[tf.Tensor, tf.RaggedTensor], training: bool | None = None
    ) -> tf.Tensor:
        """Returns encodings.

        Args:
            tokens: Vectors float ``[distinct, dim]``, and each token's place among
                them, RaggedTensor ``[batch, (time)]``.
            training: Whether dropout applies.

        Returns:
            float ``[batch, dim]``.
        """
        vectors, places = tokens
        total = ragged_sum(vectors, places, training)
        lengths = places.row_splits[1:] - places.row_splits[:-1]
        count = tf.cast(lengths, total.dtype)[:, tf.newaxis]
        if self.pooling == "sqrtn":
            count = tf.sqrt(count)
        return self.drop(tf.math.divide_no_nan(total, count), training=training)

    def compute_output_spec(
        self, tokens: Any, training: bool | None = None
    ) -> keras.KerasTensor:
        """Returns the symbolic output ``[batch, dim]``."""
        vectors, places = tokens
        shape = (places.shape[0], vectors.shape[1])
        return keras.KerasTensor(shape, dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "dropout": self.dropout,
            "seed": self.seed,
            "pooling": self.pooling,
        }
