"""Tests of object2vec_tf/search/evaluation_data.py; its model only has limits."""

import json
import types

import pytest

import object2vec_tf as o2v
from object2vec_tf.errors import UserError
from object2vec_tf.search.evaluation_data import read_evaluation_data

MODEL = types.SimpleNamespace(
    hyperparameters=o2v.Hyperparameters(enc0_vocab_size=30, enc0_max_seq_len=2),
    texts=(),
)


@pytest.fixture
def write(tmp_path):
    def write(name, *pairs):
        lines = (json.dumps({"in0": [a], "in1": [b]}) + "\n" for a, b in pairs)
        (tmp_path / name).write_text("".join(lines))
        return [tmp_path / name]

    return write


def test_queries_without_other_true_pairs_are_dropped(write):
    pairs = write("pairs.jsonl", (1, 11), (2, 12), (3, 13), (3, 12))
    known = write("known.jsonl", (1, 11), (3, 13), (2, 11), (3, 11), (1, 12), (2, 11))
    with pytest.warns(UserWarning, match="2 true pairs are also excluded"):
        data = read_evaluation_data(MODEL, pairs, None, known)
    assert data.queries.columns["in0"].values.tolist() == [2, 3]
    assert data.items.columns["in1"].values.tolist() == [11, 12, 13]
    assert data.relevant.items.tolist() == [1, 1]
    assert data.relevant.splits.tolist() == [0, 1, 2]
    assert data.excluded.items.tolist() == [0, 0, 2]
    assert data.excluded.splits.tolist() == [0, 1, 3]
    assert data.popularity.tolist() == [4, 1, 1]


def test_a_file_of_known_pairs_only_is_an_error(write):
    pairs = write("pairs.jsonl", (1, 11))
    with (
        pytest.warns(UserWarning, match="1 true pairs"),
        pytest.raises(UserError, match="true pairs that are not excluded, got none"),
    ):
        read_evaluation_data(MODEL, pairs, None, pairs)


def test_objects_with_the_same_first_token_can_be_the_same(tmp_path):
    def write(name, *pairs):
        lines = (json.dumps({"in0": a, "in1": b}) + "\n" for a, b in pairs)
        (tmp_path / name).write_text("".join(lines))
        return [tmp_path / name]

    pairs = write("pairs", ([1, 5], [11]), ([1, 6], [12, 7]), ([2], [12, 8]))
    known = write("known", ([1, 9], [12, 9]), ([2, 3], [11, 4]))
    settings = o2v.Hyperparameters(
        enc0_vocab_size=30, enc0_max_seq_len=2, object_key="first_token"
    )
    model = types.SimpleNamespace(hyperparameters=settings, texts=())
    with pytest.warns(UserWarning, match="1 true pairs"):
        data = read_evaluation_data(model, pairs, None, known)
    # The second query is left out, since the first user knows movie 12.
    assert data.queries.columns["in0"].values.tolist() == [1, 5, 2]
    assert data.relevant.items.tolist() == [0, 2]
    assert data.excluded.items.tolist() == [1, 2, 0]
    assert data.excluded.splits.tolist() == [0, 2, 3]
    assert data.popularity.tolist() == [1, 1, 1]


def test_a_first_token_may_be_a_word_of_several_n_grams(tmp_path):
    # Ids from 30 on begin a word of n-grams, ids from 40 on continue one.
    def write(name, *pairs):
        lines = (json.dumps({"in0": a, "in1": b}) + "\n" for a, b in pairs)
        (tmp_path / name).write_text("".join(lines))
        return [tmp_path / name]

    pairs = write("pairs", ([31, 42], [11]), ([31, 43], [12]))
    known = write("known", ([31, 43, 5], [11]))
    settings = o2v.Hyperparameters(
        enc0_vocab_size=30,
        enc0_max_seq_len=2,
        enc0_tokenizer="whitespace",
        enc0_vocab_file="words",
        enc0_subword_ngrams="3..6",
        enc0_subword_buckets=10,
        object_key="first_token",
    )
    model = types.SimpleNamespace(hyperparameters=settings, texts=())
    data = read_evaluation_data(model, pairs, None, known)
    assert data.excluded.splits.tolist() == [0, 0, 1]
