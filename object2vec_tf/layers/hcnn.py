"""The hcnn encoder: stacked convolutions, each max-pooled over time."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from object2vec_tf.layers.packed_rows import pack_rows
from object2vec_tf.layers.ragged_encoder import RaggedEncoder
from object2vec_tf.layers.static_convolution import same_convolution
from object2vec_tf.layers.static_maximum import materialized, row_maxima
from object2vec_tf.layers.static_rows import StaticRows
from object2vec_tf.layers.static_sum import cell_vectors
from object2vec_tf.registration import PACKAGE


@keras.saving.register_keras_serializable(package=PACKAGE)
class HierarchicalCNN(RaggedEncoder):
    """The hierarchical convolutional network of InferSent.

    Each layer is a convolution over time with "same" padding and ReLU. The encoding
    concatenates the maximum over time of every layer. The objects of a batch are packed
    end to end with gaps between them. The gaps are zero in the input of every
    convolution, so an object's encoding does not depend on the other objects of the
    batch. An object without tokens is encoded as zeros.

    Args:
        dim: Width of the encoding, divisible by ``layers``.
        layers: Number of convolutions.
        filter_width: Number of steps that a filter spans.
        dropout: Fraction dropped between layers, after the maximum is taken.
        seed: Seed of the initial weights and of dropout.

    Source: Conneau et al. 2017, "Supervised Learning of Universal Sentence
    Representations from Natural Language Inference Data", section 3.2.4.
    """

    def __init__(
        self,
        dim: int,
        layers: int = 4,
        filter_width: int = 3,
        dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if dim % layers:
            raise ValueError(
                f"dim must be divisible by layers. Received: {dim=} {layers=}"
            )
        self.dim = dim
        self.layers = layers
        self.filter_width = filter_width
        self.dropout = dropout
        self.seed = seed
        seeds = [None if seed is None else seed + i for i in range(2 * layers)]
        self.convolutions = [
            keras.layers.Conv1D(
                dim // layers,
                filter_width,
                padding="same",
                activation="relu",
                kernel_initializer=keras.initializers.GlorotUniform(seed=seeds[2 * i]),
                dtype=self.dtype_policy,
                name=f"convolution_{i}",
            )
            for i in range(layers)
        ]
        self.drops = [
            keras.layers.Dropout(
                dropout, seed=seeds[2 * i + 1], dtype=self.dtype_policy
            )
            for i in range(layers - 1)
        ]

    def build(self, input_shape: Any) -> None:
        """Creates the filters."""
        shape = (None, None, input_shape[0][-1])
        for convolution in self.convolutions:
            convolution.build(shape)
            shape = (None, None, self.dim // self.layers)

    def encode(
        self, vectors: tf.Tensor, indices: tf.RaggedTensor, training: bool | None
    ) -> tf.Tensor:
        """Returns encodings; see `RaggedEncoder.encode`."""
        packed = pack_rows(vectors, indices, self.filter_width // 2, training)
        steps, maxima = tf.cast(packed.values, self.compute_dtype), []
        mask = tf.cast(packed.mask, self.compute_dtype)
        for convolution, drop in zip(
            self.convolutions, [*self.drops, None], strict=True
        ):
            # The output of ReLU is never negative, so the zeros of the gaps do not
            # change a row's maximum.
            steps = convolution(steps[tf.newaxis])[0] * mask
            # In float32 the gradient also counts ties of more than 256 steps.
            maxima.append(packed.row_maxima(tf.cast(steps, vectors.dtype)))
            if drop is not None:
                steps = drop(steps, training=training)
        return tf.concat(maxima, axis=1)

    def encode_static(
        self, vectors: tf.Tensor, rows: StaticRows, training: bool | None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns encodings; see `RaggedEncoder.encode_static`."""
        cells = tf.reshape(rows.cells, [-1])
        steps, vectors = cell_vectors(vectors, cells, self.compute_dtype)
        is_token = cells[:, tf.newaxis] < vectors.shape[0]
        maxima = []
        for layer, drop in zip(self.convolutions, [*self.drops, None], strict=True):
            kernel, bias = (
                tf.cast(weight.value, self.compute_dtype)
                for weight in (layer.kernel, layer.bias)
            )
            steps = tf.nn.relu(same_convolution(steps, kernel) + bias)
            steps = tf.where(is_token, steps, tf.zeros_like(steps))
            if steps.dtype != tf.float32:
                steps = materialized(steps)  # so that a maximum equals its cell
            chunks = tf.reshape(steps, [*rows.cells.shape, kernel.shape[-1]])
            maxima.append(row_maxima(chunks, rows))
            if drop is not None:
                steps = tf.cast(drop(steps, training=training), self.compute_dtype)
        return tf.concat(maxima, axis=1), vectors

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "dim": self.dim,
            "layers": self.layers,
            "filter_width": self.filter_width,
            "dropout": self.dropout,
            "seed": self.seed,
        }
