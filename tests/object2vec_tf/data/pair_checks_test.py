"""Tests of object2vec_tf/data/pair_checks.py: pairs for another model, and digests."""

import dataclasses

import numpy as np
import pytest

import object2vec_tf as o2v
from object2vec_tf.data.pair_schema import PairSchema

SCHEMA = PairSchema(
    vocab_sizes=(10, 20), max_lengths=(2, 3), output_layer="softmax", num_classes=4
)
ROWS = [
    {"in0": [1, 7], "in1": [19], "label": 2},
    {"in0": [], "in1": [1, 2], "label": 0},
]


@pytest.mark.parametrize(
    "changes",
    [
        {"batch_size": 7, "bucket_width": 3},
        {"vocab_sizes": (100, 100), "max_lengths": (9, 9), "num_classes": 9},
        {"vocab_sizes": (8, 20), "max_lengths": (2, 2), "num_classes": 3},
    ],
)
def test_pairs_that_fit_keep_their_columns(changes):
    pairs = o2v.read_pairs(ROWS, SCHEMA)
    settings = dataclasses.replace(SCHEMA, **changes)
    other = o2v.read_pairs(pairs, settings)
    assert other.schema == settings
    assert other.in0 is pairs.in0
    assert other.in1 is pairs.in1
    assert other.labels is pairs.labels
    assert other.report == pairs.report


def test_pairs_of_the_same_settings_are_the_same_object():
    pairs = o2v.read_pairs(ROWS, SCHEMA)
    assert o2v.read_pairs(pairs, dataclasses.replace(SCHEMA)) is pairs


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocab_sizes": (7, 20)}, "in0: expected ids below 7, got 7."),
        ({"max_lengths": (2, 1)}, "in1: expected at most 1 tokens, got 2."),
        ({"num_classes": 2}, r"in \[0, num_classes=2\), got 2."),
        (
            {"output_layer": "mean_squared_error", "num_classes": None},
            "label: expected real numbers, got classes.",
        ),
    ],
)
def test_pairs_that_do_not_fit(changes, message):
    pairs = o2v.read_pairs(ROWS, SCHEMA)
    with pytest.raises(o2v.DataError, match=rf"^test: Pairs: .*{message}.* Read the"):
        o2v.read_pairs(pairs, dataclasses.replace(SCHEMA, **changes), channel="test")


def test_truncated_pairs_do_not_fit_a_larger_limit():
    pairs = o2v.read_pairs([{"in0": [1, 2, 3], "in1": 1, "label": 1}], SCHEMA)
    with pytest.raises(o2v.DataError, match=r"in0: .* pairs that were truncated to 2"):
        o2v.read_pairs(pairs, dataclasses.replace(SCHEMA, max_lengths=(3, 3)))


def test_the_digest_depends_on_every_value():
    def digest(rows):
        return o2v.read_pairs(rows, SCHEMA).report.fingerprint

    changed = [
        [ROWS[1], ROWS[0]],
        [ROWS[0] | {"in0": [1, 8]}, ROWS[1]],
        [ROWS[0] | {"in1": []}, ROWS[1] | {"in1": [19, 1, 2]}],
        [ROWS[0] | {"label": 1}, ROWS[1]],
        [ROWS[0] | {"weight": 2}, ROWS[1]],
    ]
    digests = {digest(rows) for rows in [ROWS, *changed]}
    assert len(digests) == 6
    assert digest([row | {"weight": 1.0} for row in ROWS]) in digests
    many = ROWS * 5_000  # more than a block
    assert digest(many) == digest(iter(many))
    labels = np.asarray(o2v.read_pairs(many, SCHEMA).labels)
    assert labels.tolist() == [2, 0] * 5_000
