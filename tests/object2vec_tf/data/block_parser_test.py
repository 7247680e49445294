"""Tests of object2vec_tf/data/block_parser.py: parsed and rejected blocks."""

import json

import pytest

from object2vec_tf.data.block_parser import parse_block

SIZES = {"in0": 10, "in1": 20}


@pytest.mark.parametrize("end", ["", "\n", "\n\n", "\r\n", " \n"])
@pytest.mark.parametrize("more", [{}, {"weight": 2, "note": "a"}, {"weight": 2}])
def test_valid_lines_are_parsed(end, more):
    pairs = [
        {"in0": [1, 2], "in1": [], "label": 1},
        {"label": 0, "in1": [3], "in0": []},
    ]
    text = "\n".join(json.dumps(pair | more) for pair in pairs) + end

    columns, labels, weights = parse_block(text.encode(), SIZES, "integer")

    assert columns["in0"].values.tolist() == [1, 2]
    assert columns["in0"].row_splits.tolist() == [0, 2, 2]
    assert columns["in1"].values.tolist() == [3]
    assert columns["in1"].row_splits.tolist() == [0, 0, 1]
    assert labels.tolist() == [1, 0]
    if "weight" in more:
        assert weights.tolist() == [2, 2]
    else:
        assert weights is None


@pytest.mark.parametrize(
    "text",
    [
        # Each name occurs twice in both lines together.
        '{"in0":[1],"in0":[1],"label":1}\n{"in1":[1],"in1":[1],"label":1}',
        '{"in0":[1],"in1":[1],"in1":[1]}\n{"in0":[1],"label":1,"label":1}',
        '{"in0":[1],"in1":[1],"label":1}\n{"in0":[1],"in0":[1],"in1":[1]}',
        '{"in0x":[1],"in1":[1],"label":1}',
        '{"in0":[1],"in1":[1],"labels":1}',
        '{"in0":[1],"in1":[1],"labe":1}',
        # A weight on some lines, twice on one line, or a name that starts with it.
        '{"in0":[1],"in1":[1],"label":1,"weight":1}\n{"in0":[1],"in1":[1],"label":1}',
        '{"in0":[1],"in1":[1],"label":1,"weight":1,"weight":2}',
        '{"in0":[1],"in1":[1],"label":1,"weighted":1}',
        '{"in0":[1],"in1":[1],"label":1,"weight":"1"}',
        '{"in0":[1],"in1":[1],"label":1,"weight":null}',
        '{"in0":[1],"in1":["label"],"label":1}',
        '{"in0":[1],"in1":[1],"label":1} {"in0":[1],"in1":[1],"label":1}',
        '{"in0":[1],"in1":[1],\n"label":1}',
        '{"in0":[1],"in1":[1],"label":1}\nx',
        '[{"in0":[1],"in1":[1],"label":1}]',
        '{"in0":[10],"in1":[1],"label":1}',
        '{"in0":[-1],"in1":[1],"label":1}',
        '{"in0":[1],"in1":[1],"label":1.5}',
        '{"in0":[1],"in1":[1],"label":1',
        '"',
    ],
)
def test_a_block_that_may_be_invalid_is_rejected(text):
    assert parse_block(text.encode(), SIZES, "integer") is None


def test_an_empty_block_has_no_pairs():
    columns, labels, _ = parse_block(b"", SIZES, "integer")
    assert len(columns["in0"]) == len(labels) == 0
