import keras
import numpy as np
import tensorflow as tf

from object2vec_tf.losses.random_numbers import uniform


def seeds():
    return keras.random.SeedGenerator(1 << 29)


def test_equals_keras_with_and_without_xla():
    expected, ours, compiled = seeds(), seeds(), seeds()
    under_xla = tf.function(lambda: uniform([3, 5], compiled, 1e-7), jit_compile=True)

    for _ in range(2):
        numbers = keras.random.uniform((3, 5), minval=1e-7, seed=expected)
        np.testing.assert_array_equal(uniform([3, 5], ours, 1e-7), numbers)
        # XLA may fuse the multiplication and the addition.
        np.testing.assert_allclose(under_xla(), numbers, rtol=0, atol=1e-7)
        np.testing.assert_array_equal(compiled.state, expected.state)


def test_the_first_numbers_do_not_depend_on_the_shape():
    few, many = uniform([7], seeds()), uniform([5, 5], seeds())

    np.testing.assert_array_equal(tf.reshape(many, [-1])[:7], few)
