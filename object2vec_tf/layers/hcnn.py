"""The hcnn encoder: stacked convolutions, each pooled over time."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from object2vec_tf.layers.packed_rows import pack_rows
from object2vec_tf.registration import PACKAGE


@keras.saving.register_keras_serializable(package=PACKAGE)
class HierarchicalCNN(keras.layers.Layer):
    """The hierarchical convolutional network of InferSent.

    Each layer is a convolution over time with "same" padding and ReLU; the encoding is
    every layer's maximum over time, concatenated. The objects of a batch are laid end
    to end; what parts them is zeroed in front of every convolution, so that an object's
    encoding does not depend on what it is batched with. An object without tokens is
    encoded as zeros.

    Args:
        dim: Width of the encoding, divisible by ``layers``.
        layers: Number of convolutions.
        filter_width: Steps that a filter spans.
        dropout: Share dropped between layers, after the maximum is taken.
        seed: Seed of initial weights and dropout.

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
                name=f"convolution_{i}",
            )
            for i in range(layers)
        ]
        self.drops = [
            keras.layers.Dropout(dropout, seed=seeds[2 * i + 1])
            for i in range(layers - 1)
        ]

    def build(self, input_shape: Any) -> None:
        """Creates the filters."""
        shape = (None, None, input_shape[0][-1])
        for convolution in self.convolutions:
            convolution.build(shape)
            shape = (None, None, self.dim // self.layers)

    def call(
        self, tokens: tuple[tf.Tensor, tf.RaggedTensor], training: bool | None = None
    ) -> tf.Tensor:
        """Returns encodings.

        Args:
            tokens: Vectors float ``[distinct, token_dim]``, and each token's place
                among them, RaggedTensor ``[batch, (time)]``.
            training: Whether dropout applies.

        Returns:
            float ``[batch, dim]``.
        """
        vectors, places = tokens
        packed = pack_rows(vectors, places, self.filter_width // 2, training)
        steps, maxima = packed.steps, []
        for convolution, drop in zip(
            self.convolutions, [*self.drops, None], strict=True
        ):
            # ReLU leaves nothing below zero, so what parts rows never is a maximum
            # unless nothing is there.
            steps = convolution(steps[tf.newaxis])[0] * packed.valid
            maxima.append(packed.maxima(steps))
            if drop is not None:
                steps = drop(steps, training=training)
        return tf.concat(maxima, axis=1)

    def compute_output_spec(
        self, tokens: Any, training: bool | None = None
    ) -> keras.KerasTensor:
        """Returns the symbolic output ``[batch, dim]``."""
        shape = (tokens[1].shape[0], self.dim)
        return keras.KerasTensor(shape, dtype=self.compute_dtype)

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
