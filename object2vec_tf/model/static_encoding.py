"""Encoding of batches in the static layout, under XLA."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf

from object2vec_tf.distributed.padded_batch import PaddedInputs
from object2vec_tf.layers.ragged_encoder import RaggedEncoder
from object2vec_tf.layers.token_embedding import TokenEmbedding
from object2vec_tf.layers.token_weights import TokenWeights
from object2vec_tf.model.builders import (
    encoding_layer,
    token_embedding_of,
    token_tables_of,
    token_weights_of,
)


def encode_padded(
    encoders: Sequence[keras.Model], inputs: PaddedInputs, training: bool | None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Encodes both objects of the pairs of a batch in the static layout.

    The unique tokens of each table are looked up once, those of tied sides together.

    Args:
        encoders: The functional models of in0 and of in1.
        inputs: The batch.
        training: Whether dropout applies.

    Returns:
        Encodings of in0 and of in1, float ``[rows, enc_dim]`` each.
    """
    shape = inputs.shape
    sides = [_layers(encoder) for encoder in encoders]
    looked_up = {
        shape.table(side): tokens.lookup_unique(inputs[f"unique{shape.table(side)}"])
        for side, (tokens, *_) in enumerate(sides[: len(shape.unique)])
    }
    # The vectors of a table, and their products with weights, if there are any.
    vectors: dict[tuple[int, bool], tf.Tensor] = {
        (table, False): values for table, values in looked_up.items()
    }
    encodings = []
    for side, (_, weights, encoder) in enumerate(sides):
        table = shape.table(side)
        key = table, weights is not None
        if weights and key not in vectors:
            vectors[key] = weights.multiply_unique(
                looked_up[table], inputs[f"unique{table}"]
            )
        encoding, vectors[key] = encoder.encode_static(
            vectors[key], inputs.rows(side), training
        )
        encodings.append(encoding)
    return encodings[0], encodings[1]


def table_numbers(encoders: Sequence[keras.Model], tied: bool) -> dict[int, int]:
    """Returns which of the ``unique`` arrays of a batch a table's rows belong to.

    Args:
        encoders: The functional models of in0 and of in1.
        tied: Whether they share a table.

    Returns:
        The number of the array, by the `id` of the variable.
    """
    numbers = {}
    for side, encoder in enumerate(encoders):
        for table in token_tables_of(encoder).values():
            numbers[id(table)] = 0 if tied else side
    return numbers


def _layers(
    encoder: keras.Model,
) -> tuple[TokenEmbedding, TokenWeights | None, RaggedEncoder]:
    """Returns the layers of the functional model of an encoder."""
    return (
        token_embedding_of(encoder),
        token_weights_of(encoder),
        encoding_layer(encoder),
    )
