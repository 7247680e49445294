import itertools

import numpy as np
import pytest
import tensorflow as tf

from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.model.builders import (
    comparator_network,
    encoder_network,
    layer_seeds,
    token_embedding,
)

ENCODERS = {
    "pooled": {"enc0_network": "pooled_embedding"},
    "hcnn": {"enc0_network": "hcnn", "enc0_layers": 2},
    "hcnn, even filters": {"enc0_network": "hcnn", "enc0_cnn_filter_width": 4},
    "bilstm": {"enc0_network": "bilstm"},
    "bilstm of three layers": {"enc0_network": "bilstm", "enc0_layers": 3},
}


def settings(**values):
    base = {"enc0_max_seq_len": 9, "enc0_vocab_size": 7, "enc_dim": 8}
    if values.get("enc0_network") != "pooled_embedding":
        base["enc0_token_embedding_dim"] = 5
    return Hyperparameters(**{**base, **values})


def randomize(model, seed=1):
    """Sets every weight and bias to a random value."""
    random = np.random.default_rng(seed)
    for weight in model.weights:
        if weight.dtype == "float32":
            weight.assign(random.normal(0.1, 0.6, weight.shape))
    return model


def encoder(name, **values):
    hyperparameters = settings(**ENCODERS[name], **values)
    tokens = token_embedding(hyperparameters, 0, seed=1)
    return randomize(encoder_network(hyperparameters, 0, tokens, seed=2))


def ragged(rows):
    return tf.ragged.constant(rows, dtype=tf.int64, ragged_rank=1)


OBJECTS = [[3, 0, 6, 6], [], [5], [1, 2, 3, 4, 5, 6, 0, 0, 1], [0], [4, 4]]


@pytest.mark.parametrize("name", ENCODERS)
def test_embedding_does_not_depend_on_its_batch(name):
    network = encoder(name)

    alone = np.concatenate([network(ragged([ids])) for ids in OBJECTS])

    assert alone.shape == (6, 8)
    together = network(ragged(OBJECTS))
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-6)
    for some in ([5, 1], [4, 2], [0, 3, 1]):
        batch = network(ragged([OBJECTS[i] for i in some]))
        np.testing.assert_allclose(batch, alone[some], rtol=0, atol=1e-6)
    # Different objects have different embeddings.
    distances = [np.abs(a - b).max() for a, b in itertools.combinations(alone, 2)]
    assert min(distances) > 1e-3


@pytest.mark.parametrize("name", ENCODERS)
def test_objects_without_tokens_are_encoded_as_zeros(name):
    network = encoder(name)

    np.testing.assert_array_equal(network(ragged([[], []])), np.zeros((2, 8)))
    np.testing.assert_array_equal(network(ragged(OBJECTS))[1], np.zeros(8))


@pytest.mark.parametrize("name", ENCODERS)
def test_dense_ids_equal_ragged_ids(name):
    network = encoder(name)
    rows = [[3, 0, 6], [1, 1, 5]]

    dense = network(tf.constant(rows, tf.int64))

    np.testing.assert_allclose(dense, network(ragged(rows)), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ENCODERS)
def test_graph_encodes_batches_of_any_shape(name):
    network = encoder(name)
    traced = tf.function(
        network, input_signature=[tf.RaggedTensorSpec([None, None], tf.int64)]
    )
    assert traced(ragged([])).shape == (0, 8)
    for rows in (OBJECTS, [[]], [[1]]):
        np.testing.assert_allclose(
            traced(ragged(rows)), network(ragged(rows)), rtol=0, atol=1e-6
        )


def test_encoder_uses_the_hyperparameters_of_its_side():
    hyperparameters = Hyperparameters(
        enc0_max_seq_len=9,
        enc0_vocab_size=7,
        enc0_network="pooled_embedding",
        enc1_max_seq_len=9,
        enc1_vocab_size=11,
        enc1_network="hcnn",
        enc1_layers=2,
        enc1_cnn_filter_width=5,
        enc1_token_embedding_dim=3,
        enc_dim=8,
    )
    networks = [
        encoder_network(hyperparameters, i, token_embedding(hyperparameters, i, 0), 0)
        for i in (0, 1)
    ]

    shapes = [[tuple(w.shape) for w in network.weights] for network in networks]
    assert shapes[0] == [(7, 8)]
    assert shapes[1] == [(11, 3), (5, 3, 4), (4,), (5, 4, 4), (4,)]
    assert [network.input.name for network in networks] == ["in0", "in1"]


ACTIVATIONS = {
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
    "linear": lambda x: x,
}


def scored(first, second, weights, activation, softmax):
    """Scores of hadamard, concat, abs_diff and an MLP with these weights, in numpy."""
    hidden = np.concatenate(
        [first * second, first, second, np.abs(first - second)], axis=1
    )
    *layers, (kernel, bias) = zip(weights[::2], weights[1::2], strict=True)
    for inner_kernel, inner_bias in layers:
        hidden = ACTIVATIONS[activation](hidden @ inner_kernel + inner_bias)
    scores = hidden @ kernel + bias
    if not softmax:
        return scores
    powers = np.exp(scores - scores.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


@pytest.mark.parametrize("output_layer", ["softmax", "mean_squared_error"])
@pytest.mark.parametrize(
    ("activation", "layers"),
    [("tanh", 1), ("relu", 2), ("linear", 2), ("tanh", 3), ("relu", 0)],
)
def test_scores_equal_comparator_and_mlp(output_layer, activation, layers):
    softmax = output_layer == "softmax"
    hyperparameters = settings(
        enc_dim=4,
        mlp_layers=layers,
        mlp_dim=5,
        mlp_activation=activation,
        output_layer=output_layer,
        num_classes=3,
        dropout=0.5,
    )
    network = randomize(comparator_network(hyperparameters, seed=1))
    random = np.random.default_rng(3)
    first, second = random.normal(size=(2, 6, 4)).astype(np.float32)

    scores = network([first, second])

    weights = [weight.numpy() for weight in network.trainable_weights]
    assert len(weights) == 2 * (layers + 1)
    expected = scored(first, second, weights, activation, softmax)
    assert scores.shape == (6, 3 if softmax else 1)
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-6)


def test_comparator_uses_the_operators_of_the_hyperparameters():
    network = comparator_network(
        settings(comparator_list="abs_diff, hadamard", enc_dim=4, mlp_layers=0), seed=1
    )
    kernel = np.zeros((8, 2), np.float32)
    kernel[1, 0] = kernel[6, 1] = 1
    network.get_layer("output").kernel.assign(kernel)

    scores = network([np.float32([[1, 2, 3, 4]]), np.float32([[5, -6, 0.5, 8]])])

    # |2 + 6| and 3 * 0.5
    np.testing.assert_allclose(
        np.log(scores[:, 0] / scores[:, 1]), [8 - 1.5], rtol=1e-5
    )


def dropping(**values):
    return comparator_network(
        settings(
            enc_dim=4,
            mlp_dim=2,
            mlp_activation="tanh",
            output_layer="mean_squared_error",
            dropout=0.5,
            **values,
        ),
        seed=1,
    )


def test_dropout_follows_the_activation_and_applies_in_training_only():
    network = dropping(mlp_layers=1)
    random = np.random.default_rng(3)
    first, second = random.normal(size=(2, 1, 4)).astype(np.float32)
    network.get_layer("output").kernel.assign([[1.0], [100.0]])
    kernel, bias, *_ = network.get_weights()
    compared = np.concatenate([first * second, first, second, abs(first - second)], 1)
    one, hundred = np.tanh(compared @ kernel + bias)[0] * [1, 100]

    plain = network([first, second])
    many = [np.repeat(first, 80, axis=0), np.repeat(second, 80, axis=0)]
    trained = network(many, training=True).numpy().ravel()

    np.testing.assert_allclose(plain, [[one + hundred]], rtol=1e-5)
    # Each hidden unit is dropped or doubled.
    possible = np.array([0, 2 * one, 2 * hundred, 2 * (one + hundred)])
    nearest = np.abs(trained[:, None] - possible).argmin(1)
    np.testing.assert_allclose(trained, possible[nearest], rtol=1e-4, atol=1e-6)
    assert set(nearest) == {0, 1, 2, 3}


def test_no_dropout_without_hidden_layers():
    network = dropping(mlp_layers=0)
    encodings = np.random.default_rng(3).normal(size=(2, 5, 4)).astype(np.float32)

    np.testing.assert_array_equal(
        network([*encodings], training=True), network([*encodings])
    )


def test_layer_seeds_are_determined_by_one_number_and_differ():
    seeds = [list(itertools.islice(layer_seeds(seed), 6)) for seed in (0, 0, 1)]

    assert seeds[0] == seeds[1]
    assert not set(seeds[0]) & set(seeds[2])
    assert np.all(np.diff(seeds[0]) >= 100)
    # Keras accepts seeds of 32 bits.
    assert all(0 <= seed < 2**31 for row in seeds for seed in row)


def test_mlp_layers_have_different_initial_weights():
    network = comparator_network(
        settings(mlp_layers=3, mlp_dim=32, num_classes=32 - 2), seed=1
    )
    second = network.get_layer("mlp_1").kernel.numpy()
    third = network.get_layer("mlp_2").kernel.numpy()

    assert np.all(second != third)
