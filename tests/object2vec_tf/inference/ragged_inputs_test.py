import numpy as np

from object2vec_tf.inference.ragged_inputs import MAX_ROWS, RaggedInputs, in_row_order


def test_rows_are_padded_behind_and_where_asked_in_front():
    objects = RaggedInputs.from_rows({"in0": [[1, 2], [], [3]], "in1": [[], [], []]})
    inputs = objects.padded(leading=1)
    expected = [[-1, 1, 2], [-1, -1, -1], [-1, 3, -1]]
    np.testing.assert_array_equal(inputs["in0"], expected)
    np.testing.assert_array_equal(inputs["in1"], [[-1, -1]] * 3)
    assert inputs["in0"].dtype == np.int64
    assert (objects.signature, objects.output) == ("predict_pair", "scores")


def test_batches_hold_every_row_once_and_no_more_cells_than_allowed():
    lengths = np.random.default_rng(3).integers(0, 40, 300)
    lengths[7] = 500
    objects = RaggedInputs.from_rows({"in1": [[1] * n for n in lengths]})
    batches = list(objects.batches(cells=200))
    np.testing.assert_array_equal(np.sort(np.concatenate(batches)), np.arange(300))
    for rows in batches:
        assert len(rows) == 1 or len(rows) * max(lengths[rows].max(), 1) <= 200
    numbers = [rows[:, np.newaxis].astype(np.float32) for rows in batches]
    np.testing.assert_array_equal(in_row_order(batches, numbers)[:, 0], np.arange(300))


def test_few_rows_stay_together_as_they_are():
    objects = RaggedInputs.from_rows({"in0": [[1, 2], [3]]})
    assert list(objects.batches()) == [None]
    assert objects.take(None) is objects
    many = RaggedInputs.from_rows({"in0": [[1]] * (MAX_ROWS + 1)})
    assert sorted(map(len, many.batches())) == [1, MAX_ROWS]
