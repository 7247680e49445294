import numpy as np
import pytest
import tensorflow as tf

from object2vec_tf.losses.positive_mask import positive_mask


def ragged(rows):
    return tf.ragged.constant(rows, dtype=tf.int64, ragged_rank=1)


def test_rows_with_equal_objects_have_the_same_partners():
    in0 = ragged([[1], [2, 3], [1], [], [2, 3]])
    in1 = ragged([[7], [8], [9], [7], [7]])

    mask = positive_mask(in0, in1, tf.constant([1, 1, 1, 1, 0]))

    pairs = {((1,), (7,)), ((2, 3), (8,)), ((1,), (9,)), ((), (7,))}
    expected = [
        [(tuple(a), tuple(b)) in pairs for b in in1.to_list()] for a in in0.to_list()
    ]
    np.testing.assert_array_equal(mask, expected)


def test_the_order_and_the_number_of_tokens_matter():
    in0 = ragged([[1, 2], [2, 1], [1, 2, 2]])
    in1 = ragged([[7], [8], [9]])

    mask = positive_mask(in0, in1, tf.constant([1, 1, 1]))

    np.testing.assert_array_equal(mask, np.eye(3, dtype=bool))


@pytest.mark.parametrize("dtype", [tf.int32, tf.int64, tf.float32])
def test_only_labels_above_zero_are_positive(dtype):
    in0, in1 = ragged([[1], [2], [3]]), ragged([[7], [8], [9]])

    mask = positive_mask(in0, in1, tf.constant([2, 0, -1], dtype))

    np.testing.assert_array_equal(mask, np.diag([True, False, False]))


def test_one_positive_pair_makes_all_equal_pairs_positive():
    in0, in1 = ragged([[1], [1]]), ragged([[7], [7]])

    mask = positive_mask(in0, in1, tf.constant([0, 1]))

    np.testing.assert_array_equal(mask, [[True, True], [True, True]])
