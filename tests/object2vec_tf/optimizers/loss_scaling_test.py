import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from object2vec_tf.optimizers import LossScaling, RowSparseAdam, RowSparseSGD
from object2vec_tf.optimizers.loss_scaling import (
    MAX_SCALE,
    all_finite,
    unwrapped,
    with_loss_scaling,
)
from object2vec_tf.optimizers.per_replica import update_locally

INF = float("inf")


class Weights:
    """A table of five rows, a dense weight, and an optimizer with loss scaling.

    Args:
        optimizer: The optimizer without loss scaling.
        mode: eager, graph or xla: how steps run.
        **options: Those of `LossScaling`.
    """

    def __init__(self, optimizer, mode="graph", rows=5, **options):
        self.table = keras.Variable(np.full((rows, 2), 1.0, "float32"))
        self.weight = keras.Variable(np.full(2, 1.0, "float32"))
        self.variables = [self.table, self.weight]
        self.optimizer = LossScaling(optimizer, **options)
        self.optimizer.build(self.variables)
        functions = {
            "eager": self._apply,
            "graph": tf.function(self._apply),
            "xla": tf.function(self._apply, jit_compile=True),
        }
        self.function = functions[mode]

    def _apply(self, row_values, dense):
        rows = tf.IndexedSlices(row_values, tf.constant([3, 1]), tf.constant([5, 2]))
        self.optimizer.apply([rows, dense], self.variables)

    def apply(self, row_value, dense_value):
        self.function(tf.fill([2, 2], row_value), tf.fill([2], dense_value))

    @property
    def scale(self):
        return float(self.optimizer.dynamic_scale)

    def state(self):
        """Returns all that a skipped step must leave as it is."""
        inner = self.optimizer.inner_optimizer.variables
        return [variable.numpy() for variable in [*self.variables, *inner]]


@pytest.mark.parametrize("mode", ["eager", "graph", "xla"])
def test_gradients_are_divided_by_the_scale(mode):
    weights = Weights(RowSparseSGD(0.5), mode, initial_scale=4.0)

    weights.apply(8.0, 2.0)

    # 1 - 0.5 * 8 / 4, and 1 - 0.5 * 2 / 4
    np.testing.assert_array_equal(weights.table.numpy()[:, 0], [1, 0, 1, 0, 1])
    np.testing.assert_array_equal(weights.weight.numpy(), [0.75, 0.75])
    assert int(weights.optimizer.iterations) == 1
    assert weights.scale == 4


@pytest.mark.parametrize("mode", ["eager", "graph", "xla"])
@pytest.mark.parametrize("values", [(INF, 1.0), (1.0, float("nan"))])
def test_an_overflow_skips_the_step_and_halves_the_scale(mode, values):
    weights = Weights(RowSparseAdam(0.5), mode, initial_scale=16.0)
    weights.apply(8.0, 2.0)
    before = weights.state()

    weights.apply(*values)

    for received, expected in zip(weights.state(), before, strict=True):
        np.testing.assert_array_equal(received, expected)
    assert int(weights.optimizer.iterations) == 1
    assert weights.scale == 8


@pytest.mark.parametrize("mode", ["graph", "xla"])
def test_the_scale_grows_again_after_some_steps_without_overflow(mode):
    weights = Weights(
        RowSparseSGD(0.0), mode, initial_scale=8.0, dynamic_growth_steps=2
    )

    scales = []
    for value in (1.0, INF, 1.0, 1.0, 1.0, 1.0, INF, INF, INF, INF, INF):
        weights.apply(value, 1.0)
        scales.append(weights.scale)

    assert scales == [8, 4, 4, 8, 8, 16, 8, 4, 2, 1, 1]


def test_the_scale_has_a_limit():
    weights = Weights(
        RowSparseSGD(0.0), initial_scale=MAX_SCALE / 2, dynamic_growth_steps=1
    )

    for _ in range(3):
        weights.apply(1.0, 1.0)

    assert weights.scale == MAX_SCALE


def test_row_gradients_are_passed_on_as_rows():
    adam = Weights(RowSparseAdam(0.5), initial_scale=4.0)
    plain = RowSparseAdam(0.5)
    table = keras.Variable(np.full((5, 2), 1.0, "float32"))
    plain.build([table])

    adam.apply(8.0, 2.0)
    adam.apply(4.0, 2.0)
    for value in (2.0, 1.0):
        rows = tf.IndexedSlices(tf.fill([2, 2], value), tf.constant([3, 1]))
        plain.apply([rows], [table])

    assert adam.optimizer.takes_rows
    np.testing.assert_array_equal(adam.table.numpy(), table.numpy())
    np.testing.assert_array_equal(adam.table.numpy()[[0, 2, 4]], 1)


def test_wrapping_keeps_an_optimizer_that_scales_losses():
    assert not LossScaling(keras.optimizers.Adam()).takes_rows
    scaling = with_loss_scaling("sgd")
    assert isinstance(unwrapped(scaling), keras.optimizers.SGD)
    assert with_loss_scaling(scaling) is scaling
    given = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD())
    assert with_loss_scaling(given) is given
    assert unwrapped(given.inner_optimizer) is given.inner_optimizer


def test_configuration_round_trip():
    scaling = LossScaling(RowSparseSGD(0.25), initial_scale=8.0, dynamic_growth_steps=3)

    config = keras.saving.serialize_keras_object(scaling)
    received = keras.saving.deserialize_keras_object(config)

    assert type(received) is LossScaling
    assert isinstance(received.inner_optimizer, RowSparseSGD)
    assert float(received.learning_rate) == 0.25
    assert (received.initial_scale, received.dynamic_growth_steps) == (8.0, 3)


def test_gradients_are_finite():
    rows = tf.IndexedSlices(tf.constant([[1.0]]), tf.constant([0]))
    infinite_rows = tf.IndexedSlices(tf.constant([[INF]]), tf.constant([0]))

    assert all_finite([None])
    assert all_finite([tf.constant([1.0]), None, rows])
    assert not all_finite([rows, tf.constant([1.0, INF])])
    assert not all_finite([rows, infinite_rows])


def test_replicas_update_their_own_variables():
    weights = Weights(RowSparseSGD(0.5), "graph", initial_scale=4.0)
    update_locally(weights.optimizer)
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")

    @tf.function
    def step(value):
        strategy.run(weights._apply, args=(tf.fill([2, 2], value), tf.fill([2], 2.0)))

    step(tf.constant(8.0))
    step(tf.constant(INF))

    np.testing.assert_array_equal(weights.table.numpy()[:, 0], [1, 0, 1, 0, 1])
    assert weights.scale == 2


def test_a_table_is_not_copied_under_xla():
    rows = 5003
    weights = Weights(RowSparseAdam(0.5), rows=rows)
    function = tf.function(
        lambda counts: tf.while_loop(
            lambda i: i < counts,
            lambda i: (weights._apply(tf.ones([2, 2]), tf.ones([2])), i + 1)[1:],
            [tf.constant(0)],
        ),
        jit_compile=True,
    )

    text = function.experimental_get_compiler_ir(tf.constant(3))(stage="optimized_hlo")

    shape = re.escape(f"f32[{rows},2]")
    assert re.findall(rf"{shape}\S* parameter", text)
    assert not re.findall(rf"= {shape}\S* (?:copy|select)\(", text)


def test_dense_gradients_of_a_table():
    weights = Weights(keras.optimizers.SGD(0.5), initial_scale=2.0)
    dense = tf.constant(np.arange(10, dtype="float32").reshape(5, 2))

    for gradient in (dense, dense * INF):
        weights.optimizer.apply([gradient, tf.zeros(2)], weights.variables)

    np.testing.assert_array_equal(weights.table.numpy(), 1 - dense.numpy() / 4)


def test_a_step_is_skipped_because_of_another_replica():
    weights = Weights(RowSparseSGD(0.5), initial_scale=8.0)
    weights.optimizer.agree_on_steps(lambda finite: finite & False)
    before = weights.state()
    weights.apply(8.0, 8.0)
    for earlier, later in zip(before, weights.state(), strict=True):
        assert np.array_equal(earlier, later)
    assert weights.scale == 4.0
