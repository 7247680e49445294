"""The token embedding: one vector per token id."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from object2vec_tf.devices import gpu_is_visible, on_host
from object2vec_tf.layers.table_placement import WHOLE_TABLES, TablePlacement, TableSpec
from object2vec_tf.registration import PACKAGE


@keras.saving.register_keras_serializable(package=PACKAGE)
class TokenEmbedding(keras.layers.Layer):
    """Looks up the vectors of tokens.

    Ids must be in ``[0, vocab_size)``; others raise ``InvalidArgumentError``. On a GPU,
    ``tf.gather`` silently returns zeros for them, so where a GPU is visible the layer
    checks the ids on the host. The input pipeline, `Object2Vec.embed` and the exported
    signatures check them first, with better messages.

    Args:
        vocab_size: Number of vectors.
        dim: Width of a vector.
        scale: Initial components are uniform in ``[-scale, scale] / dim**0.5``, so the
            expected length of a vector does not depend on its width.
        seed: Seed of the initial vectors.
        returns_ids: Whether to return the unique ids too.
        placement: Where the vectors are kept.
    """

    # Whether the vectors of the table are trained, where the layer is.
    trains_words = True

    def __init__(
        self,
        vocab_size: int,
        dim: int,
        scale: float = 1.0,
        seed: int | None = None,
        returns_ids: bool = False,
        placement: TablePlacement = WHOLE_TABLES,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.supports_jit = False  # XLA compiles no ragged inputs
        self.vocab_size = vocab_size
        self.dim = dim
        self.scale = scale
        self.seed = seed
        self.returns_ids = returns_ids
        self.placement = placement

    def build(self, input_shape: Any) -> None:
        """Creates the table ``[vocab_size, dim]``."""
        limit = self.scale * self.dim**-0.5
        self.table = self.placement.add_table(
            self,
            TableSpec(
                "embeddings",
                (self.vocab_size, self.dim),
                keras.initializers.RandomUniform(-limit, limit, seed=self.seed),
                self.trains_words,
            ),
        )
        self.embeddings = self.table.variable

    def call(self, ids: Any, training: bool | None = None) -> tuple[Any, ...]:
        """Looks up each unique token once.

        The gradient of a token is therefore a single row, however often the token
        occurs in the batch.

        Args:
            ids: RaggedTensor of integers ``[batch, (time)]``; a dense tensor
                ``[batch, time]`` is read as rows of equal length.
            training: Whether the batch may be large enough to be worth sorting.

        Returns:
            The vectors of the unique tokens, float32 ``[unique, dim]`` under any
            policy, and each token's index into them, RaggedTensor int32
            ``[batch, (time)]``. With ``returns_ids``, the unique ids too, ``[unique]``.
        """
        with on_host():
            ids = as_ragged(ids)
            if training and not gpu_is_visible():
                unique, indices = unique_tokens(ids.values, self.vocab_size)
            else:
                unique, indices = tf.unique(ids.values)
            if gpu_is_visible():
                unique = self._checked(unique)
        vectors = self.table.lookup(unique)
        tokens = (vectors, ids.with_values(indices))
        return (*tokens, unique) if self.returns_ids else tokens

    def lookup_unique(self, unique: tf.Tensor) -> tf.Tensor:
        """Looks up unique tokens of a batch in the static layout, under XLA.

        The gradient of the table is IndexedSlices with these ids as indices, whose rows
        of padding XLA drops when they are scattered.

        Args:
            unique: Distinct ids, int32 ``[unique]``; ``vocab_size`` for padding.

        Returns:
            float32 ``[unique, dim]``; zeros for padding.
        """
        is_token = unique[:, tf.newaxis] < self.vocab_size

        @tf.custom_gradient
        def masked(vectors: tf.Tensor) -> tuple[tf.Tensor, Callable[..., tf.Tensor]]:
            # No cell refers to padding, so its gradient is zero without a mask too.
            zeros = tf.zeros_like(vectors)
            return tf.where(is_token, vectors, zeros), lambda upstream: upstream

        return masked(self.table.lookup(unique))

    def _checked(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns ids, or fails if one is not in the table, as a CPU's gather does."""
        wrong = tf.boolean_mask(ids, (ids < 0) | (ids >= self.vocab_size))
        text = tf.strings.format(
            f"{self.name}: expected ids in [0, {self.vocab_size}), got {{}}",
            wrong,
        )
        check = tf.raw_ops.Assert(condition=tf.equal(tf.size(wrong), 0), data=[text])
        with tf.control_dependencies([] if check is None else [check]):
            return tf.identity(ids)

    def compute_output_spec(self, ids: Any) -> tuple[keras.KerasTensor, ...]:
        """Returns the symbolic outputs; see `call`."""
        tokens = (
            keras.KerasTensor((None, self.dim), dtype=self.variable_dtype),
            keras.KerasTensor((ids.shape[0], None), dtype="int32", ragged=True),
        )
        if not self.returns_ids:
            return tokens
        return (*tokens, keras.KerasTensor((None,), dtype=ids.dtype))

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "vocab_size": self.vocab_size,
            "dim": self.dim,
            "scale": self.scale,
            "seed": self.seed,
            **({"returns_ids": True} if self.returns_ids else {}),
        }


def unique_tokens(ids: tf.Tensor, vocab_size: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the distinct ids, and the position of each id among them.

    If there are more ids than words in the vocabulary, the distinct ids are ascending.
    They are then found by an array with one element per word, in the time of
    `tf.unique`, and rows of a table are gathered and scattered in half of the time.

    Args:
        ids: Integers ``[tokens]``.
        vocab_size: Ids are below this; otherwise the result may contain others.

    Returns:
        The distinct ids ``[unique]``, and int32 ``[tokens]``.

    Example:
        >>> ids, positions = unique_tokens(tf.constant([4, 2, 4, 4]), vocab_size=9)
        >>> ids.numpy().tolist(), positions.numpy().tolist()
        ([4, 2], [0, 1, 0, 0])
        >>> ids, positions = unique_tokens(tf.constant([4, 2, 4, 4, 2, 2]), 5)
        >>> ids.numpy().tolist(), positions.numpy().tolist()
        ([2, 4], [1, 0, 1, 1, 0, 0])
    """

    def ascending() -> tuple[tf.Tensor, tf.Tensor]:
        is_used = tf.raw_ops.DenseBincount(
            input=ids,
            size=tf.constant(vocab_size, ids.dtype),
            weights=tf.zeros([0]),
            binary_output=True,
        )
        unique = tf.where(tf.cast(is_used, tf.bool))
        positions = tf.scatter_nd(
            unique, tf.range(tf.shape(unique)[0]), tf.constant([vocab_size], tf.int64)
        )
        unique = tf.cast(tf.reshape(unique, [-1]), ids.dtype)
        return unique, tf.gather(positions, ids)

    def by_first_use() -> tuple[tf.Tensor, tf.Tensor]:
        unique, positions = tf.unique(ids)
        return unique, positions

    unique, positions = tf.cond(tf.size(ids) > vocab_size, ascending, by_first_use)
    return tf.ensure_shape(unique, [None]), tf.ensure_shape(positions, [None])


def as_ragged(ids: Any) -> tf.RaggedTensor:
    """Returns ids as a RaggedTensor ``[batch, (time)]``.

    Args:
        ids: A RaggedTensor, or a dense tensor ``[batch, time]``, which becomes rows of
            equal length.
    """
    return ids if isinstance(ids, tf.RaggedTensor) else tf.RaggedTensor.from_tensor(ids)


def concat_rows(first: tf.RaggedTensor, second: tf.RaggedTensor) -> tf.RaggedTensor:
    """Returns the rows of the first RaggedTensor, followed by those of the second."""
    # `tf.concat` returns the same, but adds seventy ops to the graph.
    with on_host():
        values = [first.values, tf.cast(second.values, first.values.dtype)]
        ends = tf.cast(second.row_splits[1:], first.row_splits.dtype)
        splits = [first.row_splits, ends + first.row_splits[-1]]
        return tf.RaggedTensor.from_row_splits(
            tf.concat(values, axis=0), tf.concat(splits, axis=0), validate=False
        )
