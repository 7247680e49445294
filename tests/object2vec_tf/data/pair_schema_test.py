"""Tests of object2vec_tf/data/pair_schema.py."""

import pytest

import object2vec_tf as o2v
from object2vec_tf.data.negative_settings import NegativeSettings
from object2vec_tf.data.pair_schema import PairSchema
from object2vec_tf.text.tokenizer import Tokenization

SETTINGS = {
    "enc0_max_seq_len": 4,
    "enc0_vocab_size": 100,
    "enc1_network": "hcnn",
    "enc1_max_seq_len": 2,
    "enc1_vocab_size": 50,
    "mini_batch_size": 16,
    "bucket_width": 3,
}


def test_a_schema_has_the_values_of_the_hyperparameters():
    text = {
        "enc1_tokenizer": "whitespace",
        "enc1_vocab_file": "v.json",
        "enc1_lowercase": True,
        "enc1_num_oov_buckets": 7,
    }
    hyperparameters = o2v.Hyperparameters(**SETTINGS, **text, num_classes=3)
    schema = PairSchema.from_hyperparameters(hyperparameters)
    assert schema == PairSchema(
        vocab_sizes=(100, 50),
        max_lengths=(4, 2),
        output_layer="softmax",
        num_classes=3,
        tokenizations=(None, Tokenization("whitespace", True, "none", 7)),
        batch_size=16,
        bucket_width=3,
        needs_frequencies=False,
        negatives=NegativeSettings(excludes_known=True),
    )
    assert schema.text_inputs == ("in1",)


def test_real_labels_have_no_classes():
    hyperparameters = o2v.Hyperparameters(
        **SETTINGS, output_layer="mean_squared_error", negative_sampling_rate=2
    )
    schema = PairSchema.from_hyperparameters(hyperparameters)
    assert schema.num_classes is None
    assert schema.output_layer == "mean_squared_error"
    assert schema.needs_frequencies == hyperparameters.needs_frequencies


def test_pairs_are_read_with_a_schema(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text('{"in0": [1, 2, 3, 4, 5], "in1": [3], "label": 1}\n' * 3)
    hyperparameters = o2v.Hyperparameters(**SETTINGS)
    schema = PairSchema.from_hyperparameters(hyperparameters)
    pairs = o2v.read_pairs(path, schema)
    assert pairs.schema is schema
    assert pairs.report == o2v.read_pairs(path, hyperparameters).report
    [(inputs, labels)] = pairs.dataset()
    assert inputs["in0"].to_list() == [[1, 2, 3, 4]] * 3
    assert labels.numpy().tolist() == [1] * 3
    with pytest.raises(AttributeError, match="only a schema"):
        _ = pairs.hyperparameters
