"""The token embedding: a vector for each token id."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from object2vec_tf.registration import PACKAGE


@keras.saving.register_keras_serializable(package=PACKAGE)
class TokenEmbedding(keras.layers.Layer):
    """Looks up the vectors of tokens.

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

    def call(self, ids: Any) -> tuple[tf.Tensor, tf.RaggedTensor]:
        """Looks up each distinct token once.

        A token's gradient thereby comes as one row, however often it stands there.

        Args:
            ids: RaggedTensor of integers ``[batch, (time)]``; a dense tensor
                ``[batch, time]`` is read as rows of equal length.

        Returns:
            The vectors of the distinct tokens, float ``[distinct, dim]``, and where
            among them each token's is, RaggedTensor int32 ``[batch, (time)]``.
        """
        ids = as_ragged(ids)
        distinct, places = tf.unique(ids.values)
        # The resource itself is gathered from: `keras.ops.take` would read it whole.
        return tf.gather(self.embeddings.value, distinct), ids.with_values(places)

    def compute_output_spec(self, ids: Any) -> tuple[keras.KerasTensor, ...]:
        """Returns the symbolic outputs ``[distinct, dim]`` and ``[batch, (time)]``."""
        return (
            keras.KerasTensor((None, self.dim), dtype=self.compute_dtype),
            keras.KerasTensor((ids.shape[0], None), dtype="int32", ragged=True),
        )

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "vocab_size": self.vocab_size,
            "dim": self.dim,
            "scale": self.scale,
            "seed": self.seed,
        }


def as_ragged(ids: Any) -> tf.RaggedTensor:
    """Returns ids, a dense tensor ``[batch, time]`` as rows of equal length."""
    return ids if isinstance(ids, tf.RaggedTensor) else tf.RaggedTensor.from_tensor(ids)


def stacked(first: tf.RaggedTensor, second: tf.RaggedTensor) -> tf.RaggedTensor:
    """Returns the rows of two RaggedTensors, one below the other."""
    # `tf.concat` does it too, in seventy ops.
    values = [first.values, tf.cast(second.values, first.values.dtype)]
    behind = tf.cast(second.row_splits[1:], first.row_splits.dtype)
    splits = [first.row_splits, behind + first.row_splits[-1]]
    return tf.RaggedTensor.from_row_splits(
        tf.concat(values, axis=0), tf.concat(splits, axis=0), validate=False
    )
