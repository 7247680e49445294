import numpy as np
import pytest
import tensorflow as tf

from object2vec_tf.layers.pooled_embedding import PooledEmbedding
from tests.object2vec_tf.layers.static_layouts import static_rows

RATE = 0.75
TOKENS = 400
# A component is zero if its token was dropped.
VECTORS = np.eye(TOKENS, dtype=np.float32)
ROWS = [list(range(TOKENS)), [], [3], list(range(TOKENS))]


def ragged(rows):
    return tf.ragged.constant(rows, dtype=tf.int32, row_splits_dtype=tf.int64)


def ragged_form(layer, training):
    return lambda: layer((VECTORS, ragged(ROWS)), training=training)


def static_form(layer, training):
    padded = tf.concat([VECTORS, np.zeros((1, TOKENS), np.float32)], axis=0)
    static = static_rows(ROWS, TOKENS + 1, width=16)
    compiled = tf.function(
        lambda padded: layer.encode_static(padded, static, training)[0],
        jit_compile=True,
    )
    return lambda: compiled(padded)[: len(ROWS)]


@pytest.mark.parametrize(
    ("form", "pooling"), [(ragged_form, "sqrtn"), (static_form, "mean")]
)
def test_a_random_part_of_the_tokens_is_summed_in_training(form, pooling):
    layer = PooledEmbedding(pooling=pooling, token_dropout=RATE, seed=1)
    # Divided by the number of all tokens, those that were dropped included.
    counts = {"mean": TOKENS, "sqrtn": TOKENS**0.5}[pooling]

    encode = form(layer, training=True)
    first, second = (encode().numpy() for _ in range(2))

    for row in (first[0], first[3], second[0]):
        kept = row != 0
        np.testing.assert_allclose(row[kept], 4 / counts, rtol=1e-6)
        assert 60 < kept.sum() < 140  # 100 is expected, with a deviation of 8.7
    assert np.any(first[0] != first[3])
    assert np.any(first[0] != second[0])
    np.testing.assert_array_equal(first[1], 0)
    assert set(first[2]) <= {0.0, 4.0}


@pytest.mark.parametrize("form", [ragged_form, static_form])
def test_all_tokens_are_summed_outside_training(form):
    plain = form(PooledEmbedding(token_dropout=RATE, seed=1), training=False)()

    np.testing.assert_allclose(plain[0], np.full(TOKENS, 1 / TOKENS), rtol=1e-6)


@pytest.mark.parametrize("pooling", ["weighted", "weighted_sqrtn"])
def test_the_weights_of_dropped_tokens_do_not_count(pooling):
    layer = PooledEmbedding(pooling=pooling, token_dropout=RATE, seed=1)
    # The layer gets products with the weights, then the weights or their squares.
    weights = np.linspace(1, 2, TOKENS, dtype=np.float32)[:, np.newaxis]
    last = weights if pooling == "weighted" else weights**2
    vectors = np.hstack([VECTORS * weights, last])

    encodings = layer((vectors, ragged(ROWS)), training=True).numpy()

    kept = encodings[0] != 0
    assert 60 < kept.sum() < 140
    total, divisor = weights[kept, 0], last[kept].sum()
    if pooling == "weighted_sqrtn":  # 4 times the sums: 3 of 4 tokens are dropped
        total, divisor = 4 * total, np.sqrt(4 * divisor)
    np.testing.assert_allclose(encodings[0, kept], total / divisor, rtol=1e-5)
    np.testing.assert_array_equal(encodings[1], 0)


def test_dropped_tokens_get_no_gradient():
    layer = PooledEmbedding(token_dropout=RATE, seed=1)
    vectors = tf.Variable(VECTORS)
    with tf.GradientTape() as tape:
        encoding = layer((vectors, ragged(ROWS[:1])), training=True)
        loss = tf.reduce_sum(encoding)

    gradient = tf.convert_to_tensor(tape.gradient(loss, vectors)).numpy()

    kept = encoding.numpy()[0] != 0
    np.testing.assert_allclose(gradient[kept], 4 / TOKENS, rtol=1e-6)
    np.testing.assert_array_equal(gradient[~kept], 0)


def test_repeated_tokens_are_dropped_one_by_one_with_their_factors():
    layer = PooledEmbedding(
        repeated_tokens="log", pooling="sqrtn", token_dropout=0.5, seed=1
    )
    rows = [[0] * 8 + [1] * 8] * 50
    factor = (1 + np.log(8)) / 8
    divisor = np.sqrt(2 * 8 * factor)

    encodings = layer((np.eye(2, dtype=np.float32), ragged(rows)), training=True)

    counts = encodings.numpy() * divisor * 0.5 / factor
    np.testing.assert_allclose(counts, counts.round(), atol=1e-4)
    assert 3.3 < counts.mean() < 4.7
    assert set(counts.round().flat) > {2, 3, 4, 5, 6}


def test_the_fraction_and_the_seed_are_restored_from_the_config():
    layer = PooledEmbedding(token_dropout=RATE, seed=3)
    config = layer.get_config()

    restored = PooledEmbedding.from_config(config)

    assert restored.get_config() == config
    encodings = ragged_form(restored, training=True)()
    assert np.count_nonzero(encodings[0]) < TOKENS / 2
    np.testing.assert_array_equal(encodings, ragged_form(layer, training=True)())
    del config["token_dropout"]  # as saved by an earlier version
    earlier = PooledEmbedding.from_config(config)
    assert np.count_nonzero(ragged_form(earlier, training=True)()[0]) == TOKENS
