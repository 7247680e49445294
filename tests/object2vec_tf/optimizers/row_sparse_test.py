import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from object2vec_tf.optimizers import (
    RowSparseAdadelta,
    RowSparseAdagrad,
    RowSparseAdam,
    RowSparseRMSprop,
    RowSparseRowwiseAdagrad,
    RowSparseSGD,
    RowwiseAdagrad,
    row_sparse,
)

KINDS = {
    RowSparseAdadelta: keras.optimizers.Adadelta,
    RowSparseAdagrad: keras.optimizers.Adagrad,
    RowSparseAdam: keras.optimizers.Adam,
    RowSparseRMSprop: keras.optimizers.RMSprop,
    RowSparseRowwiseAdagrad: RowwiseAdagrad,
    RowSparseSGD: keras.optimizers.SGD,
}
OPTIONS = {
    RowSparseAdadelta: {"learning_rate": 0.9, "rho": 0.8, "epsilon": 1e-3},
    RowSparseAdagrad: {
        "learning_rate": 0.3,
        "initial_accumulator_value": 0.2,
        "epsilon": 1e-3,
    },
    RowSparseAdam: {
        "learning_rate": 0.3,
        "beta_1": 0.8,
        "beta_2": 0.95,
        "epsilon": 1e-3,
    },
    RowSparseRowwiseAdagrad: {
        "learning_rate": 0.3,
        "initial_accumulator_value": 0.2,
        "epsilon": 1e-3,
    },
    RowSparseRMSprop: {"learning_rate": 0.3, "rho": 0.8, "epsilon": 1e-3},
    RowSparseSGD: {"learning_rate": 0.3},
}
each_kind = pytest.mark.parametrize("kind", KINDS)


def adadelta(g, slots, step):
    squares = 0.8 * slots[0] + 0.2 * g**2
    delta = g * np.sqrt(slots[1] + 1e-3) / np.sqrt(squares + 1e-3)
    return 0.9 * delta, [squares, 0.8 * slots[1] + 0.2 * delta**2]


def adagrad(g, slots, step):
    total = slots[0] + g**2
    return 0.3 * g / np.sqrt(total + 1e-3), [total]


def rowwise_adagrad(g, slots, step):
    total = slots[0] + (g**2).mean(axis=1, keepdims=True)
    return 0.3 * g / np.sqrt(total + 1e-3), [total]


def adam(g, slots, step):
    momentum, velocity = 0.8 * slots[0] + 0.2 * g, 0.95 * slots[1] + 0.05 * g**2
    rate = 0.3 * np.sqrt(1 - 0.95**step) / (1 - 0.8**step)
    return rate * momentum / (np.sqrt(velocity) + 1e-3), [momentum, velocity]


def rmsprop(g, slots, step):
    mean = 0.8 * slots[0] + 0.2 * g**2
    return 0.3 * g / np.sqrt(mean + 1e-3), [mean]


def sgd(g, slots, step):
    return 0.3 * g, []


# For each kind: a function that returns what to subtract from rows and the new slots,
# and the initial values of the slots.
FORMULAS = {
    RowSparseAdadelta: (adadelta, [0.0, 0.0]),
    RowSparseAdagrad: (adagrad, [0.2]),
    RowSparseAdam: (adam, [0.0, 0.0]),
    RowSparseRMSprop: (rmsprop, [0.0]),
    RowSparseRowwiseAdagrad: (rowwise_adagrad, [0.2]),
    RowSparseSGD: (sgd, []),
}
ROWS, DIM = 6, 3


def table(seed=0):
    random = np.random.default_rng(seed)
    return random.normal(size=(ROWS, DIM)).astype(np.float32)


def table_variable():
    return keras.Variable(table(), name="embeddings")


def row_gradient(rows, seed):
    """Random gradients of these rows."""
    values = np.random.default_rng(seed).normal(size=(len(rows), DIM))
    return tf.IndexedSlices(
        tf.constant(values, tf.float32),
        tf.constant(rows, tf.int64),
        tf.constant([ROWS, DIM], tf.int64),
    )


def state(optimizer, variable):
    """The table and its slots."""
    slots = [v.numpy() for v in optimizer.variables if v.shape[:1] == (ROWS,)]
    # One value per row, as a column.
    return [variable.numpy(), *(slot.reshape(ROWS, -1) for slot in slots)]


@each_kind
def test_only_rows_of_the_gradient_change_by_the_formula(kind):
    optimizer, variable = kind(**OPTIONS[kind]), table_variable()
    formula, initial = FORMULAS[kind]
    expected = [table().astype(np.float64)]
    columns = 1 if kind is RowSparseRowwiseAdagrad else DIM
    expected += [np.full((ROWS, columns), value) for value in initial]
    optimizer.build([variable])

    for step, rows in enumerate([[3, 0], [0], [5, 1, 3], [1], [3, 0, 4]], start=1):
        before = state(optimizer, variable)
        gradient = row_gradient(rows, seed=step)
        optimizer.apply([gradient], [variable])

        update, slots = formula(
            gradient.values.numpy().astype(np.float64),
            [slot[rows] for slot in expected[1:]],
            step,
        )
        expected[0][rows] -= update
        for slot, value in zip(expected[1:], slots, strict=True):
            slot[rows] = value
        after = state(optimizer, variable)
        others = np.delete(np.arange(ROWS), rows)
        for new, old, wanted in zip(after, before, expected, strict=True):
            assert new[others].tobytes() == old[others].tobytes()
            np.testing.assert_allclose(new[rows], wanted[rows], rtol=2e-6, atol=1e-6)
            assert np.all(new[rows] != old[rows])
    assert int(optimizer.iterations) == 5


@each_kind
def test_a_gradient_with_all_rows_equals_the_dense_update(kind):
    sparse, dense = kind(**OPTIONS[kind]), KINDS[kind](**OPTIONS[kind])
    one, two = table_variable(), table_variable()

    for step in range(5):
        gradient = row_gradient(
            np.random.default_rng(step).permutation(ROWS), seed=step
        )
        sparse.apply([gradient], [one])
        dense.apply([tf.convert_to_tensor(gradient)], [two])

    for rows, expected in zip(state(sparse, one), state(dense, two), strict=True):
        np.testing.assert_allclose(rows, expected, rtol=1e-6, atol=1e-6)


@each_kind
def test_a_dense_gradient_is_applied_by_keras(kind):
    sparse, dense = kind(**OPTIONS[kind]), KINDS[kind](**OPTIONS[kind])
    one, two = table_variable(), table_variable()

    for step in range(3):
        sparse.apply([tf.constant(table(step))], [one])
        dense.apply([tf.constant(table(step))], [two])

    for rows, expected in zip(state(sparse, one), state(dense, two), strict=True):
        np.testing.assert_allclose(rows, expected, rtol=1e-6, atol=1e-6)


@each_kind
def test_a_graph_gives_the_results_of_eager_execution(kind):
    def train(wrap):
        optimizer, variable = kind(**OPTIONS[kind]), table_variable()
        optimizer.build([variable])

        def step(rows, values):
            gradient = tf.IndexedSlices(values, rows, tf.constant([ROWS, DIM]))
            optimizer.apply([gradient], [variable])

        step = wrap(step)
        for rows in ([1, 4], [4, 0], [2, 4]):
            step(tf.constant(rows), row_gradient(rows, seed=rows[0]).values)
        return state(optimizer, variable)

    for graph, eager in zip(train(tf.function), train(lambda f: f), strict=True):
        np.testing.assert_allclose(graph, eager, rtol=1e-6, atol=1e-7)


@each_kind
def test_the_ops_for_xla_give_the_results_of_the_training_ops(kind, monkeypatch):
    def train():
        optimizer, variable = kind(**OPTIONS[kind]), table_variable()
        for rows in ([1, 4, 5], [4, 0, 3], [2, 4, 1]):
            optimizer.apply([row_gradient(rows, seed=rows[0])], [variable])
        return state(optimizer, variable)

    expected = train()
    monkeypatch.setattr(row_sparse, "under_xla", lambda: True)
    for received, wanted in zip(train(), expected, strict=True):
        np.testing.assert_allclose(received, wanted, rtol=1e-6, atol=1e-7)


@each_kind
def test_a_gradient_without_rows_changes_nothing(kind):
    optimizer, variable = kind(), table_variable()

    optimizer.apply([row_gradient([], seed=0)], [variable])

    np.testing.assert_array_equal(variable, table())


@each_kind
@pytest.mark.parametrize("clip", [{"clipnorm": 0.5}, {"clipvalue": 0.1}])
def test_clipping_does_not_change_other_rows(kind, clip):
    optimizer, variable = kind(**OPTIONS[kind], **clip), table_variable()
    optimizer.apply([row_gradient([0, 1, 2], seed=0)], [variable])
    before = state(optimizer, variable)

    optimizer.apply([row_gradient([1], seed=1)], [variable])

    for new, old in zip(state(optimizer, variable), before, strict=True):
        np.testing.assert_array_equal(np.flatnonzero(np.any(new != old, axis=1)), [1])


def test_clipnorm_clips_the_norm_of_all_rows():
    optimizer = RowSparseSGD(learning_rate=1.0, clipnorm=2.0)
    variable = keras.Variable(np.zeros((ROWS, DIM), np.float32))
    gradient = tf.IndexedSlices(
        tf.constant([[3.0, 0, 0], [0, 4, 0]]), tf.constant([1, 2]), tf.constant([6, 3])
    )

    optimizer.apply([gradient], [variable])

    expected = np.zeros((ROWS, DIM))
    expected[1, 0], expected[2, 1] = -3 * 2 / 5, -4 * 2 / 5
    np.testing.assert_allclose(variable, expected, rtol=1e-6)


@each_kind
def test_a_schedule_sets_the_learning_rate_of_rows(kind):
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([0], [0.1, 0.0])
    optimizer, variable = kind(learning_rate=schedule), table_variable()

    optimizer.apply([row_gradient([2], seed=0)], [variable])
    after_first_step = variable.numpy()
    optimizer.apply([row_gradient([2], seed=1)], [variable])

    assert np.all(after_first_step[2] != table()[2])
    np.testing.assert_array_equal(variable, after_first_step)


@pytest.mark.parametrize(
    ("kind", "option"),
    [
        (RowSparseSGD, {"momentum": 0.9}),
        (RowSparseRMSprop, {"momentum": 0.9}),
        (RowSparseRMSprop, {"centered": True}),
        (RowSparseAdam, {"amsgrad": True}),
        *((kind, {"weight_decay": 0.1}) for kind in KINDS),
        (RowSparseAdam, {"use_ema": True}),
        (RowSparseAdagrad, {"global_clipnorm": 1.0}),
        (RowSparseAdadelta, {"gradient_accumulation_steps": 2}),
        (RowSparseSGD, {"loss_scale_factor": 2.0}),
    ],
)
def test_options_without_a_row_update_are_rejected(kind, option):
    (name, value), *_ = option.items()
    message = f"^{kind.__name__}: expected no {name}, got {name}={value}\\. Use "
    with pytest.raises(ValueError, match=message):
        kind(**option)


@each_kind
def test_a_config_restores_the_optimizer_from_json(kind):
    optimizer = kind(**OPTIONS[kind], name="mine")

    config = json.loads(json.dumps(keras.saving.serialize_keras_object(optimizer)))
    restored = keras.saving.deserialize_keras_object(config)

    assert config["registered_name"] == f"object2vec_tf>{kind.__name__}"
    assert type(restored) is kind
    assert restored.get_config() == optimizer.get_config()
    assert float(restored.learning_rate) == pytest.approx(
        OPTIONS[kind]["learning_rate"]
    )
    assert type(kind.from_config(optimizer.get_config())) is kind
