import numpy as np
import pytest
import tensorflow as tf

from object2vec_tf.layers.hcnn import HierarchicalCNN

LENGTHS = [4, 0, 1, 7, 2]


def built(dim, layers, filter_width, token_dim=3, **options):
    """A layer with random weights, biases included."""
    layer = HierarchicalCNN(dim, layers, filter_width, **options)
    layer.build([(None, token_dim), (None, None)])
    random = np.random.default_rng(layers)
    for weight in layer.weights:
        weight.assign(random.normal(0.2, 0.6, weight.shape))
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


def convolved(steps, kernel, bias):
    """A convolution with "same" padding and ReLU, one step at a time."""
    width = len(kernel)
    before = (width - 1) // 2
    padded = np.pad(steps, [(before, width - 1 - before), (0, 0)])
    return np.maximum(
        [
            np.einsum("wi,wio->o", padded[t : t + width], kernel) + bias
            for t in range(len(steps))
        ],
        0,
    )


def encoded(steps, layer):
    """The encoding of a single object, without a batch."""
    if not len(steps):
        return np.zeros(layer.dim)
    maxima = []
    for convolution in layer.convolutions:
        steps = convolved(steps, *convolution.get_weights())
        maxima.append(steps.max(0))
    return np.concatenate(maxima)


@pytest.mark.parametrize(
    ("dim", "layers", "filter_width"),
    [(4, 1, 3), (8, 4, 3), (6, 2, 1), (6, 3, 2), (6, 2, 4), (4, 2, 9)],
)
def test_an_encoding_is_the_maximum_over_time_of_each_layer(dim, layers, filter_width):
    layer, rows = built(dim, layers, filter_width), objects()

    encodings = layer(tokens(rows))

    expected = [encoded(row, layer) for row in rows]
    assert np.count_nonzero(expected) > dim
    np.testing.assert_allclose(encodings, expected, rtol=1e-5, atol=1e-5)


def test_a_batch_of_only_empty_objects_is_encoded_as_zeros():
    encodings = built(8, 4, 3)(tokens(objects([0, 0, 0])))

    np.testing.assert_array_equal(encodings, np.zeros((3, 8)))


def test_each_layer_has_an_equal_part_of_the_width():
    layer = built(8, 4, 5)

    shapes = [tuple(weight.shape) for weight in layer.weights]

    assert shapes == [(5, 3, 2), (2,)] + 3 * [(5, 2, 2), (2,)]
    assert layer.compute_output_spec(tokens(objects())).shape == (5, 8)


def test_dropout_acts_after_the_maximum_and_only_in_training():
    layer, inputs = built(40, 2, 3, dropout=0.5, seed=1), tokens(objects())

    plain = layer(inputs, training=False).numpy()
    trained = layer(inputs, training=True).numpy()

    np.testing.assert_array_equal(plain, layer(inputs))
    np.testing.assert_array_equal(trained[:, :20], plain[:, :20])
    assert np.abs(trained[:, 20:] - plain[:, 20:]).max() > 0.1


def test_a_single_layer_has_no_dropout():
    layer, inputs = built(4, 1, 3, dropout=0.5, seed=1), tokens(objects())

    np.testing.assert_array_equal(layer(inputs, training=True), layer(inputs))


def test_the_seed_fixes_the_initial_filters():
    weights = []
    for seed in (3, 3, 4):
        layer = HierarchicalCNN(8, 2, seed=seed)
        layer.build([(None, 4), (None, None)])
        weights.append([layer.convolutions[i].get_weights()[0] for i in (0, 1)])

    np.testing.assert_array_equal(weights[0], weights[1])
    assert np.all(weights[0][0] != weights[2][0])
    assert np.all(weights[0][0] != weights[0][1])


def test_a_width_not_divisible_by_layers_is_rejected():
    with pytest.raises(ValueError, match=r"divisible by layers.*dim=10 layers=4"):
        HierarchicalCNN(10, 4)


def test_a_layer_is_restored_from_its_config():
    config = HierarchicalCNN(6, 3, 5, 0.25, seed=2, name="cnn").get_config()

    restored = HierarchicalCNN.from_config(config)

    assert (restored.dim, restored.layers, restored.filter_width) == (6, 3, 5)
    assert (restored.dropout, restored.seed, restored.name) == (0.25, 2, "cnn")
    assert restored.get_config() == config
