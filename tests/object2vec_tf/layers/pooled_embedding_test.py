import numpy as np
import pytest
import tensorflow as tf

from object2vec_tf.layers.pooled_embedding import PooledEmbedding

VECTORS = np.array([[1, -2], [3, 4], [8, 1], [0.5, 0.25]], np.float32)


def tokens(lengths, vectors=VECTORS):
    return vectors, tf.RaggedTensor.from_row_lengths(tf.range(sum(lengths)), lengths)


def test_an_encoding_is_the_mean_of_the_token_vectors():
    encodings = PooledEmbedding()(tokens([3, 1]))

    np.testing.assert_allclose(encodings, [[4, 1], [0.5, 0.25]], rtol=1e-6)


def test_sqrtn_divides_the_sum_by_the_square_root_of_the_length():
    layer = PooledEmbedding(pooling="sqrtn")
    encodings = layer(tokens([3, 0, 1]))
    expected = [VECTORS[:3].sum(0) / np.sqrt(3), [0, 0], VECTORS[3]]
    np.testing.assert_allclose(encodings, expected, rtol=1e-6)
    restored = PooledEmbedding.from_config(layer.get_config())
    np.testing.assert_array_equal(restored(tokens([3, 0, 1])), encodings)


def test_an_object_without_tokens_is_encoded_as_zeros():
    np.testing.assert_array_equal(
        PooledEmbedding()(tokens([0, 2, 0])), [[0, 0], [2, 1], [0, 0]]
    )
    np.testing.assert_array_equal(PooledEmbedding()(tokens([0, 0])), np.zeros((2, 2)))


def test_a_vector_counts_as_often_as_its_token_occurs():
    indices = tf.ragged.constant([[0, 1, 0], [1]], dtype=tf.int32)
    vectors = tf.Variable(VECTORS[:2])
    with tf.GradientTape() as tape:
        encodings = PooledEmbedding()((vectors, indices))
        loss = tf.reduce_sum(encodings * [[3.0], [10.0]])

    np.testing.assert_allclose(encodings, [[5 / 3, 0], [3, 4]], rtol=1e-6)
    gradient = tf.convert_to_tensor(tape.gradient(loss, vectors))
    np.testing.assert_allclose(gradient, [[2, 2], [11, 11]], rtol=1e-6)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("pooling", ["mean", "sqrtn"])
def test_repeated_tokens_can_count_by_their_logarithm(pooling, training):
    layer = PooledEmbedding(pooling=pooling, repeated_tokens="log")
    indices = tf.ragged.constant([[0, 1, 0, 0], [], [1, 0]], dtype=tf.int32)
    counts = np.array([[1 + np.log(3), 1], [0, 0], [1, 1]])
    total = counts.sum(1, keepdims=True)
    divisor = np.maximum(total if pooling == "mean" else np.sqrt(total), 1)

    encodings = layer((VECTORS[:2], indices), training=training)

    np.testing.assert_allclose(
        encodings, counts @ VECTORS[:2] / divisor, rtol=1e-6, atol=1e-6
    )
    restored = PooledEmbedding.from_config(layer.get_config())
    np.testing.assert_array_equal(
        restored((VECTORS[:2], indices), training=training), encodings
    )


def test_the_gradient_of_an_object_without_tokens_is_finite():
    vectors = tf.Variable(VECTORS)
    with tf.GradientTape() as tape:
        encodings = PooledEmbedding()(tokens([0, 4], vectors))
        loss = tf.reduce_sum(encodings)
    gradient = tf.convert_to_tensor(tape.gradient(loss, vectors))

    np.testing.assert_array_equal(gradient, np.full((4, 2), 0.25))


def test_dropout_acts_on_the_mean_and_only_in_training():
    layer = PooledEmbedding(dropout=0.5, seed=1)
    inputs = tokens([2], np.tile(np.array([[1.0], [3.0]], np.float32), (1, 200)))

    np.testing.assert_array_equal(layer(inputs), np.full((1, 200), 2.0))
    np.testing.assert_array_equal(layer(inputs, training=False), layer(inputs))
    dropped = layer(inputs, training=True).numpy()
    # Dropout of token vectors instead would also give means of 1 and 3.
    assert set(dropped[0]) == {0.0, 4.0}
    assert 60 < np.count_nonzero(dropped) < 140


def test_a_layer_is_restored_from_its_config():
    config = PooledEmbedding(0.25, seed=3, name="mean").get_config()

    restored = PooledEmbedding.from_config(config)

    assert (restored.dropout, restored.seed, restored.name) == (0.25, 3, "mean")
    assert restored.get_config() == config
