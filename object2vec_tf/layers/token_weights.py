"""Token weights: one learned, positive weight per token, for pooled encoders."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from object2vec_tf.devices import on_host
from object2vec_tf.layers.table_placement import WHOLE_TABLES, TablePlacement, TableSpec
from object2vec_tf.registration import PACKAGE


@keras.saving.register_keras_serializable(package=PACKAGE)
class TokenWeights(keras.layers.Layer):
    """Multiplies the vectors of tokens by weights, for a weighted mean.

    The logarithm of a weight is stored, so that every weight is positive, and 1 at
    first. A step reads and updates only the weights of the tokens in its batch.

    Args:
        vocab_size: Number of tokens.
        weights_unseen: Whether tokens without an id, which have the id ``vocab_size``
            and may repeat, share one more weight.
        squares: Whether the last column has the squares of the weights.
        placement: Where the weights are kept.

    Example:
        >>> import tensorflow as tf
        >>> layer = TokenWeights(4)
        >>> layer.build(None)
        >>> _ = layer.log_weights.assign([[0.0], [0.0], [0.0], [0.6931472]])
        >>> indices = tf.ragged.constant([[0, 1], [1]], dtype=tf.int32)
        >>> tokens = tf.constant([[5.0], [7.0]]), indices, tf.constant([1, 3])
        >>> vectors, _ = layer(tokens)
        >>> vectors.numpy().round(5).tolist()
        [[5.0, 1.0], [14.0, 2.0]]
    """

    def __init__(
        self,
        vocab_size: int,
        weights_unseen: bool = False,
        squares: bool = False,
        placement: TablePlacement = WHOLE_TABLES,
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        self.supports_jit = False  # XLA compiles no ragged inputs
        self.vocab_size = vocab_size
        self.weights_unseen = weights_unseen
        self.squares = squares
        self.placement = placement

    def build(self, input_shape: Any) -> None:
        """Creates the logarithms of the weights, ``[vocab_size, 1]`` or one more."""
        rows = self.vocab_size + self.weights_unseen
        spec = TableSpec("log_weights", (rows, 1), "zeros")
        self.table = self.placement.add_table(self, spec)
        self.log_weights = self.table.variable

    def call(
        self, tokens: tuple[tf.Tensor, tf.RaggedTensor, tf.Tensor]
    ) -> tuple[tf.Tensor, tf.RaggedTensor]:
        """Multiplies the vectors of the unique tokens of a batch.

        Args:
            tokens: The output of `TokenEmbedding` with ``returns_ids``: vectors, float
                ``[unique, dim]``, each token's index into them, and the unique ids.

        Returns:
            The products and, as a last column, the weights or their squares, float
            ``[unique, dim + 1]``; and the indices.
        """
        vectors, indices, unique = tokens
        if self.weights_unseen:  # looks up each weight once
            with on_host():
                unique, positions = tf.unique(unique)
            weights = tf.gather(self._weights(unique), positions)
        else:
            weights = self._weights(unique)
        return self._products(vectors, weights), indices

    def _weights(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns the weights of tokens, float ``[ids, 1]``."""
        return tf.exp(self.table.lookup(ids))

    def _products(self, vectors: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """Returns the products and the last column, float ``[unique, dim + 1]``."""
        last = tf.square(weights) if self.squares else weights
        return tf.concat([vectors * weights, last], axis=1)

    def multiply_unique(self, vectors: tf.Tensor, unique: tf.Tensor) -> tf.Tensor:
        """Does the same as `call` for a batch in the static layout, under XLA.

        Args:
            vectors: float32 ``[unique, dim]``.
            unique: Distinct ids, int32 ``[unique]``; ``vocab_size`` for padding.

        Returns:
            float32 ``[unique, dim + 1]``; zeros for padding.
        """
        is_token = unique[:, tf.newaxis] < self.vocab_size
        weights = tf.where(is_token, self._weights(unique), 0.0)
        return self._products(vectors, weights)

    def compute_output_spec(self, tokens: Any) -> tuple[keras.KerasTensor, ...]:
        """Returns the symbolic outputs; see `call`."""
        vectors, indices, _ = tokens
        shape = (None, vectors.shape[-1] + 1)
        return (
            keras.KerasTensor(shape, dtype=self.variable_dtype),
            keras.KerasTensor(indices.shape, dtype="int32", ragged=True),
        )

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "vocab_size": self.vocab_size,
            "weights_unseen": self.weights_unseen,
            "squares": self.squares,
        }
