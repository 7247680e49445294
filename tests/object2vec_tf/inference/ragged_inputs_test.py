import numpy as np

import object2vec_tf as o2v
from object2vec_tf.inference.ragged_inputs import (
    MAX_ROWS,
    CallLimits,
    RaggedInputs,
    call_limits,
    in_row_order,
)


def test_rows_are_padded_at_the_end_and_optionally_in_front():
    inputs = RaggedInputs.from_rows({"in0": [[1, 2], [], [3]], "in1": [[], [], []]})
    padded = inputs.padded(leading=1)
    expected = [[-1, 1, 2], [-1, -1, -1], [-1, 3, -1]]
    np.testing.assert_array_equal(padded["in0"], expected)
    np.testing.assert_array_equal(padded["in1"], [[-1, -1]] * 3)
    assert padded["in0"].dtype == np.int64
    assert (inputs.signature, inputs.output) == ("predict_pair", "scores")


def test_batches_have_every_row_once_and_a_bounded_size():
    lengths = np.random.default_rng(3).integers(0, 40, 300)
    lengths[7] = 500
    inputs = RaggedInputs.from_rows({"in1": [[1] * n for n in lengths]})
    batches = list(inputs.batches(CallLimits(cells=200)))
    np.testing.assert_array_equal(np.sort(np.concatenate(batches)), np.arange(300))
    for rows in batches:
        assert len(rows) == 1 or len(rows) * max(lengths[rows].max(), 1) <= 200
    numbers = [rows[:, np.newaxis].astype(np.float32) for rows in batches]
    np.testing.assert_array_equal(in_row_order(batches, numbers)[:, 0], np.arange(300))


def test_few_rows_are_one_batch():
    inputs = RaggedInputs.from_rows({"in0": [[1, 2], [3]]})
    assert list(inputs.batches()) == [None]
    assert inputs.take(None) is inputs
    many = RaggedInputs.from_rows({"in0": [[1]] * (MAX_ROWS + 1)})
    assert sorted(map(len, many.batches())) == [1, MAX_ROWS]


def test_wide_models_get_fewer_rows_per_call():
    common = {"enc0_max_seq_len": 9, "enc1_max_seq_len": 9}
    common |= {"enc0_vocab_size": 9, "enc1_vocab_size": 9, "enc0_network": "hcnn"}
    narrow = o2v.Hyperparameters(**common, enc_dim=8, enc0_token_embedding_dim=32)
    assert call_limits(narrow) == CallLimits(2**20, 2048)
    wide = o2v.Hyperparameters(**common, enc_dim=4096, enc0_token_embedding_dim=32)
    # 2**25 numbers of tokens (128 MB) and 2**22 of embeddings (16 MB).
    assert call_limits(wide) == CallLimits(2**13, 1024)
