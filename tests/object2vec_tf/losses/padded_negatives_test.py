"""Negatives of batches with rows of padding equal those of the pairs alone."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from object2vec_tf.losses.negative_sampling import (
    add_padded_negatives,
    distinct_negatives,
    frequency_negatives,
    hard_negatives,
    uniform_negatives,
)
from object2vec_tf.losses.positive_mask import BatchObjects

ROWS = 8
pairs_and_rates = pytest.mark.parametrize(
    ("pairs", "rate"), [(8, 2), (5, 3), (5, 6), (2, 3), (1, 2)]
)


def seeds():
    return keras.random.SeedGenerator(3)


def assert_same_negatives(padded, expected, pairs, rate):
    """Checks negatives of a batch with padding against those of its pairs."""
    padded = np.reshape(padded, [-1, ROWS])
    expected = np.reshape(expected, [-1, pairs])
    assert len(padded) == min(rate, ROWS - 1)
    np.testing.assert_array_equal(padded[: len(expected), :pairs], expected)
    assert (padded[len(expected) :] == -1).all()
    assert (padded[:, pairs:] == -1).all()


@pairs_and_rates
def test_uniform_negatives(pairs, rate):
    padded = uniform_negatives(ROWS, rate, seeds(), tf.constant(pairs))
    expected = uniform_negatives(tf.constant(pairs), rate, seeds())

    assert_same_negatives(padded, expected, pairs, rate)


@pairs_and_rates
def test_negatives_by_frequency(pairs, rate):
    frequencies = np.log(np.linspace(0.1, 0.3, ROWS)).astype(np.float32)

    padded = frequency_negatives(frequencies, 0.5, rate, seeds(), tf.constant(pairs))

    expected = frequency_negatives(tf.constant(frequencies[:pairs]), 0.5, rate, seeds())
    assert_same_negatives(padded, expected, pairs, rate)


@pairs_and_rates
def test_hard_negatives(pairs, rate):
    first, second = np.random.default_rng(5).normal(size=(2, ROWS, 3)).astype("f")
    positives = np.random.default_rng(6).random((ROWS, ROWS)) < 0.3

    padded = hard_negatives(first, second, positives, rate, seeds(), tf.constant(pairs))

    expected = hard_negatives(
        first[:pairs], second[:pairs], positives[:pairs, :pairs], rate, seeds()
    )
    assert_same_negatives(padded, expected, pairs, rate)


@pairs_and_rates
def test_distinct_negatives(pairs, rate):
    numbers = np.random.default_rng(7).integers(0, 4, (ROWS, 2)).astype(np.int32)
    numbers[pairs:] = ROWS - 1
    known = [0, 1, 1, 2]  # numbers of in0
    known_in1 = [0, 1, 3, 2]
    padded_known = [a * ROWS + b for a, b in zip(known, known_in1, strict=True)]
    objects = BatchObjects.padded(
        tf.constant(numbers),
        tf.constant([*padded_known, ROWS * ROWS]),
        tf.constant(pairs),
    )
    positives = np.zeros((ROWS, ROWS), bool)
    positives[known, known_in1] = True
    of_pairs = BatchObjects(*numbers[:pairs].T, tf.constant(positives))

    mask = objects.positive_mask().numpy()
    np.testing.assert_array_equal(mask[:pairs, :pairs], of_pairs.positive_mask())
    assert mask[pairs:].all()
    assert mask[:, pairs:].all()
    assert_same_negatives(
        distinct_negatives(tf.zeros([ROWS]), objects, rate, seeds()),
        distinct_negatives(tf.zeros([pairs]), of_pairs, rate, seeds()),
        pairs,
        rate,
    )


def test_missing_negatives_have_no_weight():
    first = tf.constant([[1.0], [2.0], [9.0]])
    second = tf.constant([[3.0], [4.0], [9.0]])

    results = add_padded_negatives(
        first,
        second,
        tf.constant([1, 2, 0]),
        tf.constant([0.5, 2.0, 0.0]),
        tf.constant([1, -1, -1]),
    )

    expected = ([1, 2, 9, 1, 2, 9], [3, 4, 9, 4, 3, 3], [1, 2, 0, 0, 0, 0])
    for result, values in zip(results, expected, strict=False):
        np.testing.assert_array_equal(np.ravel(result), values)
    np.testing.assert_array_equal(results[3], [0.5, 2, 0, 0.5, 0, 0])
