"""The signatures of the SavedModel: the functions that a server calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from export.item_catalog import ItemFiles, Items, read_items
from export.recommend_signatures import RecommendSignatures
from export.signature_inputs import (
    IDS,
    TEXTS,
    Tokenize,
    ToTokens,
    checked_tokens,
    describe_signature,
    text_tokens,
    tokenize_function,
    tokenize_signature,
)
from object2vec_tf.devices import on_host
from object2vec_tf.errors import UserError
from object2vec_tf.inference.catalog import RECOMMEND, SCORE_ITEMS
from object2vec_tf.inference.ragged_inputs import PADDING
from object2vec_tf.layers.object_ids import checked_ids
from object2vec_tf.model.object2vec import Object2Vec

CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"


class Signatures(tf.Module):
    """The variables and signatures of a model, for ``tf.saved_model.save``.

    Keras's own ``export()`` is not used: it turns a ragged input into a dense one whose
    padding is read as tokens, and ``ExportArchive.track`` writes the weights twice.

    Args:
        model: The model.
        items: The items that the model recommends; None for a model that does not.

    Attributes:
        by_name: The signatures by name.
        methods: TF Serving's method name for each signature whose method is not
            Predict.
        items: The items; None for a model that does not recommend.
    """

    def __init__(self, model: Object2Vec, items: ItemFiles | None = None) -> None:
        super().__init__()
        self._model_variables = [variable.value for variable in model.variables]
        self._constants = model.constants
        self._tokenizers = [tokenizer for tokenizer in model.tokenizers if tokenizer]
        ids = [checked_tokens(model, side) for side in (0, 1)]
        pair = _pair_functions(model, ids, [IDS, IDS])
        tokenize = [tokenize_function(tokenizer) for tokenizer in model.tokenizers]
        self.by_name: dict[str, Any] = {
            **pair,
            **_text_functions(model, ids, tokenize),
            "serving_default": pair["predict_pair"],
            "describe": describe_signature(model),
        }
        self.methods = {}
        if model.hyperparameters.output_layer == "softmax":
            self.by_name["classify_pair"] = _classify(model, pair["predict_pair"])
            self.methods["classify_pair"] = CLASSIFY
        else:
            self.by_name["regress_pair"] = _regress(pair["predict_pair"])
            self.methods["regress_pair"] = REGRESS
        self.items: Items | None = None
        if items is not None:
            # A new dictionary: tf.Module cannot save one that was changed.
            recommend = self._recommend(model, items, ids[0], tokenize[0])
            self.by_name = {**self.by_name, **recommend}

    def _recommend(
        self,
        model: Object2Vec,
        files: ItemFiles,
        ids: ToTokens,
        tokenize: Tokenize | None,
    ) -> dict[str, Any]:
        self.items = read_items(files, model, self.by_name)
        signatures = RecommendSignatures(model, self.items)
        self._recommend_variables = signatures
        functions = {
            **signatures.by_name,
            RECOMMEND: signatures.recommend(ids, IDS),
            SCORE_ITEMS: signatures.score_items(ids, IDS),
        }
        if "in0" in model.hyperparameters.texts:
            assert tokenize is not None
            text = signatures.recommend(text_tokens(model, 0, tokenize), TEXTS)
            functions[f"{RECOMMEND}_text"] = text
        return functions


def _pair_functions(
    model: Object2Vec, tokens: Sequence[ToTokens], specs: Sequence[tf.TensorSpec]
) -> dict[str, Any]:
    """Returns the functions that embed and score.

    Args:
        model: The model.
        tokens: The functions that convert in0 and in1 to token ids.
        specs: The types and shapes of in0 and in1.
    """
    in0, in1 = (
        tf.TensorSpec(spec.shape, spec.dtype, name=name)
        for name, spec in zip(("in0", "in1"), specs, strict=True)
    )

    @tf.function(input_signature=[in0], autograph=False)
    @checked_ids()
    def embed_enc0(in0: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"embeddings": model.enc0(tokens[0](in0), training=False)}

    @tf.function(input_signature=[in1], autograph=False)
    @checked_ids()
    def embed_enc1(in1: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"embeddings": model.enc1(tokens[1](in1), training=False)}

    @tf.function(input_signature=[in0, in1], autograph=False)
    def predict_pair(in0: tf.Tensor, in1: tf.Tensor) -> dict[str, tf.Tensor]:
        inputs = {"in0": tokens[0](in0), "in1": tokens[1](in1)}
        return {"scores": model.score_checked(inputs)}

    return {
        "embed_enc0": embed_enc0,
        "embed_enc1": embed_enc1,
        "predict_pair": predict_pair,
    }


def _text_functions(
    model: Object2Vec, ids: Sequence[ToTokens], tokenize: Sequence[Tokenize | None]
) -> dict[str, Any]:
    """Returns the functions that take text, for the inputs that were trained on text.

    Args:
        model: The model.
        ids: The functions that convert padded ids in in0 and in1 to token ids.
        tokenize: The functions that tokenize in0 and in1.

    Raises:
        UserError: An input is text and the model has no tokenizer for it.
    """
    names = model.hyperparameters.texts
    if not names:
        return {}
    tokens, specs = list(ids), [IDS, IDS]
    functions: dict[str, Any] = {}
    for side, tokenizer in enumerate(model.tokenizers):
        name, function = f"in{side}", tokenize[side]
        if name not in names:
            continue
        if tokenizer is None or function is None:
            raise UserError(
                f"enc{side}_tokenizer: expected a tokenizer for {name}, got a model "
                "without one. Create the model with "
                "tokenizers=read_tokenizers(hyperparameters, auxiliary)."
            )
        tokens[side], specs[side] = text_tokens(model, side, function), TEXTS
        functions[f"tokenize_{name}"] = tokenize_signature(
            model, side, tokenizer, function
        )
    pair = _pair_functions(model, tokens, specs)
    for side in (0, 1):
        if f"in{side}" not in names:
            del pair[f"embed_enc{side}"]
    return functions | {f"{name}_text": function for name, function in pair.items()}


_EXAMPLES = tf.TensorSpec([None], tf.string, name="inputs")


def _scores_of_examples(predict_pair: Any, examples: tf.Tensor) -> tf.Tensor:
    features = {
        name: tf.io.RaggedFeature(tf.int64, row_splits_dtype=tf.int64)
        for name in ("in0", "in1")
    }
    with on_host():
        rows = tf.io.parse_example(examples, features)
        padded = {name: ids.to_tensor(PADDING) for name, ids in rows.items()}
    return predict_pair(**padded)["scores"]


def _classify(model: Object2Vec, predict_pair: Any) -> Any:
    names = [str(i) for i in range(model.hyperparameters.num_classes)]

    @tf.function(input_signature=[_EXAMPLES], autograph=False)
    def classify_pair(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        scores = _scores_of_examples(predict_pair, inputs)
        with on_host():
            classes = tf.tile([names], [tf.shape(scores)[0], 1])
        return {"classes": classes, "scores": scores}

    return classify_pair


def _regress(predict_pair: Any) -> Any:
    @tf.function(input_signature=[_EXAMPLES], autograph=False)
    def regress_pair(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"outputs": _scores_of_examples(predict_pair, inputs)}

    return regress_pair
