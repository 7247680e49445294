"""The pooled_embedding encoder: a mean or scaled sum of an object's token vectors."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from object2vec_tf.devices import on_host
from object2vec_tf.hyperparameters.choices import WEIGHTED
from object2vec_tf.layers.ragged_encoder import RaggedEncoder
from object2vec_tf.layers.ragged_sum import ragged_sum
from object2vec_tf.layers.repeated_tokens import logarithmic_factors
from object2vec_tf.layers.static_rows import StaticRows
from object2vec_tf.layers.static_sum import row_sums
from object2vec_tf.layers.token_dropout import drop_cells, drop_tokens
from object2vec_tf.registration import PACKAGE


@keras.saving.register_keras_serializable(package=PACKAGE)
class PooledEmbedding(RaggedEncoder):
    """Pools token vectors; an object without tokens is encoded as zeros.

    Args:
        dropout: Fraction of the encoding's components that is dropped in training.
        seed: Seed of dropout.
        pooling: ``mean``, ``sqrtn``, ``weighted`` or ``weighted_sqrtn``. ``sqrtn``
            divides the sum of n vectors by the square root of n, so that objects with
            many tokens do not get shorter vectors than objects with few (as
            ``tf.nn.embedding_lookup_sparse`` with this combiner, and as SVD++ pools the
            items of a user). ``weighted`` takes the vectors of `TokenWeights` and
            divides their sum by the sum of the weights. This weighted mean
            (``tf.nn.embedding_lookup_sparse`` with weights and the combiner ``mean``)
            is as long as the vectors, whatever the scale of the weights; it is an
            attention whose scores, the logarithms of the weights, depend on the token
            alone. ``weighted_sqrtn`` divides by the square root of the sum of the
            squared weights, as the combiner ``sqrtn`` does with weights.
        repeated_tokens: ``count``: n occurrences of a token in an object count n times.
            ``log``: they count 1 + log n times.
        token_dropout: Fraction of the tokens of each object that is dropped in
            training, drawn again for every batch (Iyyer et al. 2015, "Deep Unordered
            Composition Rivals Syntactic Methods for Text Classification"). The sum of
            the others is divided by ``1 - token_dropout``, so that its mean is the sum
            of all tokens. So is the sum of their weights, or of the squares: with
            ``weighted``, the encoding is the weighted mean of the others.
    """

    def __init__(
        self,
        dropout: float = 0.0,
        seed: int | None = None,
        pooling: str = "mean",
        repeated_tokens: str = "count",
        token_dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.token_dropout = token_dropout
        self.pooling = pooling
        self.repeated_tokens = repeated_tokens
        self.dropout = dropout
        self.seed = seed
        self.drop = keras.layers.Dropout(dropout, seed=seed, dtype=self.variable_dtype)
        if token_dropout:
            # Another seed than that of dropout: a layer has several from its own on.
            self.drop_tokens = keras.layers.Dropout(
                token_dropout,
                seed=None if seed is None else seed + 1,
                dtype=self.variable_dtype,
            )

    def encode(
        self, vectors: tf.Tensor, indices: tf.RaggedTensor, training: bool | None
    ) -> tf.Tensor:
        """Returns encodings; see `RaggedEncoder.encode`."""
        factors = None
        with on_host():
            lengths = indices.row_splits[1:] - indices.row_splits[:-1]
            if self.repeated_tokens == "log":
                factors = logarithmic_factors(indices, tf.shape(vectors)[0])
                lengths = tf.reduce_sum(indices.with_values(factors), axis=1)
        if training and self.token_dropout:
            indices, factors = drop_tokens(self.drop_tokens, indices, factors)
        total = ragged_sum(vectors, indices, training, factors)
        return self._pooled(total, lengths, training)

    def encode_static(
        self, vectors: tf.Tensor, rows: StaticRows, training: bool | None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns encodings; see `RaggedEncoder.encode_static`."""
        if training and self.token_dropout:
            rows = drop_cells(self.drop_tokens, rows, vectors.shape[0])
        sums, vectors = row_sums(vectors, rows)
        return self._pooled(sums, rows.lengths, training), vectors

    def _pooled(
        self, total: tf.Tensor, lengths: tf.Tensor, training: bool | None
    ) -> tf.Tensor:
        """Divides sums of vectors, and applies dropout."""
        if training and self.token_dropout:
            total /= 1 - self.token_dropout
        return self.drop(self._divided(total, lengths), training=training)

    def _divided(self, total: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        if self.has_weights:
            total, divisor = total[:, :-1], total[:, -1:]
            if self.pooling == "weighted_sqrtn":
                # The gradient of a square root is infinite at 0.
                has_tokens = divisor > 0
                root = tf.sqrt(tf.where(has_tokens, divisor, 1.0))
                divisor = tf.where(has_tokens, root, 0.0)
            return tf.math.divide_no_nan(total, divisor)
        count = tf.cast(lengths, total.dtype)[:, tf.newaxis]
        if self.pooling == "sqrtn":
            count = tf.sqrt(count)
        return tf.math.divide_no_nan(total, count)

    @property
    def has_weights(self) -> bool:
        """Whether the last column of the vectors is that of their weights."""
        return self.pooling in WEIGHTED

    def output_dim(self, token_dim: int) -> int:
        """Returns the width of a token vector, without the column of a weight."""
        return token_dim - self.has_weights

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "dropout": self.dropout,
            "seed": self.seed,
            "pooling": self.pooling,
            "repeated_tokens": self.repeated_tokens,
            "token_dropout": self.token_dropout,
        }
