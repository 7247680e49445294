"""Tests of object2vec_tf/text/tokenizer_loading.py."""

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


def test_both_sides_share_a_tokenizer_if_enc1_shares_enc0s_settings(auxiliary):
    first, second = o2v.read_tokenizers(o2v.Hyperparameters(**SETTINGS), auxiliary)
    assert first is second
    assert first.vocab_size == 7
    assert o2v.read_tokenizers(SETTINGS, auxiliary)[0].vocab_size == 7
    with pytest.raises(o2v.HyperparameterError, match="enc0_tokeniser"):
        o2v.read_tokenizers(SETTINGS | {"enc0_tokeniser": "id"}, auxiliary)


def test_a_vocabulary_may_have_two_names(auxiliary):
    (auxiliary / "w.json").symlink_to("v.json")
    settings = SETTINGS | {"enc0_vocab_file": "w.json"}
    first, _ = o2v.read_tokenizers(o2v.Hyperparameters(**settings), auxiliary)
    assert first.vocab_size == 7


def test_a_side_with_ids_has_no_tokenizer(auxiliary):
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
            "enc0_vocab_file: expected 'v.json' in the auxiliary channel, got no auxil",
        ),
        (
            {"enc0_vocab_file": "x.json"},
            "",
            "enc0_vocab_file: expected 'x.json' in the auxiliary channel, got pieces.t",
        ),
        ({"enc0_vocab_size": 6}, "", "enc0_vocab_size: expected at least 7 for "),
        ({"enc0_num_oov_buckets": 4}, "", "enc0_vocab_size: expected at least 11 for "),
    ],
)
def test_a_vocabulary_that_does_not_fit_is_rejected(
    auxiliary, settings, channel, message
):
    hyperparameters = o2v.Hyperparameters(**SETTINGS | settings)
    with pytest.raises(o2v.UserError) as error:
        o2v.read_tokenizers(hyperparameters, None if channel is None else auxiliary)
    assert str(error.value).startswith(message)


def test_missing_vocabulary_sizes_come_from_the_files(auxiliary):
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
    compressed = {"enc0_vocab_file": "w.json.gz"}
    assert with_vocab_sizes(compressed, auxiliary) == compressed | {
        "enc0_vocab_size": 3
    }
    assert with_vocab_sizes({"epochs": 3}, None) == {"epochs": 3}


def test_vocabulary_sizes_include_buckets(auxiliary):
    both = {"enc0_vocab_file": "v.json", "enc1_vocab_file": "w.json.gz"}
    same = both | {"enc0_num_oov_buckets": "5"}
    sizes = {"enc0_vocab_size": 12, "enc1_vocab_size": 8}
    assert with_vocab_sizes(same, auxiliary) == same | sizes
    other = both | {"enc1_network": "hcnn", "enc1_num_oov_buckets": 2}
    sizes = {"enc0_vocab_size": 7, "enc1_vocab_size": 5}
    assert with_vocab_sizes(other, auxiliary) == other | sizes
    settings = SETTINGS | {"enc0_num_oov_buckets": 3}
    first, second = o2v.read_tokenizers(o2v.Hyperparameters(**settings), auxiliary)
    assert first is second
    assert first.vocab_size == 10


@pytest.mark.parametrize("kind", ["none", "wordpiece", "sentencepiece"])
def test_only_tokenizers_of_words_have_buckets(kind):
    settings = SETTINGS | {"enc0_tokenizer": kind, "enc0_num_oov_buckets": 3}
    with pytest.raises(ValueError, match="enc0_num_oov_buckets: only applies to wo"):
        o2v.Hyperparameters(**settings)


@pytest.mark.parametrize("name", ["tokenizer", "pretrained_embedding_file"])
def test_text_needs_a_vocabulary_file(name):
    settings = {k: v for k, v in SETTINGS.items() if "voc" not in k and "tok" not in k}
    value = {"tokenizer": "wordpiece"}.get(name, "glove.txt")
    with pytest.raises(o2v.HyperparameterError) as error:
        o2v.Hyperparameters(**settings, enc0_vocab_size=9, **{f"enc0_{name}": value})
    assert f"enc0_vocab_file: required with enc0_{name}={value}. " in str(error.value)
