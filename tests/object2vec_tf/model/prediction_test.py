"""Tests of object2vec_tf/model/prediction.py and inference/python_inputs.py."""

import json
import re

import keras
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import tensorflow as tf

import object2vec_tf as o2v
from object2vec_tf.inference.python_inputs import (
    object_inputs,
    pair_inputs,
    side_column,
)
from object2vec_tf.text.tokenizer import Tokenization, Tokenizer

HYPERPARAMETERS = o2v.Hyperparameters(
    enc0_network="pooled_embedding",
    enc1_network="pooled_embedding",
    enc0_max_seq_len=3,
    enc1_max_seq_len=4,
    enc0_vocab_size=10,
    enc1_vocab_size=6,
    enc0_tokenizer="whitespace",
    enc0_vocab_file="words.txt",
    enc_dim=4,
    mlp_dim=4,
)
WORDS = Tokenizer(Tokenization("whitespace"), b"[UNK]\na\nman\nsleeps\ntwo words")
TOKENIZERS = (WORDS, None)


@pytest.fixture(scope="module")
def model():
    return o2v.Object2Vec(HYPERPARAMETERS, seed=4, tokenizers=TOKENIZERS)


def ids_of(objects, name="in1"):
    (column,) = object_inputs(
        objects, name, HYPERPARAMETERS, TOKENIZERS
    ).columns.values()
    return tf.RaggedTensor.from_row_splits(column.values, column.row_splits).to_list()


@pytest.mark.parametrize(
    ("objects", "ids"),
    [
        ([], []),
        ([[]], [[]]),
        ([[3], [4, 5]], [[3], [4, 5]]),
        ([(3, -1, 2), np.array([-1, 5])], [[3, 2], [5]]),
        ([3, np.int32(4)], [[3], [4]]),
        ([[3.0], [np.float32(2)]], [[3], [2]]),
        ([[0, 1, -1, 2, 3, 4]], [[0, 1, 2, 3]]),
        (np.array([[1, -1, 2], [-1, -1, -1]]), [[1, 2], []]),
        (np.array([[1, 2]], np.uint8), [[1, 2]]),
        (np.array([1, 5]), [[1], [5]]),
        (np.zeros((0, 3), int), []),
        (np.zeros((2, 0), int), [[], []]),
        (tf.constant([[5, -1]]), [[5]]),
        (tf.ragged.constant([[1, 2], [], [3]]), [[1, 2], [], [3]]),
        ((row for row in ([1], [2])), [[1], [2]]),
    ],
)
def test_converts_ids(objects, ids):
    assert ids_of(objects) == ids


@pytest.mark.parametrize(
    ("objects", "ids"),
    [
        (["a man sleeps soundly", "a"], [[1, 2, 3], [1]]),
        ([["two words", "a"], "two words"], [[4, 1], [0, 0]]),
        (np.array(["a", "man"]), [[1], [2]]),
        (np.array([["a", ""], ["man", "a"]], object), [[1], [2, 1]]),
        (tf.constant(["a", b"man"]), [[1], [2]]),
        (tf.ragged.constant([["a", "man"], ["two words"]]), [[1, 2], [4]]),
        ([[9], "a", [], ["man"], [8, 7]], [[9], [1], [], [2], [8, 7]]),
        ([b"a"], [[1]]),
    ],
)
def test_converts_texts(objects, ids):
    assert ids_of(objects, "in0") == ids


@pytest.mark.parametrize(
    ("objects", "name", "message"),
    [
        ([[3], [4, 6]], "in1", "in1[1][1]: expected a token id in [0, 6), or -1 as "),
        ([[], [2, -2]], "in1", "in1[1][1]: expected a token id in [0, 6), "),
        ([[2**70]], "in1", "in1[0][0]: expected a token id in [0, 6), or -1 "),
        ([[2**63]], "in1", "in1[0][0]: "),
        (np.array([[0, 6]]), "in1", "in1[0][1]: "),
        (np.array([[0.0, 1.5]]), "in1", "in1[0][1]: "),
        ([[np.nan]], "in1", "in1[0][0]: "),
        ([[np.inf]], "in1", "in1[0][0]: "),
        ([[1], [2, True]], "in1", "in1[1][1]: expected a token id, got True."),
        ([[1], [2, None]], "in1", "in1[1][1]: expected a token id, got None."),
        ([[1], [2, [3]]], "in1", "in1[1][1]: expected a token id, got [3]."),
        ([[1], [2, "a"]], "in1", "in1[1][1]: expected a token id, got 'a'."),
        ([[1], ["a"]], "in1", "in1[1]: expected token ids, got ['a']. This model"),
        ([[1], "a"], "in1", "in1[1]: expected token ids, got 'a'. This model"),
        ([[1], None], "in1", "in1[1]: expected a list of token ids, got None."),
        ([[1], 1.5], "in1", "in1[1][0]: expected a token id in [0, 6), "),
        (["a", ["man", 3]], "in0", "in0[1][1]: expected only strings or "),
        (["a", [1, 99]], "in0", "in0[1][1]: expected a token id in [0, 10), "),
        ("a man", "in0", "in0: expected a sequence of objects, got 'a man'. Put a "),
        (3, "in1", "in1: expected a sequence of objects, got 3."),
        (np.zeros((1, 2, 3), int), "in1", "in1: expected an array [objects, "),
        (tf.ragged.constant([[[1]]]), "in1", "in1: expected a RaggedTensor [objects, "),
    ],
)  # fmt: skip
def test_invalid_object_is_an_error_with_its_position(objects, name, message):
    with pytest.raises(o2v.DataError, match=re.escape(message)):
        ids_of(objects, name)


@pytest.mark.parametrize(
    "pairs",
    [
        [([3], [5]), ("a man", [1, 2])],
        (([3], [5]), ["a man", [1, 2]]),
        {"in0": [[3], "a man"], "in1": np.array([[5, -1], [1, 2]])},
    ],
)
def test_converts_pairs(pairs):
    columns = pair_inputs(pairs, HYPERPARAMETERS, TOKENIZERS).columns
    assert columns["in0"].values.tolist() == [3, 1, 2]
    assert columns["in0"].row_splits.tolist() == [0, 1, 3]
    assert columns["in1"].values.tolist() == [5, 1, 2]


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([([3], [5]), ([3],)], "pairs[1]: expected a pair (in0, in1) such as "),
        (["ab"], "pairs[0]: expected a pair "),
        ([3], "pairs[0]: expected a pair "),
        ({"in0": [[1]]}, "pairs: expected the keys in0 and in1, got ['in0']."),
        ({"in0": [[1]], "in1": [[1], [2]]}, "in1: expected 1 objects, one for each"),
        ([([3], [5]), ([3], [6])], "in1[1][0]: expected a token id in [0, 6)"),
    ],
)
def test_invalid_pair_is_an_error_with_its_position(pairs, message):
    with pytest.raises(o2v.DataError, match=re.escape(message)):
        pair_inputs(pairs, HYPERPARAMETERS, TOKENIZERS)


def test_embedding_is_the_mean_of_the_truncated_tokens(model):
    table = model.enc1.get_layer("token_embedding1").embeddings.numpy()
    expected = [table[[3]].mean(axis=0), table[[0, 1, 2, 3]].mean(axis=0)]
    embeddings = model.embed([[3], [0, 1, 2, 3, 4]], encoder=1)
    np.testing.assert_allclose(embeddings, expected, atol=1e-6)
    assert embeddings.dtype == np.float32


def test_no_objects_have_no_predictions(model):
    assert model.embed([]).shape == (0, 4)
    assert model.score([]).shape == (0, 2)
    assert model.score({"in0": [], "in1": []}).dtype == np.float32


def test_encoder_is_checked(model):
    with pytest.raises(o2v.UserError, match="encoder: expected 0 or 1, got 2"):
        model.embed([[1]], encoder=2)


def test_updated_weights_give_updated_embeddings(hyperparameters):
    model = o2v.Object2Vec(hyperparameters)
    before = model.embed([[3]])
    model.set_weights([2 * weights for weights in model.get_weights()])
    np.testing.assert_allclose(model.embed([[3]]), 2 * before, rtol=1e-6)


@pytest.mark.parametrize(
    ("objects", "ids"),
    [
        (["a man", 3, ["two words", 2**70], []], [[0], [5], [4, 6], []]),
        (np.array([[3, -1], [2, 3]]), [[5], [0, 5]]),
        (np.array([3, 4]), [[5], [0]]),
        (np.array([[3.0, -1.0]]), [[5]]),
        ([[3.0, np.float32(3)], 4.0], [[5, 5], [0]]),
        (np.array(["a", "3"]), [[1], [5]]),
        (tf.ragged.constant([["a", "3"], []]), [[1, 5], []]),
        ([(np.int64(3), b"a"), np.array(["man"])], [[5, 1], [2]]),
        ([[-1]], [[0]]),
    ],
)
def test_converts_ids_of_any_kind(objects, ids):
    words = {"[UNK]": 0, "a": 1, "man": 2, "two words": 4, "3": 5, str(2**70): 6}
    tokenizer = Tokenizer(Tokenization("id"), json.dumps(words).encode())
    inputs = object_inputs(objects, "in0", HYPERPARAMETERS, (tokenizer, None))
    column = inputs.columns["in0"]
    rows = tf.RaggedTensor.from_row_splits(column.values, column.row_splits)
    assert rows.to_list() == ids


@pytest.mark.parametrize("value", [1.5, 2.0**53, 2.0**60, None, True, [1]])
def test_what_is_not_an_id_of_any_kind_is_an_error_with_its_position(value):
    tokenizers = (Tokenizer(Tokenization("id"), b"a"), None)
    with pytest.raises(o2v.DataError, match=r"in0\[1\]\[1\]: expected an integer or a"):
        object_inputs(["a", ["a", value]], "in0", HYPERPARAMETERS, tokenizers)


def test_methods_of_keras_take_rows_or_ids_of_any_kind():
    tokenizer = Tokenizer(Tokenization("id"), b"[UNK]\na\n5")
    column = side_column([["a", "5"], "x"], "in0", 3, tokenizer)
    assert column.values.tolist() == [1, 2, 0]
    assert column.row_splits.tolist() == [0, 2, 3]
    assert side_column([[1, 2], 0], "in0", 3, tokenizer).values.tolist() == [1, 2, 0]
    with pytest.raises(o2v.DataError, match=r"in0\[1\]\[1\]: expected a string, as"):
        side_column(["a", ["a", 2]], "in0", 3, tokenizer)


@pytest.mark.long
def test_score_accepts_the_tables_that_predict_accepts(model):
    columns = {"in0": ["a man", "sleeps", "a"], "in1": [[3], [4, 5], [0]]}
    labels = {"label": [0, 1, 0]}
    frame = pd.DataFrame(columns | labels)
    pairs = o2v.read_pairs(frame, HYPERPARAMETERS, tokenizers=TOKENIZERS)
    expected = model.score(columns)
    tables = [frame, pa.table(columns | labels), frame.to_dict("records"), pairs]
    for table in [*tables, pairs.dataset(2)]:
        np.testing.assert_allclose(model.score(table), expected, rtol=1e-5)
        np.testing.assert_allclose(model.predict(table, verbose=0), expected, rtol=1e-5)


@pytest.mark.parametrize("encoder", [True, np.array([0, 1]), "1", 2, 0.5])
def test_the_encoder_is_0_or_1(model, encoder):
    with pytest.raises(o2v.UserError, match=r"^encoder: expected 0 or 1, got "):
        model.embed([[3]], encoder=encoder)


def test_periods_and_intervals_are_no_ids(model):
    interval = pa.MonthDayNano([1, 2, 3])
    periods = pa.array(pd.period_range("2020-01", periods=2, freq="M"))
    for column in (pa.array([interval] * 2), periods):
        with pytest.raises(o2v.DataError, match="expected numbers or text, got"):
            model.embed(column, encoder=1)
    with pytest.raises(o2v.DataError, match=r"in1\[0\]: expected a list of token ids"):
        model.embed([interval], encoder=1)


def test_a_loss_of_one_hot_labels_needs_metrics(model):
    for loss in ("categorical_crossentropy", keras.losses.CategoricalCrossentropy()):
        with pytest.raises(o2v.UserError, match=r"^loss: .* class numbers"):
            model.compile(loss=loss)
    model.compile(loss="categorical_crossentropy", metrics=["accuracy"])
    pairs = {"in0": [[3], [4]], "in1": [[1], [2]]}
    history = model.fit(pairs, np.eye(2), verbose=0).history
    assert 0.3 < history["loss"][0] < 1.5  # ln 2 for equal probabilities
