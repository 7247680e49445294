"""Tests of row-wise Adagrad; row_sparse_test.py has tests of its row updates too."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from object2vec_tf.optimizers import (
    LossScaling,
    RowSparseRowwiseAdagrad,
    RowwiseAdagrad,
)

KINDS = [RowwiseAdagrad, RowSparseRowwiseAdagrad]
ROWS, DIM, RATE = 7, 4, 0.5
# The table and the accumulator (printed with 4 decimals) of FBGEMM 1.8.0 on a CPU after
# these steps of one batch each: EXACT_ROWWISE_ADAGRAD, eps 1e-8, learning rate 0.5,
# PoolingMode.MEAN. The gradient of the pooled rows in the n-th step is n times
# FBGEMM_UPSTREAM.
FBGEMM_INITIAL = np.arange(20, dtype=np.float32).reshape(5, 4) % 7 - 3
FBGEMM_BATCHES = [[[1, 1, 2], [3]], [[0], [1]], [[3], [3, 1, 2]]]
FBGEMM_UPSTREAM = np.array([[1, -2, 3, 0.5], [0.25, 1, -1, 2]], np.float32)
FBGEMM_TABLE = [
    [-3.2649064, -1.4701871, -1.7947195, -0.13245323],
    [0.60338336, 2.0029721, 2.7321212, -4.186135],
    [-2.3553188, -0.83183634, -0.43307012, 0.14424825],
    [1.59912, 3.0543928, -3.3307116, -3.1346488],
    [-1, 0, 1, 2],
]
FBGEMM_ACCUMULATOR = [14.25, 9.1615, 1.9115, 29.4688, 0]


def values(seed, shape=(ROWS, DIM)):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def expected_table(gradients, epsilon, initial):
    """The table after dense gradients, in float64."""
    table, total = values(0).astype(float), np.full(ROWS, initial)
    for g in gradients:
        total += (g.astype(float) ** 2).sum(axis=1) / DIM
        table -= RATE * g / np.sqrt(total + epsilon)[:, None]
    return table, total


@pytest.mark.parametrize("kind", KINDS)
def test_three_steps_equal_those_of_fbgemm(kind):
    table = keras.Variable(FBGEMM_INITIAL, name="embeddings")
    optimizer = kind(0.5, initial_accumulator_value=0.0, epsilon=1e-12)

    for step, objects in enumerate(FBGEMM_BATCHES, start=1):
        means = np.zeros((2, 5), np.float32)
        for row, ids in enumerate(objects):
            for token in ids:
                means[row, token] += 1 / len(ids)
        gradient = tf.constant(means.T @ (step * FBGEMM_UPSTREAM))
        if kind is RowSparseRowwiseAdagrad:
            rows = sorted({token for ids in objects for token in ids})
            gradient = tf.IndexedSlices(tf.gather(gradient, rows), tf.constant(rows))
        optimizer.apply([gradient], [table])

    np.testing.assert_allclose(table, FBGEMM_TABLE, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(optimizer.variables[-1], FBGEMM_ACCUMULATOR, atol=5e-5)


@pytest.mark.parametrize("name", ["embeddings", "ngrams"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_dense_gradient_of_a_table_has_one_rate_per_row(kind, name):
    gradients = [values(seed) for seed in (1, 2, 3)]
    table = keras.Variable(values(0), name=name)
    optimizer = kind(RATE, initial_accumulator_value=0.2, epsilon=1e-3)

    for gradient in gradients:
        optimizer.apply([tf.constant(gradient)], [table])

    expected, total = expected_table(gradients, 1e-3, 0.2)
    np.testing.assert_allclose(table, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(optimizer.variables[-1], total, rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_other_variables_are_updated_as_by_keras(kind):
    kernel, other = (keras.Variable(values(0), name="kernel") for _ in range(2))
    bias, other_bias = (keras.Variable(values(5, (3,)), name="bias") for _ in range(2))
    optimizer, reference = kind(RATE), keras.optimizers.Adagrad(RATE)

    for seed in (1, 2, 3):
        gradients = [tf.constant(values(seed)), tf.constant(values(seed, (3,)))]
        optimizer.apply(gradients, [kernel, bias])
        reference.apply(gradients, [other, other_bias])

    np.testing.assert_allclose(kernel, other, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(bias, other_bias, rtol=1e-6, atol=1e-7)


def test_rows_of_a_variable_that_is_no_table_have_a_rate_per_component():
    variable = keras.Variable(np.zeros((3, 2), np.float32), name="kernel")
    optimizer = RowSparseRowwiseAdagrad(1.0, initial_accumulator_value=0.0)
    gradient = tf.IndexedSlices(tf.constant([[3.0, -5.0]]), tf.constant([1]))

    optimizer.apply([gradient], [variable])

    np.testing.assert_allclose(variable, [[0, 0], [-1, 1], [0, 0]], atol=1e-5)


def test_an_overflow_under_loss_scaling_changes_no_accumulator():
    table = keras.Variable(values(0), name="embeddings")
    optimizer = LossScaling(RowSparseRowwiseAdagrad(RATE))
    optimizer.build([table])
    slot = optimizer.inner_optimizer.slots(0)[0]
    rows = tf.constant([2, 4])

    optimizer.apply([tf.IndexedSlices(tf.fill([2, DIM], np.inf), rows)], [table])
    np.testing.assert_array_equal(table, values(0))
    np.testing.assert_array_equal(slot, np.full(ROWS, 0.1, np.float32))
    scale = float(optimizer.dynamic_scale)
    optimizer.apply([tf.IndexedSlices(tf.fill([2, DIM], scale), rows)], [table])

    np.testing.assert_allclose(slot.numpy()[[2, 4, 5]], [1.1, 1.1, 0.1], rtol=1e-6)
