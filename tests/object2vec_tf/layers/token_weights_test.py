import keras
import numpy as np
import pytest
import tensorflow as tf

from object2vec_tf.layers.pooled_embedding import PooledEmbedding
from object2vec_tf.layers.token_embedding import TokenEmbedding
from object2vec_tf.layers.token_weights import TokenWeights
from object2vec_tf.optimizers import row_sparse
from tests.object2vec_tf.layers.static_layouts import static_rows

ROWS = [[4, 1, 4], [], [2], [3, 1]]
RANDOM = np.random.default_rng(5)
TABLE = RANDOM.normal(size=(7, 3)).astype(np.float32)
LOGS = RANDOM.normal(size=(7, 1)).astype(np.float32)
FACTORS = RANDOM.normal(size=(4, 3)).astype(np.float32)


def layers(pooling="weighted"):
    tokens = TokenEmbedding(7, 3, returns_ids=True)
    weights = TokenWeights(7, squares=pooling == "weighted_sqrtn")
    tokens.build(None)
    weights.build(None)
    tokens.set_weights([TABLE])
    weights.set_weights([LOGS])
    return tokens, weights, PooledEmbedding(pooling=pooling)


def weighted_means(table, logs):
    """Returns the means of the rows, and the gradients by table and logs of a sum."""
    means = np.zeros((4, 3))
    by_table, by_logs = np.zeros((7, 3)), np.zeros((7, 1))
    weights = np.exp(np.float64(logs))
    for number, row in enumerate(ROWS):
        if row:
            total = sum(weights[token] for token in row)
            means[number] = sum(weights[token] * table[token] for token in row) / total
        for token in row:
            share, factor = weights[token] / total, FACTORS[number]
            by_table[token] += share * factor
            by_logs[token] += share * factor @ (table[token] - means[number])
    return means, by_table, by_logs


def weighted_sums(table, logs):
    """Returns the same as `weighted_means`, for weighted_sqrtn."""
    sums = np.zeros((4, 3))
    by_table, by_logs = np.zeros((7, 3)), np.zeros((7, 1))
    weights = np.exp(np.float64(logs))
    for number, row in enumerate(ROWS):
        squares = sum(weights[token] ** 2 for token in row)
        total = sum(weights[token] * table[token] for token in row)
        if row:
            sums[number] = total / np.sqrt(squares)
        for token in row:
            weight, factor = weights[token] / np.sqrt(squares), FACTORS[number]
            by_table[token] += weight * factor
            of_square = weight**2 * (factor @ sums[number])
            by_logs[token] += weight * (factor @ table[token]) - of_square
    return sums, by_table, by_logs


def ragged_results(pooling):
    tokens, weights, pooled = layers(pooling)
    with tf.GradientTape() as tape:
        means = pooled(weights(tokens(tf.ragged.constant(ROWS))), training=True)
        loss = tf.reduce_sum(means * FACTORS)
    variables = [tokens.embeddings.value, weights.log_weights.value]
    return [means, *tape.gradient(loss, variables)]


def static_results(pooling):
    tokens, weights, pooled = layers(pooling)
    unique = tf.constant([4, 1, 2, 3, 7, 7])
    rows = static_rows([[0, 1, 0], [], [2], [3, 1]], len(unique), width=2)

    @tf.function(jit_compile=True)
    def results():
        with tf.GradientTape() as tape:
            vectors = tokens.lookup_unique(unique)
            vectors = weights.multiply_unique(vectors, unique)
            means, _ = pooled.encode_static(vectors, rows, training=True)
            loss = tf.reduce_sum(means[:4] * FACTORS)
        variables = [tokens.embeddings.value, weights.log_weights.value]
        return [means[:4], *tape.gradient(loss, variables)]

    return results()


@pytest.mark.parametrize("results", [ragged_results, static_results])
@pytest.mark.parametrize(
    ("pooling", "by_numpy"),
    [("weighted", weighted_means), ("weighted_sqrtn", weighted_sums)],
)
def test_encodings_and_their_gradients_are_those_of_numpy(results, pooling, by_numpy):
    means, by_table, by_logs = results(pooling)
    expected = by_numpy(TABLE, LOGS)

    np.testing.assert_allclose(means, expected[0], atol=1e-6)
    for gradient, dense in zip((by_table, by_logs), expected[1:], strict=True):
        # One row for each distinct token, whatever the size of the table.
        rows = gradient.indices.numpy()
        assert sorted(row for row in rows if row < 7) == [1, 2, 3, 4]
        received = np.zeros((8, dense.shape[1]))
        received[rows] = gradient.values
        np.testing.assert_allclose(received[:7], dense, atol=1e-6)


@pytest.mark.parametrize("name", ["Adadelta", "Adagrad", "Adam", "RMSprop", "SGD"])
def test_optimizers_update_weights_by_row_as_keras_updates_all_of_them(name):
    gradient = weighted_means(TABLE, LOGS)[2].astype(np.float32)
    gradient[2] = 0  # a rounding error: no weight matters in an object of one token
    rows = np.array([3, 1, 4, 2])
    sparse = tf.IndexedSlices(gradient[rows], tf.constant(rows), tf.constant([7, 1]))
    variables = [keras.Variable(LOGS) for _ in range(2)]
    optimizers = [
        getattr(row_sparse, f"RowSparse{name}")(0.1),
        getattr(keras.optimizers, name)(0.1),
    ]
    for optimizer, variable, value in zip(
        optimizers, variables, (sparse, tf.constant(gradient)), strict=True
    ):
        for _ in range(2):
            optimizer.apply_gradients([(value, variable)])

    np.testing.assert_allclose(variables[0], variables[1], atol=5e-6)
    assert np.all(variables[0].numpy()[[1, 3, 4]] != LOGS[[1, 3, 4]])


def test_equal_weights_of_any_scale_give_the_mean():
    tokens, weights, pooled = layers()
    weights.set_weights([np.full((7, 1), 3.0, np.float32)])

    means = pooled(weights(tokens(tf.ragged.constant(ROWS))))

    expected = [TABLE[row].mean(0) if row else np.zeros(3) for row in ROWS]
    np.testing.assert_allclose(means, expected, rtol=1e-5)


def test_tokens_without_an_id_share_one_weight():
    weights = TokenWeights(3, weights_unseen=True)
    weights.build(None)
    weights.set_weights([LOGS[:4]])
    vectors, ids = tf.constant(TABLE[:5]), tf.constant([1, 0, 3, 3, 3])
    indices = tf.ragged.constant([[0, 2, 3], [4, 1]])
    with tf.GradientTape() as tape:
        products, _ = weights((vectors, indices, ids))
        loss = tf.reduce_sum(products)
    gradient = tape.gradient(loss, weights.log_weights.value)

    expected = np.exp(LOGS[[1, 0, 3, 3, 3]]) * np.append(TABLE[:5], np.ones((5, 1)), 1)
    np.testing.assert_allclose(products, expected, rtol=1e-6)
    # Optimizers that update rows need each row once.
    received = dict(zip(gradient.indices.numpy(), gradient.values[:, 0], strict=True))
    assert sorted(received) == [0, 1, 3]
    sums = expected.sum(1)
    for row, value in ((0, sums[1]), (1, sums[0]), (3, sums[2:].sum())):
        np.testing.assert_allclose(received[row], value, rtol=1e-5)


def test_a_layer_is_restored_from_its_config():
    layer = TokenWeights(9, weights_unseen=True, squares=True, name="weights")

    restored = TokenWeights.from_config(layer.get_config())

    assert (restored.vocab_size, restored.name) == (9, "weights")
    assert (restored.weights_unseen, restored.squares) == (True, True)
