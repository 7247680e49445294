import keras
import numpy as np
import pytest
import tensorflow as tf

from object2vec_tf.optimizers import (
    LossScaling,
    RowSparseAdagrad,
    RowSparseAdam,
    RowSparseRowwiseAdagrad,
    RowSparseSGD,
)
from object2vec_tf.optimizers.temporary_variables import rows_of

KINDS = [RowSparseAdam, RowSparseRowwiseAdagrad, RowSparseSGD]
# The number of slots of a table.
SLOTS = {RowSparseAdam: 2, RowSparseRowwiseAdagrad: 1, RowSparseSGD: 0}


def table_variable():
    values = np.arange(12, dtype=np.float32).reshape(6, 2) / 10
    return keras.Variable(values, name="embeddings")


def step(table, optimizer, rows):
    """Trains on the sum of the squares of rows, whose gradient is twice the rows."""
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(tf.gather(table.value, rows)))
        loss = optimizer.scale_loss(loss)
    optimizer.apply([tape.gradient(loss, table.value)], [table])


def gathers(function, *arguments):
    graph = function.get_concrete_function(*arguments).graph
    return [op for op in graph.get_operations() if op.type == "ResourceGather"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_looks_the_rows_of_a_table_up_once(kind):
    table, optimizer = table_variable(), kind(0.1)
    optimizer.build([table])

    train = tf.function(lambda rows: step(table, optimizer, rows), autograph=False)

    assert len(gathers(train, tf.constant([1, 4]))) == 1 + SLOTS[kind]


def train_in_loop(table, optimizer, wrap):
    """Trains three steps on row 4 and on the row of the step's number."""

    def once(number):
        step(table, optimizer, tf.stack([4, number]))
        return [number + 1]

    def loop():
        tf.while_loop(lambda number: number < 3, once, [tf.constant(0)])

    wrap(loop)()


@pytest.mark.parametrize("kind", [*KINDS, RowSparseAdagrad])
@pytest.mark.parametrize("scaled", [False, True])
def test_each_step_of_a_loop_reads_the_rows_of_the_step_before(kind, scaled):
    results = []
    for wrap in (lambda f: tf.function(f, autograph=False), lambda f: f):
        table, optimizer = table_variable(), kind(0.1)
        if scaled:  # updates in a branch of a condition
            optimizer = LossScaling(optimizer, initial_scale=8.0)
        optimizer.build([table])
        train_in_loop(table, optimizer, wrap)
        results.append(table.numpy())

    np.testing.assert_allclose(*results, rtol=1e-6)
    if kind is RowSparseSGD:  # each step multiplies a row by 1 - 2 * 0.1
        expected = table_variable().numpy()
        expected[:3] *= 0.8
        expected[4] *= 0.8**3
        np.testing.assert_allclose(results[0], expected, rtol=1e-6)


def train_on_the_same_rows(table, optimizer, wrap):
    def train(rows):
        for _ in range(3):
            step(table, optimizer, rows)

    wrap(train)(tf.constant([4, 1]))


@pytest.mark.parametrize("kind", [*KINDS, RowSparseAdagrad])
def test_steps_of_one_graph_on_the_same_rows_follow_each_other(kind):
    results = []
    for wrap in (lambda f: tf.function(f, autograph=False), lambda f: f):
        table, optimizer = table_variable(), kind(0.1)
        optimizer.build([table])
        train_on_the_same_rows(table, optimizer, wrap)
        results.append(table.numpy())

    np.testing.assert_allclose(*results, rtol=1e-6)
    if kind is RowSparseSGD:  # each step multiplies a row by 1 - 2 * 0.1
        expected = table_variable().numpy()
        expected[[1, 4]] *= 0.8**3
        np.testing.assert_allclose(results[0], expected, rtol=1e-6)


def test_rows_of_another_variable_are_looked_up():
    first, second = tf.Variable([[1.0], [2.0]]), tf.Variable([[3.0], [4.0]])

    @tf.function
    def read(rows):
        return tf.gather(first, rows), rows_of(second, rows)

    np.testing.assert_array_equal(read(tf.constant([1]))[1], [[4.0]])
    assert len(gathers(read, tf.constant([1]))) == 2
