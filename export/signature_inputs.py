"""The inputs of signatures: token ids, and text that becomes token ids in the graph."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from object2vec_tf.devices import on_host
from object2vec_tf.inference.ragged_inputs import PADDING
from object2vec_tf.layers.object_ids import begins_token, first_tokens
from object2vec_tf.model.object2vec import Object2Vec
from object2vec_tf.text.tokenizer import Tokenizer

IDS = tf.TensorSpec([None, None], tf.int64)
# Texts [batch], or lists of strings [batch, items] padded with empty strings.
TEXTS = tf.TensorSpec(None, tf.string)

# Converts a signature's input to token ids, [batch, (time)].
ToTokens = Callable[[tf.Tensor], tf.RaggedTensor]
# Converts texts or padded lists to token ids, and each row's unknown tokens.
Tokenize = Callable[[tf.Tensor], tuple[tf.RaggedTensor, tf.Tensor]]


def text_tokens(model: Object2Vec, side: int, tokenize: Tokenize) -> ToTokens:
    """Returns a function that converts text to token ids, truncated at max_seq_len."""
    _, max_len, continued_from = model.hyperparameters.id_limits(side)

    def tokens(texts: tf.Tensor) -> tf.RaggedTensor:
        ids, _ = tokenize(texts)
        return first_tokens(ids, max_len, continued_from)

    return tokens


def tokenize_function(tokenizer: Tokenizer | None) -> Tokenize | None:
    """Returns `_tokenized` as a function that all signatures share.

    Its graph has hundreds of ops. One for each signature would make exporting and
    loading several times slower.
    """
    if tokenizer is None:
        return None
    spec = tf.TensorSpec(TEXTS.shape, TEXTS.dtype)
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


def tokenize_signature(
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

    spec = tf.TensorSpec(TEXTS.shape, TEXTS.dtype, name=f"in{side}")
    return tf.function(tokenize, input_signature=[spec], autograph=False)


def checked_tokens(model: Object2Vec, side: int) -> ToTokens:
    """Returns a function that checks and truncates padded rows of token ids.

    Args:
        model: The model.
        side: 0 or 1.
    """
    size = model.hyperparameters.id_limits(side).size
    expected = f"an id in [0, {size})"
    return lambda ids: _clean_rows(model, side, ids, size, expected)


def checked_positions(
    model: Object2Vec, side: int
) -> Callable[[tf.Tensor, tf.Tensor], tf.RaggedTensor]:
    """Returns a function that does the same for positions in rows of a table.

    Args:
        model: The model.
        side: 0 or 1.

    Returns:
        A function of positions, int64 ``[batch, time]``, and of the rows.
    """

    def positions(given: tf.Tensor, rows: tf.Tensor) -> tf.RaggedTensor:
        size = tf.shape(rows, tf.int64)[0]
        expected = f"the position of a row of rows{side}"
        return _clean_rows(model, side, given, size, expected)

    return positions


@on_host()
def _clean_rows(
    model: Object2Vec, side: int, ids: tf.Tensor, size: Any, expected: str
) -> tf.RaggedTensor:
    """Drops -1 from padded rows, checks them, and truncates them.

    Args:
        model: The model.
        side: 0 or 1.
        ids: int64 ``[batch, time]``.
        size: All ids are below it.
        expected: What an id should be, for the message.
    """
    _, max_len, continued_from = model.hyperparameters.id_limits(side)
    is_token = tf.not_equal(ids, PADDING)
    invalid = is_token & ((ids < 0) | (ids >= size))

    def reject() -> tf.Operation:
        row, position = tf.unstack(tf.where(invalid)[0])
        text = tf.strings.format(
            f"in{side}: row {{}}, position {{}}: expected {expected}, got {{}}",
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


def describe_signature(model: Object2Vec) -> Any:
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
