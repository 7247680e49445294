"""The token embedding: a vector for each token id."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from object2vec_tf.registration import PACKAGE


@keras.saving.register_keras_serializable(package=PACKAGE)
class TokenEmbedding(keras.layers.Layer):
    """Looks up the vector of each token; rows keep their lengths.

    Ids must be in ``[0, vocab_size)``: on a GPU, ``tf.gather`` returns zeros for others
    without a word, so the pipeline and the exported signatures check them first.

    Args:
        vocab_size: Number of vectors.
        dim: Width of a vector.
        scale: Initial vectors are uniform in ``[-scale, scale] / dim**0.5``, so that
            their length does not depend on their width.
        seed: Seed of the initial vectors.
    """

    def __init__(
        self,
        vocab_size: int,
        dim: int,
        scale: float = 1.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.vocab_size = vocab_size
        self.dim = dim
        self.scale = scale
        self.seed = seed

    def build(self, input_shape: Any) -> None:
        """Creates the table ``[vocab_size, dim]``."""
        limit = self.scale * self.dim**-0.5
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(self.vocab_size, self.dim),
            initializer=keras.initializers.RandomUniform(-limit, limit, seed=self.seed),
        )

    def call(self, ids: Any) -> tf.RaggedTensor:
        """Returns the vectors.

        Args:
            ids: RaggedTensor of integers ``[batch, (time)]``; a dense tensor
                ``[batch, time]`` is read as rows of equal length.

        Returns:
            RaggedTensor float ``[batch, (time), dim]``.
        """
        if not isinstance(ids, tf.RaggedTensor):
            ids = tf.RaggedTensor.from_tensor(ids)
        # The resource itself is gathered from: `keras.ops.take` would read it whole.
        return ids.with_values(tf.gather(self.embeddings.value, ids.values))

    def compute_output_spec(self, ids: Any) -> keras.KerasTensor:
        """Returns the symbolic output ``[batch, (time), dim]``."""
        shape = (ids.shape[0], None, self.dim)
        return keras.KerasTensor(shape, dtype=self.compute_dtype, ragged=True)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "vocab_size": self.vocab_size,
            "dim": self.dim,
            "scale": self.scale,
            "seed": self.seed,
        }
