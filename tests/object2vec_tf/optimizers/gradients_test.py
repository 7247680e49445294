import keras
import numpy as np
import pytest
import tensorflow as tf

from object2vec_tf.optimizers.gradients import add_weight_decay, sum_repeated_rows


def slices(indices, values, rows=5, dtype=tf.int64):
    return tf.IndexedSlices(
        tf.constant(values, tf.float32),
        tf.constant(indices, dtype),
        tf.constant([rows, 2], dtype),
    )


REPEATED = ([3, 0, 3, 3], [[1, 2], [10, 20], [4, 8], [0.5, 0]])
TOTALS = {3: [5.5, 10], 0: [10, 20]}


@pytest.mark.parametrize("dtype", [tf.int32, tf.int64])
def test_rows_of_the_same_token_are_summed(dtype):
    gradient = sum_repeated_rows(slices(*REPEATED, dtype=dtype), as_rows=True)

    assert isinstance(gradient, tf.IndexedSlices)
    indices = gradient.indices.numpy().tolist()
    assert sorted(indices) == [0, 3]
    np.testing.assert_array_equal(gradient.values, [TOTALS[i] for i in indices])
    np.testing.assert_array_equal(gradient.dense_shape, [5, 2])


def test_rows_become_a_dense_gradient_of_the_table():
    gradient = sum_repeated_rows(slices(*REPEATED), as_rows=False)

    assert isinstance(gradient, tf.Tensor)
    expected = np.zeros((5, 2))
    for row, total in TOTALS.items():
        expected[row] = total
    np.testing.assert_array_equal(gradient, expected)


def test_a_gradient_without_rows_stays_empty():
    gradient = sum_repeated_rows(slices(np.zeros(0), np.zeros((0, 2))), as_rows=True)

    assert gradient.values.shape == (0, 2)
    assert gradient.indices.shape == (0,)


@pytest.mark.parametrize("as_rows", [True, False])
def test_a_dense_gradient_is_returned_unchanged(as_rows):
    gradient = tf.constant([[1.0, 2.0]])

    assert sum_repeated_rows(gradient, as_rows) is gradient


def test_decay_is_added_to_a_dense_gradient():
    variable = keras.Variable([[1.0, -2.0], [4.0, 0.0]])

    gradient = add_weight_decay(tf.constant([[1.0, 1.0], [0.0, 3.0]]), variable, 0.5)

    np.testing.assert_array_equal(gradient, [[1.5, 0], [2, 3]])


def test_decay_is_added_only_to_the_rows_of_the_gradient():
    variable = keras.Variable(np.arange(10, dtype=np.float32).reshape(5, 2))

    gradient = add_weight_decay(slices([4, 1], [[1, 1], [2, 2]]), variable, 0.5)

    assert isinstance(gradient, tf.IndexedSlices)
    np.testing.assert_array_equal(gradient.indices, [4, 1])
    np.testing.assert_array_equal(gradient.values, [[5, 5.5], [3, 3.5]])
