import numpy as np
import tensorflow as tf

from object2vec_tf.model.padding import mask, pad


def rows(*lengths, dim=2):
    """Vectors 1, 2, 3, ... in reverse, and rows of the given lengths that turn them."""
    count = sum(lengths)
    values = 1 + np.arange(count * dim, dtype=np.float32).reshape(-1, dim)
    places = np.arange(count, dtype=np.int32)[::-1]
    return tf.constant(values[::-1]), tf.RaggedTensor.from_row_lengths(places, lengths)


def test_rows_are_padded_with_zeros_to_the_longest():
    dense, lengths = pad(*rows(1, 0, 2))

    expected = [[[1, 2], [0, 0]], [[0, 0], [0, 0]], [[3, 4], [5, 6]]]
    np.testing.assert_array_equal(dense, expected)
    np.testing.assert_array_equal(lengths, [1, 0, 2])


def test_only_empty_rows_still_have_one_step():
    dense, lengths = pad(*rows(0, 0))

    np.testing.assert_array_equal(dense, np.zeros((2, 1, 2)))
    np.testing.assert_array_equal(lengths, [0, 0])


def test_a_batch_of_no_rows_gets_an_empty_one():
    dense, lengths = pad(*rows(dim=3))

    np.testing.assert_array_equal(dense, np.zeros((1, 1, 3)))
    np.testing.assert_array_equal(lengths, [0])


def test_the_width_is_known_while_tracing():
    widths = []

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, 5], tf.float32),
            tf.RaggedTensorSpec([None, None], tf.int32, 1, tf.int64),
        ]
    )
    def traced(vectors, places):
        dense, _ = pad(vectors, places)
        widths.append(dense.shape[-1])
        return dense

    traced(*rows(2, 1, dim=5))
    assert widths == [5]


def test_the_mask_is_one_inside_an_object_and_zero_behind_it():
    valid = mask(tf.zeros([3, 2, 4]), tf.constant([1, 0, 2], tf.int64))

    np.testing.assert_array_equal(valid[:, :, 0], [[1, 0], [0, 0], [1, 1]])
    assert valid.shape == (3, 2, 1)
    assert valid.dtype == tf.float32
