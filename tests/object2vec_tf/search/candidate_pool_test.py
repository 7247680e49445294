"""Tests of object2vec_tf/search/candidate_pool.py: positions of distinct objects."""

import numpy as np
import pytest

from object2vec_tf.errors import UserError
from object2vec_tf.inference.ragged_inputs import RaggedInputs
from object2vec_tf.search.candidate_pool import CandidatePool, read_pool


def items(*rows):
    return RaggedInputs.from_rows({"in1": list(rows)})


def test_equal_objects_have_one_position():
    pool = CandidatePool("in1")
    assert pool.add(items([7], [1, 2], [7], [])).tolist() == [0, 1, 0, 2]
    assert pool.add(items([], [2, 1], [1, 2])).tolist() == [2, 3, 1]
    assert len(pool) == 4
    column = pool.objects().columns["in1"]
    rows = np.split(column.values, column.row_splits[1:-1])
    assert [row.tolist() for row in rows] == [[7], [1, 2], [], [2, 1]]


def test_a_pool_is_read_from_blocks():
    pool = read_pool([items([1], [2]), items([2], [3])], "in1", "items.jsonl")
    assert len(pool) == 3


def test_a_pool_without_objects_of_its_side_is_an_error():
    with pytest.raises(UserError, match=r"items.jsonl: expected lines with in1"):
        read_pool([], "in1", "items.jsonl")
    with pytest.raises(
        UserError, match=r"x.jsonl: expected in0 in each line, got only"
    ):
        read_pool([items([1])], "in0", "x.jsonl")
