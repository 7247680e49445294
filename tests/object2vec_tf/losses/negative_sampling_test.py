import keras
import numpy as np
import pytest
import tensorflow as tf

from object2vec_tf.losses.negative_sampling import (
    add_negatives,
    frequency_negatives,
    hard_negatives,
    uniform_negatives,
)


def drawn(batch, rate, seed=0, seeds=None):
    """Partners ``[rate, batch]``."""
    seeds = seeds or keras.random.SeedGenerator(seed)
    partners = uniform_negatives(tf.constant(batch), rate, seeds)
    assert partners.dtype == tf.int32
    return partners.numpy().reshape(rate, batch)


@pytest.mark.parametrize("batch", [2, 3, 8])
@pytest.mark.parametrize("rate", [1, 2, 7, 12])
def test_no_pair_meets_its_own_partner(batch, rate):
    for seed in range(5):
        partners = drawn(batch, rate, seed)
        assert np.all(partners != np.arange(batch))
        assert np.all((partners >= 0) & (partners < batch))


@pytest.mark.parametrize("rate", [1, 3, 7])
def test_partners_of_a_pair_are_distinct_while_there_are_enough(rate):
    for seed in range(5):
        for partners in drawn(8, rate, seed).T:
            assert len(set(partners)) == rate


@pytest.mark.parametrize(("batch", "rate"), [(8, 3), (2, 5), (5, 9)])
def test_every_in1_is_used_equally_often(batch, rate):
    np.testing.assert_array_equal(
        np.bincount(drawn(batch, rate).ravel(), minlength=batch), np.full(batch, rate)
    )


def test_beyond_the_batch_partners_repeat_as_evenly_as_can_be():
    for pair, partners in enumerate(drawn(4, 7).T):
        counts = np.bincount(partners, minlength=4)
        assert sorted(np.delete(counts, pair)) == [2, 2, 3]


def test_a_batch_of_one_pair_has_no_negatives():
    seeds = keras.random.SeedGenerator(0)
    assert uniform_negatives(tf.constant(1), 3, seeds).shape == (0,)


def test_every_partner_is_likely():
    seeds = keras.random.SeedGenerator(1)
    counts = np.zeros(5)
    for _ in range(200):
        counts[drawn(5, 1, seeds=seeds)[0, 0]] += 1
    assert counts[0] == 0
    assert np.all(counts[1:] > 25)


def test_draws_follow_the_state_of_the_seed():
    one, two = keras.random.SeedGenerator(4), keras.random.SeedGenerator(4)
    first, second = drawn(30, 3, seeds=one), drawn(30, 3, seeds=one)

    assert np.any(first != second)
    np.testing.assert_array_equal(drawn(30, 3, seeds=two), first)
    np.testing.assert_array_equal(drawn(30, 3, seeds=two), second)
    assert np.any(drawn(30, 3, seed=5) != first)


@pytest.mark.parametrize("autograph", [True, False])
def test_a_graph_draws_for_every_size_of_batch_and_anew_at_every_call(autograph):
    # Keras's fit traces without autograph, our loop with it.
    seeds = keras.random.SeedGenerator(2)

    @tf.function(autograph=autograph, input_signature=[tf.TensorSpec([], tf.int32)])
    def partners(batch):
        return uniform_negatives(batch, 2, seeds)

    assert partners(1).shape == (0,)
    np.testing.assert_array_equal(partners(2), [1, 0, 1, 0])
    draws = [partners(20).numpy() for _ in range(3)]
    assert np.any(draws[0] != draws[1])
    assert np.any(draws[1] != draws[2])


FIRST = np.array([[1, 1], [2, 2], [3, 3]], np.float32)
SECOND = -FIRST


@pytest.mark.parametrize("dtype", [tf.int32, tf.int64, tf.float32])
def test_negatives_stand_behind_the_given_pairs_and_are_labelled_zero(dtype):
    rate = 2
    partners = drawn(3, rate, seed=6).ravel()
    first, second, labels = add_negatives(
        tf.constant(FIRST),
        tf.constant(SECOND),
        tf.constant([5, 6, 7], dtype),
        tf.constant(partners),
    )

    np.testing.assert_array_equal(first[:, 0], [1, 2, 3] * 3)
    np.testing.assert_array_equal(second[:3], SECOND)
    np.testing.assert_array_equal(second[3:, 0], -(partners + 1.0))
    np.testing.assert_array_equal(labels, [5, 6, 7, 0, 0, 0, 0, 0, 0])
    assert labels.dtype == dtype


def test_a_batch_of_one_pair_stays_as_it_is():
    first, second, labels = add_negatives(
        tf.constant(FIRST[:1]),
        tf.constant(SECOND[:1]),
        tf.constant([1]),
        tf.zeros(0, tf.int32),
    )

    np.testing.assert_array_equal(first, FIRST[:1])
    np.testing.assert_array_equal(second, SECOND[:1])
    np.testing.assert_array_equal(labels, [1])


def test_gradients_reach_every_use_of_an_encoding():
    encodings = [tf.Variable(FIRST), tf.Variable(SECOND)]
    with tf.GradientTape() as tape:
        first, second, _ = add_negatives(
            *(tf.identity(e) for e in encodings),
            tf.zeros(3),
            tf.constant(drawn(3, 2).ravel()),
        )
        loss = tf.reduce_sum(first) + 10 * tf.reduce_sum(second)
    for gradient, expected in zip(tape.gradient(loss, encodings), (3, 30), strict=True):
        np.testing.assert_array_equal(gradient, np.full((3, 2), expected))


def test_hard_partners_are_drawn_by_their_cosine_and_are_no_partners():
    random = np.random.default_rng(0)
    first, second = random.normal(size=(2, 6, 4)).astype(np.float32)
    known = random.random((6, 6)) < 0.2
    seeds = keras.random.SeedGenerator(3)
    weights = np.zeros((6, 6))
    for i in range(6):
        for j in set(range(6)) - {i}:
            lengths = np.linalg.norm(first[i]) * np.linalg.norm(second[j])
            weights[i, j] = (
                0 if known[i, j] else np.exp(5 * first[i] @ second[j] / lengths)
            )
    draw = tf.function(lambda: hard_negatives(first, second, known, 1, seeds))
    counts = np.zeros((6, 6))
    for _ in range(1000):
        counts[np.arange(6), draw()] += 1

    assert np.all(counts[weights == 0] == 0)
    expected = weights / weights.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(counts / 1000, expected, atol=0.06)
    two = hard_negatives(first, second, known, 2, seeds).numpy().reshape(2, 6)
    assert np.all(two[0] != two[1])


def test_a_small_batch_gives_as_many_hard_partners_as_it_has():
    encodings, seeds = tf.constant(FIRST[:2]), keras.random.SeedGenerator(3)
    known = tf.eye(2, dtype=tf.bool)
    two = hard_negatives(encodings, encodings, known, 5, seeds)
    np.testing.assert_array_equal(two, [1, 0])
    one = hard_negatives(encodings[:1], encodings[:1], known[:1, :1], 5, seeds)
    assert one.shape == (0,)


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_frequent_partners_are_drawn_by_the_power_of_their_frequency(power):
    # A batch of 8: six times the object a, and b and c; a pair of b and its partners.
    shares = np.array([6 / 8] * 6 + [1 / 8] * 2, np.float32)
    seeds = keras.random.SeedGenerator(3)
    counts = np.zeros(8)
    for _ in range(600):
        partners = frequency_negatives(tf.math.log(shares), power, 1, seeds)
        assert np.all(partners != np.arange(8))
        counts[partners[6]] += 1
    expected = 6 * (6 / 8) ** (power - 1)
    expected = expected / (expected + (1 / 8) ** (power - 1))
    assert counts[:6].sum() / 600 == pytest.approx(expected, abs=0.07)


def test_frequent_partners_of_a_pair_are_distinct():
    seeds = keras.random.SeedGenerator(3)
    partners = frequency_negatives(tf.zeros(5), 0.5, 4, seeds).numpy().reshape(4, 5)
    for i, pair in enumerate(partners.T):
        assert sorted(pair) == [j for j in range(5) if j != i]
