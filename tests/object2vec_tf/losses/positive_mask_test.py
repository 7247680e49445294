import numpy as np
import pytest
import tensorflow as tf

from object2vec_tf.losses.positive_mask import BatchObjects, positive_mask


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


def test_known_pairs_of_a_dataset_replace_those_of_the_batch():
    # Objects of in0: 0, 1, 0; of in1: 1, 0, 1. Known: in0 1 with in1 0 and 1.
    objects = BatchObjects.from_known(
        tf.constant([[0, 1], [1, 0], [0, 1]]), tf.constant([2, 3])
    )

    np.testing.assert_array_equal(
        objects.positive_mask(), [[False] * 3, [True] * 3, [False] * 3]
    )


def test_negatives_are_other_objects_in_their_first_row_and_not_positive():
    in0 = ragged([[1], [2], [1], [3], [4]])
    in1 = ragged([[7], [8], [9], [8], [7, 7]])

    objects = BatchObjects.of(in0, in1, tf.constant([1, 1, 1, 0, 1]))

    expected = [
        [False, True, False, False, True],  # 7 is own, 9 is positive with 1
        [True, False, True, False, True],
        [False, True, False, False, True],
        [True, False, True, False, True],  # 8 is own, although its label is 0
        [True, True, True, False, False],
    ]
    np.testing.assert_array_equal(objects.negative_mask(), expected)
    np.testing.assert_array_equal(objects.counts1(), [1, 2, 1, 2, 1])
