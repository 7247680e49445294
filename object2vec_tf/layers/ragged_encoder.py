"""The base class of the encoder networks: token vectors in, encodings out."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from object2vec_tf.layers.static_rows import StaticRows


class RaggedEncoder(keras.layers.Layer):
    """Encodes objects whose tokens `TokenEmbedding` has looked up.

    A subclass implements `encode` and `encode_static`, and sets ``dim`` or overrides
    `output_dim`. Token vectors and encodings are float32 under any policy; a mixed one
    (`precision`) only applies to products inside an encoder.
    """

    dim: int

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        self.supports_jit = False  # XLA compiles no ragged inputs

    def call(
        self, tokens: tuple[tf.Tensor, tf.RaggedTensor], training: bool | None = None
    ) -> tf.Tensor:
        """Returns encodings.

        Args:
            tokens: The output of `TokenEmbedding`: the vectors of the unique tokens,
                float ``[unique, token_dim]``, and each token's index into them,
                RaggedTensor int32 ``[batch, (time)]``.
            training: Whether dropout applies.

        Returns:
            float ``[batch, dim]``.
        """
        vectors, indices = tokens
        return self.encode(vectors, indices, training)

    def encode(
        self, vectors: tf.Tensor, indices: tf.RaggedTensor, training: bool | None
    ) -> tf.Tensor:
        """Returns encodings, float ``[batch, dim]``.

        Args:
            vectors: float ``[unique, token_dim]``.
            indices: RaggedTensor int32 ``[batch, (time)]``, indices into ``vectors``.
            training: Whether dropout applies.
        """
        raise NotImplementedError

    def encode_static(
        self, vectors: tf.Tensor, rows: StaticRows, training: bool | None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns encodings of a batch in the static layout, under XLA.

        Values and gradients equal those of `encode`.

        Args:
            vectors: Vectors of the unique tokens, float32 ``[unique, token_dim]``; the
                last one is padding, which is zero.
            rows: The rows, whose cells refer to ``vectors``.
            training: Whether dropout applies.

        Returns:
            float32 ``[rows, dim]``, zeros for a row without tokens and for padding; and
            ``vectors``. If another side of the batch uses these vectors too, it should
            use the returned ones, so that their gradient is summed in place.
        """
        raise NotImplementedError

    def output_dim(self, token_dim: int) -> int:
        """Returns the width of the encoding.

        Args:
            token_dim: Width of a token vector.
        """
        return self.dim

    def compute_output_spec(
        self, tokens: Any, training: bool | None = None
    ) -> keras.KerasTensor:
        """Returns the symbolic output ``[batch, dim]``."""
        vectors, indices = tokens
        shape = (indices.shape[0], self.output_dim(vectors.shape[-1]))
        return keras.KerasTensor(shape, dtype=self.variable_dtype)
