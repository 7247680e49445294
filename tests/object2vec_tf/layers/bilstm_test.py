import numpy as np
import pytest
import tensorflow as tf

from object2vec_tf.layers.bilstm import StackedBiLSTM
from tests.tolerances import tolerances

LENGTHS = [4, 0, 1, 7, 2]


def built(dim, layers, token_dim=3, **options):
    """A layer with random weights, biases included."""
    layer = StackedBiLSTM(dim, layers, **options)
    layer.build([(None, token_dim), (None, None)])
    random = np.random.default_rng(layers)
    for weight in layer.weights:
        weight.assign(random.normal(0.1, 0.7, weight.shape))
    return layer


def objects(lengths=LENGTHS, dim=3):
    random = np.random.default_rng(5)
    return [random.normal(size=(n, dim)).astype(np.float32) for n in lengths]


def tokens(rows):
    """The output of TokenEmbedding: one vector per token, and indices into them."""
    indices = tf.range(sum(map(len, rows)))
    return np.concatenate(rows), tf.RaggedTensor.from_row_lengths(
        indices, [*map(len, rows)]
    )


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm(steps, kernel, recurrent, bias):
    """An LSTM's output at every step; gates in the order i, f, c, o."""
    hidden = cell = np.zeros(len(recurrent))
    outputs = []
    for step in steps:
        gates = step @ kernel + hidden @ recurrent + bias
        entering, forget, candidate, output = np.split(gates, 4)
        cell = sigmoid(forget) * cell + sigmoid(entering) * np.tanh(candidate)
        hidden = sigmoid(output) * np.tanh(cell)
        outputs.append(hidden)
    return np.array(outputs)


def encoded(steps, layer):
    """The encoding of a single object, without a batch."""
    if not len(steps):
        return np.zeros(layer.dim)
    for forward, backward in zip(layer.forward, layer.backward, strict=True):
        ahead = lstm(steps, *forward.get_weights())
        back = lstm(steps[::-1], *backward.get_weights())[::-1]
        steps = np.concatenate([ahead, back], axis=1)
    return steps.max(0)


@pytest.mark.parametrize("layers", [1, 2, 4])
def test_an_encoding_is_the_maximum_over_time_of_the_last_layer(layers):
    layer, rows = built(6, layers), objects()

    encodings = layer(tokens(rows))

    expected = [encoded(row, layer) for row in rows]
    # Some maxima are negative, so zero padding would change them.
    assert np.min(expected) < -0.01
    np.testing.assert_allclose(encodings, expected, atol=2e-6)


def test_a_batch_of_only_empty_objects_is_encoded_as_zeros():
    encodings = built(4, 2)(tokens(objects([0, 0, 0])))

    np.testing.assert_array_equal(encodings, np.zeros((3, 4)))


def test_each_direction_has_half_of_the_width():
    layer = built(6, 2, token_dim=5)

    shapes = [
        tuple(weight.shape)
        for lstms in zip(layer.forward, layer.backward, strict=True)
        for direction in lstms
        for weight in direction.weights
    ]

    first, second = [(5, 12), (3, 12), (12,)], [(6, 12), (3, 12), (12,)]
    assert shapes == 2 * first + 2 * second
    assert layer.compute_output_spec(tokens(objects(dim=5))).shape == (5, 6)


def test_dropout_acts_between_layers_and_only_in_training():
    layer, inputs = built(20, 2, dropout=0.5, seed=1), tokens(objects())

    plain = layer(inputs, training=False).numpy()
    trained = layer(inputs, training=True).numpy()

    np.testing.assert_array_equal(plain, layer(inputs))
    filled = [0, 2, 3, 4]
    assert np.all(np.abs(trained - plain).max(1)[filled] > 0.01)
    # Nothing is dropped from the encoding itself.
    assert np.all(trained[filled] != 0)


def test_a_single_layer_has_no_dropout():
    layer, inputs = built(4, 1, dropout=0.5, seed=1), tokens(objects())

    np.testing.assert_array_equal(layer(inputs, training=True), layer(inputs))


def test_the_seed_fixes_the_initial_weights_which_differ_between_directions():
    layers = []
    for seed in (3, 3, 4):
        layer = StackedBiLSTM(6, 2, seed=seed)
        layer.build([(None, 6), (None, None)])
        layers.append(layer)
    first, same, other = ([w.numpy() for w in layer.weights] for layer in layers)

    for one, two in zip(first, same, strict=True):
        np.testing.assert_array_equal(one, two)
    matrices = [i for i, weight in enumerate(first) if weight.ndim == 2]
    assert all(np.any(first[i] != other[i]) for i in matrices)
    kernels = {first[i].tobytes() for i in matrices}
    assert len(kernels) == len(matrices) == 8


def test_an_odd_width_is_rejected():
    with pytest.raises(ValueError, match=r"dim must be even.*dim=7"):
        StackedBiLSTM(7)


def test_a_layer_is_restored_from_its_config():
    config = StackedBiLSTM(6, 3, 0.25, seed=2, name="lstms").get_config()

    restored = StackedBiLSTM.from_config(config)

    values = restored.dim, restored.layers, restored.dropout, restored.seed
    assert values == (6, 3, 0.25, 2)
    assert restored.name == "lstms"
    assert restored.get_config() == config


@pytest.mark.parametrize("lengths", [[3, 0, 7, 1, 1], [2], [0, 0], [1, 1]])
def test_the_fast_gradient_equals_tensorflows_gradient(lengths):
    layer = StackedBiLSTM(6, layers=2, seed=1)
    layer.build([(None, 4), None])
    random = np.random.default_rng(0)
    indices = tf.RaggedTensor.from_row_lengths(
        np.arange(sum(lengths), dtype=np.int32), lengths
    )
    vectors = tf.constant(random.normal(size=(sum(lengths), 4)), tf.float32)
    weights = tf.constant(random.normal(size=(len(lengths), 6)), tf.float32)

    def gradients(training):
        with tf.GradientTape() as tape:
            tape.watch(vectors)
            encodings = layer((vectors, indices), training=training)
            loss = tf.reduce_sum(encodings * weights)
        variables = [variable.value for variable in layer.trainable_variables]
        found = tape.gradient(loss, [vectors, *variables])
        return [tf.convert_to_tensor(gradient) for gradient in found]

    for fast, expected in zip(gradients(True), gradients(False), strict=True):
        np.testing.assert_allclose(fast, expected, **tolerances())
        assert max(lengths) < 2 or np.any(expected != 0)
