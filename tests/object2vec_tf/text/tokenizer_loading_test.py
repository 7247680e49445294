"""Tests of object2vec_tf/text/auxiliary.py: what the auxiliary channel gives."""

import gzip
import json

import pytest

import object2vec_tf as o2v
from object2vec_tf.text.tokenizer_loading import with_vocab_sizes

SETTINGS = {
    "enc0_network": "pooled_embedding",
    "enc0_max_seq_len": 5,
    "enc0_vocab_size": 10,
    "enc0_tokenizer": "whitespace",
    "enc0_vocab_file": "v.json",
}


@pytest.fixture
def auxiliary(tmp_path):
    (tmp_path / "v.json").write_text(json.dumps({"a": 0, "b": 6}))
    (tmp_path / "pieces.txt").write_text("[UNK]\na\n##b\n")
    (tmp_path / "w.json.gz").write_bytes(gzip.compress(b'{"a": 0, "b": 2}'))
    return tmp_path


def test_both_sides_have_one_tokenizer_where_enc1_follows_enc0(auxiliary):
    first, second = o2v.read_tokenizers(o2v.Hyperparameters(**SETTINGS), auxiliary)
    assert first is second
    assert first.vocab_size == 7


def test_a_side_of_ids_has_none(auxiliary):
    settings = SETTINGS | {"enc1_network": "hcnn", "enc1_max_seq_len": 3}
    settings |= {"enc1_vocab_size": 4}
    _, second = o2v.read_tokenizers(o2v.Hyperparameters(**settings), auxiliary)
    assert second is None
    settings |= {"enc1_tokenizer": "wordpiece", "enc1_vocab_file": "pieces.txt"}
    first, second = o2v.read_tokenizers(o2v.Hyperparameters(**settings), auxiliary)
    assert (first.vocab_size, second.vocab_size) == (7, 3)


@pytest.mark.parametrize(
    ("settings", "channel", "message"),
    [
        (
            {},
            None,
            "enc0_vocab_file: 'v.json' is looked for in the auxil",
        ),
        ({"enc0_vocab_file": "x.json"}, "", "enc0_vocab_file: 'x.json' is not in the "),
        ({"enc0_vocab_size": 6}, "", "enc0_vocab_size: is 6, and "),
        ({"enc0_num_oov_buckets": 4}, "", "enc0_vocab_size: is 10, and "),
    ],
)
def test_what_does_not_fit_is_told(auxiliary, settings, channel, message):
    hyperparameters = o2v.Hyperparameters(**SETTINGS | settings)
    with pytest.raises(o2v.UserError) as told:
        o2v.read_tokenizers(hyperparameters, None if channel is None else auxiliary)
    assert str(told.value).startswith(message)


def test_vocabulary_sizes_are_those_of_the_files(auxiliary):
    values = {
        "enc0_vocab_file": "v.json",
        "enc1_vocab_file": "pieces.txt",
        "enc1_tokenizer": "wordpiece",
        "epochs": "3",
    }
    sizes = {"enc0_vocab_size": 7, "enc1_vocab_size": 3}
    assert with_vocab_sizes(values, auxiliary) == values | sizes
    given = values | {"enc0_vocab_size": "50"}
    assert with_vocab_sizes(given, auxiliary) == given | {"enc1_vocab_size": 3}
    packed = {"enc0_vocab_file": "w.json.gz"}
    assert with_vocab_sizes(packed, auxiliary) == packed | {"enc0_vocab_size": 3}
    assert with_vocab_sizes({"epochs": 3}, None) == {"epochs": 3}


def test_buckets_count_among_the_ids(auxiliary):
    both = {"enc0_vocab_file": "v.json", "enc1_vocab_file": "w.json.gz"}
    alike = both | {"enc0_num_oov_buckets": "5"}
    sizes = {"enc0_vocab_size": 12, "enc1_vocab_size": 8}
    assert with_vocab_sizes(alike, auxiliary) == alike | sizes
    other = both | {"enc1_network": "hcnn", "enc1_num_oov_buckets": 2}
    sizes = {"enc0_vocab_size": 7, "enc1_vocab_size": 5}
    assert with_vocab_sizes(other, auxiliary) == other | sizes
    settings = SETTINGS | {"enc0_num_oov_buckets": 3}
    first, second = o2v.read_tokenizers(o2v.Hyperparameters(**settings), auxiliary)
    assert first is second
    assert first.vocab_size == 10


@pytest.mark.parametrize("kind", ["none", "wordpiece", "sentencepiece"])
def test_only_words_have_buckets(kind):
    settings = SETTINGS | {"enc0_tokenizer": kind, "enc0_num_oov_buckets": 3}
    with pytest.raises(ValueError, match="enc0_num_oov_buckets: only words have a"):
        o2v.Hyperparameters(**settings)


@pytest.mark.parametrize("name", ["tokenizer", "pretrained_embedding_file"])
def test_words_need_a_vocabulary(name):
    settings = {k: v for k, v in SETTINGS.items() if "voc" not in k and "tok" not in k}
    value = {"tokenizer": "wordpiece"}.get(name, "glove.txt")
    with pytest.raises(o2v.HyperparameterError) as told:
        o2v.Hyperparameters(**settings, enc0_vocab_size=9, **{f"enc0_{name}": value})
    assert f"enc0_vocab_file: required with enc0_{name}={value}, " in str(told.value)
