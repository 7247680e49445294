"""Tests of object2vec_tf/inference/table_rows.py."""

import numpy as np
import pytest

from object2vec_tf.inference.table_rows import (
    positions_and_rows,
    with_rows,
    without_rows,
)
from object2vec_tf.tables.table_reader import ArrayReader

TABLE = ArrayReader(np.arange(20.0).reshape(10, 2))


@pytest.mark.parametrize(
    "ids",
    [
        [[3, 9, 3], [-1, 0, -1]],
        [[3, 9, 3]],
        [[-1, -1]],
        np.zeros([0, 4]),
        np.zeros([3, 0]),
    ],
)
def test_positions_lead_to_the_rows_of_ids(ids):
    ids = np.array(ids, np.int64)
    positions, rows = positions_and_rows(ids, TABLE)
    assert positions.dtype == np.int64
    assert positions.shape == ids.shape
    assert rows.dtype == np.float32
    assert len(rows) == len(set(ids[ids >= 0].tolist()))
    assert np.array_equal(positions == -1, ids == -1)
    tokens = ids >= 0
    assert np.array_equal(rows[positions[tokens]], TABLE.take(ids[tokens]))


def test_rows_are_added_for_the_inputs_that_are_given():
    in1, exclude = np.array([[4, 4]]), np.array([[7]])
    inputs = with_rows({"in1": in1, "exclude": exclude}, {0: TABLE, 1: TABLE})
    assert inputs.keys() == {"in1", "rows1", "exclude"}
    assert inputs["in1"].tolist() == [[0, 0]]
    assert inputs["rows1"].tolist() == [[8.0, 9.0]]
    assert inputs["exclude"] is exclude


def test_clients_see_signatures_without_rows():
    signature = {"inputs": {"in0": 1, "rows0": 2}, "outputs": {"embeddings": 3}}
    describe = {"inputs": {"rows": 4}, "outputs": {"hyperparameters": 5}}
    assert without_rows({"embed_enc0": signature, "describe": describe}) == {
        "embed_enc0": {"inputs": {"in0": 1}, "outputs": {"embeddings": 3}},
        "describe": describe,
    }
