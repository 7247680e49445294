import numpy as np
import pytest
import tensorflow as tf

import object2vec_tf as o2v
from object2vec_tf.layers.unique_rows import unique_rows


@pytest.mark.parametrize(
    ("rows", "unique", "indices"),
    [
        ([[3, 1], [0], [3, 1], [], []], [[3, 1], [0], []], [0, 1, 0, 2, 2]),
        ([[], []], [[]], [0, 0]),
        ([[0], [0, 0]], [[0], [0, 0]], [0, 1]),
    ],
)
def test_finds_unique_rows_in_order_of_appearance(rows, unique, indices):
    ids = tf.ragged.constant(rows, tf.int32)

    found_rows, found_indices = unique_rows(ids)

    assert found_rows.to_list() == unique
    assert found_indices.numpy().tolist() == indices


def test_indices_restore_random_rows(generator):
    lengths = generator.integers(0, 4, 200)
    values = generator.integers(0, 3, lengths.sum())
    ids = tf.RaggedTensor.from_row_lengths(values, lengths)

    rows, indices = unique_rows(ids)

    assert tf.gather(rows, indices).to_list() == ids.to_list()
    assert len(set(map(tuple, rows.to_list()))) == rows.nrows() < 200


@pytest.fixture
def generator():
    return np.random.default_rng(0)


@pytest.mark.parametrize("network", ["hcnn", "bilstm"])
def test_training_with_unique_rows_equals_encoding_every_object(network, generator):
    hyperparameters = o2v.Hyperparameters(
        enc0_network=network,
        enc0_vocab_size=20,
        enc0_max_seq_len=9,
        enc0_layers=1,
        enc0_token_embedding_dim=8,
        enc_dim=8,
        mlp_dim=8,
        optimizer="sgd",
        learning_rate=0.5,
    )
    objects = [[1, 2], [], [3], [4, 5, 6]]
    first, second = (
        tf.ragged.constant([objects[i] for i in generator.integers(0, 4, 16)])
        for _ in range(2)
    )
    batch = ({"in0": first, "in1": second}, tf.constant([0, 1] * 8))
    once, every = (o2v.Object2Vec(hyperparameters, seed=1) for _ in range(2))
    every.encode = lambda inputs, training: (
        every.enc0(inputs["in0"], training=training),
        every.enc1(inputs["in1"], training=training),
    )

    for model in (once, every):
        model.compile()
        for _ in range(3):
            model.train_step(batch)

    for one, other in zip(once.weights, every.weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    start = o2v.Object2Vec(hyperparameters, seed=1)
    assert np.abs(once.weights[0] - start.weights[0].numpy()).max() > 1e-3


def test_each_unique_object_is_encoded_once():
    model = o2v.Object2Vec(
        o2v.Hyperparameters(
            enc0_network="hcnn", enc0_vocab_size=9, enc0_max_seq_len=9, enc_dim=8
        )
    )
    encoded = []
    encode = model.enc0.call
    model.enc0.call = lambda ids, **kwargs: (
        encoded.append(ids.nrows()),
        encode(ids, **kwargs),
    )[1]
    in0 = tf.ragged.constant([[1, 2], [3], [1, 2], [1, 2]])

    scores = model({"in0": in0, "in1": tf.ragged.constant([[1], [2], [1], [1]])})

    assert [int(rows) for rows in encoded] == [2]
    np.testing.assert_array_equal(scores[0], scores[2])
