"""The bilstm encoder: stacked bidirectional LSTMs with max pooling over time."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import tensorflow as tf

from object2vec_tf.devices import on_host
from object2vec_tf.layers import static_lstm
from object2vec_tf.layers.ragged_encoder import RaggedEncoder
from object2vec_tf.layers.ragged_lstm import bidirectional_lstm, to_time_major
from object2vec_tf.layers.static_rows import StaticRows
from object2vec_tf.layers.static_sum import cell_vectors
from object2vec_tf.registration import PACKAGE


@keras.saving.register_keras_serializable(package=PACKAGE)
class StackedBiLSTM(RaggedEncoder):
    """Stacked bidirectional LSTMs; the last layer is max-pooled over time.

    The backward direction reads each row in reverse, starting at its last token. No
    LSTM ever reads padding, so an object's encoding does not depend on the other
    objects of the batch. An object without tokens is encoded as zeros.

    Args:
        dim: Width of the encoding, even; each direction has half of it.
        layers: Number of bidirectional layers.
        dropout: Fraction dropped between layers.
        seed: Seed of the initial weights and of dropout.

    Source: Conneau et al. 2017, "Supervised Learning of Universal Sentence
    Representations from Natural Language Inference Data", section 3.2.2 (BiLSTM with
    max pooling).
    """

    def __init__(
        self,
        dim: int,
        layers: int = 1,
        dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if dim % 2:
            raise ValueError(f"dim must be even. Received: {dim=}")
        self.dim = dim
        self.layers = layers
        self.dropout = dropout
        self.seed = seed
        self.forward = [self._lstm(i, "forward") for i in range(layers)]
        self.backward = [self._lstm(i, "backward") for i in range(layers)]
        self.drops = [
            keras.layers.Dropout(
                dropout, seed=self._seed(5 * layers + i), dtype=self.variable_dtype
            )
            for i in range(layers - 1)
        ]

    def _seed(self, offset: int) -> int | None:
        return None if self.seed is None else self.seed + offset

    def _lstm(self, layer: int, direction: str) -> keras.layers.LSTM:
        offset = 4 * layer + 2 * (direction == "backward")
        return keras.layers.LSTM(
            self.dim // 2,
            return_sequences=True,
            kernel_initializer=keras.initializers.GlorotUniform(self._seed(offset)),
            recurrent_initializer=keras.initializers.Orthogonal(
                seed=self._seed(offset + 1)
            ),
            # A graph traced with cuDNN's kernel would not load on a CPU.
            use_cudnn=False,
            # Of a dropout that is not used; without it, saved states would differ.
            seed=self._seed(offset),
            dtype=self.dtype_policy,
            name=f"{direction}_{layer}",
        )

    def build(self, input_shape: Any) -> None:
        """Creates the weights of both directions of every layer."""
        shape = (None, None, input_shape[0][-1])
        for forward, backward in zip(self.forward, self.backward, strict=True):
            forward.build(shape)
            backward.build(shape)
            shape = (None, None, self.dim)

    def encode(
        self, vectors: tf.Tensor, indices: tf.RaggedTensor, training: bool | None
    ) -> tf.Tensor:
        """Returns encodings; see `RaggedEncoder.encode`."""
        batch = to_time_major(vectors, indices, training)
        for layer in range(self.layers):
            if layer:
                dropped = self.drops[layer - 1](batch.values, training=training)
                batch = dataclasses.replace(batch, values=dropped)
            outputs = bidirectional_lstm(
                self.forward[layer], self.backward[layer], batch, training
            )
            batch = dataclasses.replace(batch, values=outputs)
        with on_host():
            lengths = indices.row_splits[1:] - indices.row_splits[:-1]
            rows = tf.size(lengths)
            has_tokens = lengths[:, tf.newaxis] > 0
        maxima = tf.math.unsorted_segment_max(batch.values, batch.rows, rows + 1)
        return tf.where(has_tokens, maxima[:rows], 0.0)

    def encode_static(
        self, vectors: tf.Tensor, rows: StaticRows, training: bool | None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns encodings; see `RaggedEncoder.encode_static`."""
        unique = vectors.shape[0]
        positions = static_lstm.step_positions(rows, padding=unique)
        is_token = positions < unique
        steps, vectors = cell_vectors(vectors, positions, self.compute_dtype)
        for layer, drop in enumerate([None, *self.drops]):
            if drop is not None:
                steps = tf.cast(drop(steps, training=training), self.compute_dtype)
            steps = static_lstm.bidirectional_lstm(
                self.forward[layer], self.backward[layer], steps, is_token
            )
        masked = tf.where(is_token[..., tf.newaxis], steps, steps.dtype.min)
        maxima = tf.reduce_max(masked, axis=0)
        return tf.where(rows.lengths[:, tf.newaxis] > 0, maxima, 0.0), vectors

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "dim": self.dim,
            "layers": self.layers,
            "dropout": self.dropout,
            "seed": self.seed,
        }
