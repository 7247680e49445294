"""Tests of object2vec_tf/runs/identity.py."""

from object2vec_tf.runs.identity import differences


def test_differences_name_both_values():
    assert differences({"a": 1, "b": "x", "c": 2}, {"a": 1, "b": "y", "d": 3}) == [
        "b: 'x' in the directory, 'y' now",
        "c: 2 in the directory, not set now",
        "d: not set in the directory, 3 now",
    ]


def test_an_identity_without_a_precision_has_float32():
    assert differences({}, {"precision": "bfloat16"}) == [
        "precision: 'float32' in the directory, 'bfloat16' now"
    ]
