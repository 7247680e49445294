"""Random numbers that are the same whether or not XLA compiles a step."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf

from object2vec_tf.layers.compilation import under_xla

# Bits of the fraction of a float32, and the bits of 1.0.
_FRACTION, _ONE = 0x7FFFFF, 0x3F800000


def uniform(
    shape: Sequence[tf.Tensor | int],
    seeds: keras.random.SeedGenerator,
    low: float = 0.0,
) -> tf.Tensor:
    """Returns random numbers from ``low`` to 1, as ``keras.random.uniform`` does.

    By default, XLA has an algorithm of its own. If the algorithm is named, XLA draws
    the same bits as TensorFlow, but takes the upper 23 bits of a number as its
    fraction, where TensorFlow takes the lower ones.

    Args:
        shape: The shape of the result.
        seeds: Source of randomness.
        low: The lower limit.

    Returns:
        float32. The first numbers do not depend on the shape.
    """
    # As keras/src/backend/tensorflow/random.py of Keras 3.15 does it.
    seed = tf.cast(tf.math.floormod(seeds.next(), tf.int32.max - 1), tf.int32)
    if not under_xla():
        return tf.random.stateless_uniform(shape, seed, minval=low, alg="philox")
    bits = tf.random.stateless_uniform(
        shape, seed, minval=None, maxval=None, dtype=tf.uint32, alg="philox"
    )
    from_one_to_two = tf.bitwise.bitwise_or(
        tf.bitwise.bitwise_and(bits, tf.constant(_FRACTION, tf.uint32)),
        tf.constant(_ONE, tf.uint32),
    )
    numbers = tf.bitcast(from_one_to_two, tf.float32) - 1.0
    return numbers * (1.0 - low) + low
