"""The signatures of the SavedModel: the functions that a server calls."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from export.item_catalog import ItemFiles, Items, read_items
from export.recommend_signatures import RecommendSignatures
from object2vec_tf.devices import on_host
from object2vec_tf.errors import UserError
from object2vec_tf.inference.catalog import RECOMMEND, SCORE_ITEMS
from object2vec_tf.inference.ragged_inputs import PADDING
from object2vec_tf.layers.object_ids import begins_token, checked_ids, first_tokens
from object2vec_tf.model.object2vec import Object2Vec
from object2vec_tf.text.tokenizer import Tokenizer

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
        ids = [_checked_tokens(model, side) for side in (0, 1)]
        pair = _pair_functions(model, ids, [_IDS, _IDS])
        tokenize = [_tokenize_function(tokenizer) for tokenizer in model.tokenizers]
        self.by_name: dict[str, Any] = {
            **pair,
            **_text_functions(model, ids, tokenize),
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
            RECOMMEND: signatures.recommend(ids, _IDS),
            SCORE_ITEMS: signatures.score_items(ids, _IDS),
        }
        if "in0" in model.hyperparameters.texts:
            assert tokenize is not None
            text = signatures.recommend(_text_tokens(model, 0, tokenize), _TEXTS)
            functions[f"{RECOMMEND}_text"] = text
        return functions


_IDS = tf.TensorSpec([None, None], tf.int64)
# Texts [batch], or lists of strings [batch, items] padded with empty strings.
_TEXTS = tf.TensorSpec(None, tf.string)

# Converts a signature's input to token ids, [batch, (time)].
ToTokens = Callable[[tf.Tensor], tf.RaggedTensor]
# Converts texts or padded lists to token ids, and each row's unknown tokens.
Tokenize = Callable[[tf.Tensor], tuple[tf.RaggedTensor, tf.Tensor]]


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
    tokens, specs = list(ids), [_IDS, _IDS]
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
        tokens[side], specs[side] = _text_tokens(model, side, function), _TEXTS
        functions[f"tokenize_{name}"] = _tokenize(model, side, tokenizer, function)
    pair = _pair_functions(model, tokens, specs)
    for side in (0, 1):
        if f"in{side}" not in names:
            del pair[f"embed_enc{side}"]
    return functions | {f"{name}_text": function for name, function in pair.items()}


def _text_tokens(model: Object2Vec, side: int, tokenize: Tokenize) -> ToTokens:
    """Returns a function that converts text to token ids, truncated at max_seq_len."""
    _, max_len, continued_from = model.hyperparameters.id_limits(side)

    def tokens(texts: tf.Tensor) -> tf.RaggedTensor:
        ids, _ = tokenize(texts)
        return first_tokens(ids, max_len, continued_from)

    return tokens


def _tokenize_function(tokenizer: Tokenizer | None) -> Tokenize | None:
    """Returns `_tokenized` as a function that all signatures share.

    Its graph has hundreds of ops. One for each signature would make exporting and
    loading several times slower.
    """
    if tokenizer is None:
        return None
    spec = tf.TensorSpec(_TEXTS.shape, _TEXTS.dtype)
    function: Tokenize = tf.function(
        lambda texts: _tokenized(tokenizer, texts),
        input_signature=[spec],
        autograph=False,
    )
    return function


def _tokenized(
    tokenizer: Tokenizer, texts: tf.Tensor
) -> tuple[tf.RaggedTensor, tf.Tensor]:
    """Returns the token ids of texts or padded lists, and each row's unknown tokens."""

    def tokenize_texts() -> tuple[tf.RaggedTensor, tf.Tensor]:
        return tokenizer.of_texts(tf.reshape(texts, [-1]))

    def tokenize_lists() -> tuple[tf.RaggedTensor, tf.Tensor]:
        shape = tf.shape(texts, tf.int64)
        rows = tf.reshape(texts, [shape[0], shape[1]])
        lengths = tf.fill([shape[0]], shape[1])
        items = tf.RaggedTensor.from_row_lengths(
            tf.reshape(rows, [-1]), lengths, validate=False
        )
        return tokenizer.of_lists(items)

    with on_host():
        ids, unknown = tf.cond(
            tf.equal(tf.rank(texts), 1), tokenize_texts, tokenize_lists
        )
    return ids, unknown


def _tokenize(
    model: Object2Vec, side: int, tokenizer: Tokenizer, function: Tokenize
) -> Any:
    """Returns the signature that tokenizes text.

    Its outputs are the ids, padded with -1, and counts for each row: unknown tokens,
    all tokens, and known tokens among the ids.
    """
    _, max_len, continued_from = model.hyperparameters.id_limits(side)

    def begins(ids: tf.RaggedTensor) -> tf.Tensor:
        return begins_token(ids.values, continued_from)

    @on_host()
    def tokenize(texts: tf.Tensor) -> dict[str, tf.Tensor]:
        every, unknown = function(texts)
        ids = first_tokens(every, max_len, continued_from)
        dropped = 0 if tokenizer.keeps_unknown else unknown
        is_known = ~tokenizer.is_unknown(ids.values) & begins(ids)
        known = ids.with_values(tf.cast(is_known, tf.int64))
        counted = every.with_values(tf.cast(begins(every), tf.int64))
        return {
            "ids": ids.to_tensor(PADDING),
            "unknown": unknown,
            "tokens": tf.reduce_sum(counted, axis=1) + dropped,
            "known": tf.reduce_sum(known, axis=1),
        }

    spec = tf.TensorSpec(_TEXTS.shape, _TEXTS.dtype, name=f"in{side}")
    return tf.function(tokenize, input_signature=[spec], autograph=False)


def _checked_tokens(model: Object2Vec, side: int) -> ToTokens:
    """Returns a function that checks and truncates padded rows of token ids."""
    vocab_size, max_len, continued_from = model.hyperparameters.id_limits(side)

    @on_host()
    def tokens(ids: tf.Tensor) -> tf.RaggedTensor:
        is_token = tf.not_equal(ids, PADDING)
        invalid = is_token & ((ids < 0) | (ids >= vocab_size))

        def reject() -> tf.Operation:
            row, position = tf.unstack(tf.where(invalid)[0])
            text = tf.strings.format(
                f"in{side}: row {{}}, position {{}}: expected an id in "
                f"[0, {vocab_size}), got {{}}",
                (row, position, ids[row, position]),
            )
            return tf.raw_ops.Assert(condition=False, data=[text])

        check = tf.cond(tf.reduce_any(invalid), reject, tf.no_op)
        with tf.control_dependencies([check]):
            begins = is_token
            if continued_from is not None:
                begins &= begins_token(ids, continued_from)
            count = tf.cast(begins, tf.int64)
        kept = is_token & (tf.cumsum(count, axis=1) <= max_len)
        # The methods of RaggedTensor would make the graph three times as large.
        lengths = tf.math.count_nonzero(kept, axis=1)
        splits = tf.pad(tf.cumsum(lengths), [[1, 0]])
        values = tf.gather_nd(ids, tf.where(kept))
        return tf.RaggedTensor.from_row_splits(values, splits, validate=False)

    return tokens


def _describe(model: Object2Vec) -> Any:
    """Returns the signature that describes the model to a client.

    TF Serving's own metadata lacks vocabulary sizes and maximum lengths. Input and
    output have a batch dimension, so that a server that batches can call it.
    """
    text = json.dumps(model.hyperparameters.to_dict())

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.int64, name="rows")], autograph=False
    )
    def describe(rows: tf.Tensor) -> dict[str, tf.Tensor]:
        with on_host():
            return {"hyperparameters": tf.fill(tf.shape(rows), text)}

    return describe


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
