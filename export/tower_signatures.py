"""The signatures of a model whose tables are outside: their callers give the rows."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from export.signature_inputs import (
    IDS,
    checked_positions,
    describe_signature,
    tokenize_function,
    tokenize_signature,
)
from object2vec_tf.inference.table_rows import ROWS
from object2vec_tf.layers.object_ids import checked_ids
from object2vec_tf.layers.outside_tables import GivenTables
from object2vec_tf.model.assembly import with_placement
from object2vec_tf.model.object2vec import Object2Vec
from object2vec_tf.tables.outside_tables import outside_tables


class TowerSignatures(tf.Module):
    """The signatures of a model without its tables, for ``tf.saved_model.save``.

    ``embed_enc0`` takes in0, int64 ``[batch, time]``, and rows0, float32 ``[rows,
    width]``: rows of the table, each of which may be used several times. in0 has the
    positions of tokens in rows0; -1 is dropped at any position. ``embed_enc1`` takes
    in1 and rows1, ``predict_pair`` all four. The signatures of text are
    ``tokenize_in0`` and ``tokenize_in1``, which return ids of the tables.

    Args:
        model: The model, with its tables anywhere.

    Attributes:
        by_name: The signatures by name.
        methods: TF Serving's method name for each signature whose method is not
            Predict: none, since those take tf.Example.
        items: None, since such a model does not recommend.
    """

    def __init__(self, model: Object2Vec) -> None:
        super().__init__()
        placement = GivenTables()
        towers = with_placement(model, placement)
        self._model_variables = [variable.value for variable in towers.variables]
        self._tokenizers = [tokenizer for tokenizer in model.tokenizers if tokenizer]
        pair = _pair_functions(towers, placement)
        self.by_name: dict[str, Any] = {
            **pair,
            **_tokenize_functions(model),
            "serving_default": pair["predict_pair"],
            "describe": describe_signature(model),
        }
        self.methods: dict[str, str] = {}
        self.items = None


def _pair_functions(model: Object2Vec, placement: GivenTables) -> dict[str, Any]:
    """Returns the functions that embed and score.

    Args:
        model: The model.
        placement: Its tables.
    """
    encode = [_encode_function(model, placement, side) for side in (0, 1)]
    in0, in1 = (tf.TensorSpec(IDS.shape, IDS.dtype, name=f"in{i}") for i in (0, 1))
    rows0, rows1 = _rows_specs(model)

    @tf.function(input_signature=[in0, rows0], autograph=False)
    def embed_enc0(in0: tf.Tensor, rows0: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"embeddings": encode[0](model.enc0, in0, rows0)}

    @tf.function(input_signature=[in1, rows1], autograph=False)
    def embed_enc1(in1: tf.Tensor, rows1: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"embeddings": encode[1](model.enc1, in1, rows1)}

    @tf.function(input_signature=[in0, in1, rows0, rows1], autograph=False)
    def predict_pair(
        in0: tf.Tensor, in1: tf.Tensor, rows0: tf.Tensor, rows1: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        encodings = [
            encode[0](functools.partial(model.encode_side, 0), in0, rows0),
            encode[1](functools.partial(model.encode_side, 1), in1, rows1),
        ]
        return {"scores": model.comparator(encodings, training=False)}

    return {
        "embed_enc0": embed_enc0,
        "embed_enc1": embed_enc1,
        "predict_pair": predict_pair,
    }


def _rows_specs(model: Object2Vec) -> list[tf.TensorSpec]:
    """Returns the types and shapes of rows0 and rows1."""
    widths = {
        side: table.width
        for table in outside_tables(model.hyperparameters)
        for side in table.sides
    }
    return [
        tf.TensorSpec([None, widths[side]], tf.float32, name=ROWS[side])
        for side in (0, 1)
    ]


def _encode_function(
    model: Object2Vec, placement: GivenTables, side: int
) -> Callable[[Callable[..., tf.Tensor], tf.Tensor, tf.Tensor], tf.Tensor]:
    """Returns a function that encodes positions in rows, with an encoder of a side."""
    tokens = checked_positions(model, side)

    def encode(
        encoder: Callable[..., tf.Tensor], positions: tf.Tensor, rows: tf.Tensor
    ) -> tf.Tensor:
        ids = tokens(positions, rows)
        with checked_ids(), placement.rows(rows):
            return encoder(ids, training=False)

    return encode


def _tokenize_functions(model: Object2Vec) -> dict[str, Any]:
    """Returns the signatures that tokenize text, for inputs that may be text."""
    functions = {}
    for side, tokenizer in enumerate(model.tokenizers):
        function = tokenize_function(tokenizer)
        if tokenizer and function and f"in{side}" in model.hyperparameters.texts:
            signature = tokenize_signature(model, side, tokenizer, function)
            functions[f"tokenize_in{side}"] = signature
    return functions
