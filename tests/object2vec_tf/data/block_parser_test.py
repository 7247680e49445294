"""Tests of object2vec_tf/data/block_parser.py: parsed and rejected blocks."""

import itertools
import json
import time

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


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([[1.0, 2], []], [[1, 2], []]),
        ([3, 4], [[3], [4]]),
        ([3.0, 4], [[3], [4]]),
        ([[3e0], [-0.0]], [[3], [0]]),
    ],
)
@pytest.mark.parametrize("label", [1, 1.0])
def test_whole_floats_and_single_ids_are_parsed(rows, expected, label):
    pairs = [{"in0": row, "in1": [5], "label": label} for row in rows]
    text = "\n".join(map(json.dumps, pairs)).encode()
    columns, labels, _ = parse_block(text, SIZES, "integer")
    splits = columns["in0"].row_splits
    values = columns["in0"].values
    assert values.dtype == "int32"
    assert [values[a:b].tolist() for a, b in itertools.pairwise(splits)] == expected
    assert labels.tolist() == [1, 1]
    assert labels.dtype == "int64"


@pytest.mark.parametrize(
    "row", ["[1.5]", "2.5", "[10.0]", "10", "-1", "[-1.0]", "true", "[true]", "[null]"]
)
def test_other_numbers_are_rejected(row):
    text = f'{{"in0":{row},"in1":[1.0],"label":1}}'
    assert parse_block(text.encode(), SIZES, "integer") is None


def test_large_floats_are_no_exact_ids():
    sizes = {"in0": None}
    for number, is_exact in ((2.0**31 - 1, True), (2.0**31, False), (2.0**70, False)):
        text = f'{{"in0":[{number!r}]}}'.encode()
        assert (parse_block(text, sizes) is not None) == is_exact


def test_a_number_of_many_digits_takes_linear_time():
    text = b'{"in0":[1],"in1":[1],"label":%b}' % (b"1" * 50_000)
    start = time.process_time()
    assert parse_block(text, SIZES, "number") is None  # took half a minute
    assert time.process_time() - start < 5


def test_an_empty_block_has_no_pairs():
    columns, labels, _ = parse_block(b"", SIZES, "integer")
    assert len(columns["in0"]) == len(labels) == 0
