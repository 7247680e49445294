import numpy as np
import pytest
import tensorflow as tf

from object2vec_tf.layers.static_lstm import bidirectional_lstm
from tests.object2vec_tf.layers.bilstm_test import built
from tests.object2vec_tf.layers.static_layouts import (
    assert_close_in_16_bits,
    assert_same,
    both_forms,
    random_rows,
)

# The steps of a row of one token repeated can be ties of the maximum.
ROWS = [[0, 1, 0], [], [2], [3, 3, 3, 3], [4, 0, 1, 2, 3, 4, 0, 1], [1, 0]]
VECTORS = np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32)


@pytest.mark.long
def test_bilstm_encodings_and_gradients_equal_the_ragged_form():
    assert_same(*both_forms(built(6, 2), VECTORS, ROWS, width=4))


@pytest.mark.long
@pytest.mark.parametrize(
    ("layers", "width", "rows"),
    [(1, 1, ROWS), (3, 8, ROWS), (4, 2, ROWS), (1, 1, [[0], [3], [0]]), (2, 4, [[]])],
)
def test_every_depth_and_width_of_chunks_gives_the_same(layers, width, rows):
    assert_same(*both_forms(built(4, layers), VECTORS, rows, width))


@pytest.mark.long
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_products_of_less_precision_change_encodings_and_gradients_little(policy):
    layer, mixed = built(6, 2), built(6, 2, dtype=policy)
    expected, _ = both_forms(layer, VECTORS, ROWS, width=4)
    _, received = both_forms(mixed, VECTORS, ROWS, width=4)

    assert_close_in_16_bits(expected, received, policy)


@pytest.mark.long
def test_random_rows_give_the_same():
    rows, vectors = random_rows(seed=3)
    assert_same(*both_forms(built(8, 2, token_dim=6), vectors, rows, width=8))


@pytest.mark.long
def test_outputs_at_steps_without_a_token_are_constant_zeros():
    layer = built(4, 1)
    inputs = tf.constant(np.random.default_rng(2).normal(size=(5, 2, 3)), tf.float32)
    is_token = tf.constant([[True, True]] * 2 + [[True, False]] * 2 + [[False] * 2])

    @tf.function(jit_compile=True)
    def outputs_and_gradients():
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = bidirectional_lstm(
                layer.forward[0], layer.backward[0], inputs, is_token
            )
            empty = outputs * tf.cast(~is_token, tf.float32)[..., tf.newaxis]
            loss = tf.reduce_sum(empty * 3.0)
        return outputs, tape.gradient(loss, inputs)

    outputs, gradient = outputs_and_gradients()

    assert np.all(outputs.numpy()[is_token.numpy()] != 0)
    np.testing.assert_array_equal(outputs.numpy()[~is_token.numpy()], 0)
    np.testing.assert_array_equal(gradient, 0)
