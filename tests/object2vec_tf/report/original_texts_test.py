"""Objects are named by their texts in the channel's files."""

import gzip
import json

import pytest

import object2vec_tf as o2v
from object2vec_tf.report.embedding_sample import sample_embeddings
from object2vec_tf.text.tokenizer_loading import read_tokenizers

ROWS = [
    {"in0": "The  Cat sat!", "in1": [1], "label": 1},
    {"in0": "Zyx wvu", "in1": [2], "label": 0},
    {"in0": ["the", "dog"], "in1": [2], "label": 0},
    {"in0": "", "in1": [2], "label": 0},
]


@pytest.fixture
def settings(tmp_path):
    vocabulary = {"[UNK]": 0, "the": 1, "cat": 2, "dog": 3, "sat": 4}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    return o2v.Hyperparameters(
        enc0_network="pooled_embedding",
        enc0_tokenizer="whitespace",
        enc0_lowercase=True,
        enc0_vocab_file="vocab.json",
        enc0_vocab_size=5,
        enc0_max_seq_len=4,
        enc1_network="pooled_embedding",
        enc1_vocab_size=3,
        enc1_max_seq_len=1,
        enc_dim=4,
    )


def names_of(settings, tmp_path, path, **options):
    tokenizers = read_tokenizers(settings, tmp_path / "vocab.json")
    pairs = o2v.read_pairs(path, settings, tokenizers=tokenizers, **options)
    model = o2v.Object2Vec(settings, tokenizers=tokenizers)
    return lambda: sample_embeddings(model, pairs, {})[0].names


def test_unknown_words_and_upper_case_are_shown(settings, tmp_path):
    path = tmp_path / "train.jsonl.gz"
    lines = ["not JSON", *map(json.dumps, ROWS)]
    path.write_bytes(gzip.compress("\n\n".join(lines).encode()))
    names = names_of(settings, tmp_path, path, max_bad_lines=1)
    assert names() == ["The Cat sat!", "Zyx wvu", "the dog", "(empty)"]
    # Another file in its place has other texts; a missing one has none.
    path.write_bytes(gzip.compress(b'{"in0": "dog", "in1": [1], "label": 1}\n' * 5))
    assert names() == ["the cat [UNK]", "[UNK] [UNK]", "the dog", "(empty)"]
    path.unlink()
    assert names()[1] == "[UNK] [UNK]"
