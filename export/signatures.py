"""The signatures of the SavedModel: what a server calls."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from object2vec_tf.model.object2vec import Object2Vec

# Drops out of a row wherever it stands: dense requests are padded with it.
PADDING = -1

CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"


class Signatures(tf.Module):
    """The variables of a model, and the functions a server calls.

    Keras's own ``export()`` turns a ragged input into a dense one whose padding is
    read as tokens, and ``ExportArchive.track`` writes the weights twice.

    Args:
        model: The model.

    Attributes:
        by_name: The signatures, by name.
        methods: TF Serving's method name of each signature that is not Predict's.
    """

    def __init__(self, model: Object2Vec) -> None:
        super().__init__()
        self._model_variables = [variable.value for variable in model.variables]
        pair = _pair_functions(model)
        self.by_name: dict[str, Any] = {
            **pair,
            "serving_default": pair["predict_pair"],
            "describe": _describe(model),
        }
        self.methods = {}
        if model.hyperparameters.output_layer == "softmax":
            self.by_name["classify_pair"] = _classify(model, pair["predict_pair"])
            self.methods["classify_pair"] = CLASSIFY
        else:
            self.by_name["regress_pair"] = _regress(pair["predict_pair"])
            self.methods["regress_pair"] = REGRESS


def _pair_functions(model: Object2Vec) -> dict[str, Any]:
    tokens = [_checked_tokens(model, side) for side in (0, 1)]
    in0, in1 = (
        tf.TensorSpec([None, None], tf.int64, name=name) for name in ("in0", "in1")
    )

    @tf.function(input_signature=[in0], autograph=False)
    def embed_enc0(in0: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"embeddings": model.enc0(tokens[0](in0), training=False)}

    @tf.function(input_signature=[in1], autograph=False)
    def embed_enc1(in1: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"embeddings": model.enc1(tokens[1](in1), training=False)}

    @tf.function(input_signature=[in0, in1], autograph=False)
    def predict_pair(in0: tf.Tensor, in1: tf.Tensor) -> dict[str, tf.Tensor]:
        inputs = {"in0": tokens[0](in0), "in1": tokens[1](in1)}
        return {"scores": model(inputs, training=False)}

    return {
        "embed_enc0": embed_enc0,
        "embed_enc1": embed_enc1,
        "predict_pair": predict_pair,
    }


def _checked_tokens(
    model: Object2Vec, side: int
) -> Callable[[tf.Tensor], tf.RaggedTensor]:
    """Returns what turns padded rows into tokens: checked, and cut at their limit."""
    vocab_size = model.hyperparameters.of_encoder(side, "vocab_size")
    max_len = model.hyperparameters.of_encoder(side, "max_seq_len")

    def tokens(ids: tf.Tensor) -> tf.RaggedTensor:
        given = tf.not_equal(ids, PADDING)
        wrong = given & ((ids < 0) | (ids >= vocab_size))

        def refuse() -> tf.Operation:
            row, position = tf.unstack(tf.where(wrong)[0])
            text = tf.strings.format(
                f"in{side}: row {{}}, position {{}}: id {{}} is not in "
                f"[0, {vocab_size})",
                (row, position, ids[row, position]),
            )
            return tf.raw_ops.Assert(condition=False, data=[text])

        check = tf.cond(tf.reduce_any(wrong), refuse, tf.no_op)
        with tf.control_dependencies([check]):
            count = tf.cast(given, tf.int64)
        kept = given & (tf.cumsum(count, axis=1) <= max_len)
        # With the methods of RaggedTensor the graph is three times the size.
        lengths = tf.math.count_nonzero(kept, axis=1)
        splits = tf.pad(tf.cumsum(lengths), [[1, 0]])
        values = tf.gather_nd(ids, tf.where(kept))
        return tf.RaggedTensor.from_row_splits(values, splits, validate=False)

    return tokens


def _describe(model: Object2Vec) -> Any:
    """Returns the signature that tells a client what the model is.

    TF Serving's own metadata holds neither vocabulary sizes nor lengths. Rows go in and
    come out, so that it passes where a server batches.
    """
    text = json.dumps(model.hyperparameters.to_dict())

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int64, name="rows")])
    def describe(rows: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"hyperparameters": tf.fill(tf.shape(rows), text)}

    return describe


_EXAMPLES = tf.TensorSpec([None], tf.string, name="inputs")


def _scores_of_examples(predict_pair: Any, examples: tf.Tensor) -> tf.Tensor:
    features = {
        name: tf.io.RaggedFeature(tf.int64, row_splits_dtype=tf.int64)
        for name in ("in0", "in1")
    }
    rows = tf.io.parse_example(examples, features)
    padded = {name: ids.to_tensor(PADDING) for name, ids in rows.items()}
    return predict_pair(**padded)["scores"]


def _classify(model: Object2Vec, predict_pair: Any) -> Any:
    names = [str(i) for i in range(model.hyperparameters.num_classes)]

    @tf.function(input_signature=[_EXAMPLES], autograph=False)
    def classify_pair(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        scores = _scores_of_examples(predict_pair, inputs)
        return {"classes": tf.tile([names], [tf.shape(scores)[0], 1]), "scores": scores}

    return classify_pair


def _regress(predict_pair: Any) -> Any:
    @tf.function(input_signature=[_EXAMPLES], autograph=False)
    def regress_pair(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"outputs": _scores_of_examples(predict_pair, inputs)}

    return regress_pair
