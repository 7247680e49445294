"""Encoding of batches in the static layout, under XLA."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf

from object2vec_tf.distributed.padded_batch import PaddedInputs
from object2vec_tf.layers.ragged_encoder import RaggedEncoder
from object2vec_tf.layers.token_embedding import TokenEmbedding


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
    vectors = {
        shape.table(side): tokens.lookup_unique(inputs[f"unique{shape.table(side)}"])
        for side, (tokens, _) in enumerate(sides[: len(shape.unique)])
    }
    encodings = []
    for side, (_, encoder) in enumerate(sides):
        table = shape.table(side)
        encoding, vectors[table] = encoder.encode_static(
            vectors[table], inputs.rows(side), training
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
    tables = [_layers(encoder)[0].embeddings for encoder in encoders]
    return {id(table): number for number, table in enumerate(tables[: 2 - tied])}


def _layers(encoder: keras.Model) -> tuple[TokenEmbedding, RaggedEncoder]:
    """Returns the layers of the functional model of an encoder."""
    found = {}
    for kind in (TokenEmbedding, RaggedEncoder):
        (found[kind],) = (layer for layer in encoder.layers if isinstance(layer, kind))
    return found[TokenEmbedding], found[RaggedEncoder]
