import keras
import numpy as np
import pytest
import tensorflow as tf

from object2vec_tf.losses.negative_sampling import (
    add_chosen_negatives,
    add_negatives,
    distinct_negatives,
    frequency_negatives,
    hard_negatives,
    uniform_negatives,
)
from object2vec_tf.losses.positive_mask import BatchObjects


def draw_uniform(batch, rate, seed=0, seeds=None):
    """Draws negatives, int32 ``[rate, batch]``."""
    seeds = seeds or keras.random.SeedGenerator(seed)
    negatives = uniform_negatives(tf.constant(batch), rate, seeds)
    assert negatives.dtype == tf.int32
    return negatives.numpy().reshape(rate, batch)


@pytest.mark.parametrize("batch", [2, 3, 8])
@pytest.mark.parametrize("rate", [1, 2, 7, 12])
def test_the_own_in1_is_never_a_negative(batch, rate):
    for seed in range(5):
        negatives = draw_uniform(batch, rate, seed)
        assert np.all(negatives != np.arange(batch))
        assert np.all((negatives >= 0) & (negatives < batch))


@pytest.mark.parametrize("rate", [1, 3, 7])
def test_negatives_of_a_pair_are_distinct_up_to_the_batch_size(rate):
    for seed in range(5):
        for negatives in draw_uniform(8, rate, seed).T:
            assert len(set(negatives)) == rate


@pytest.mark.parametrize(("batch", "rate"), [(8, 3), (2, 5), (5, 9)])
def test_every_in1_is_used_equally_often(batch, rate):
    np.testing.assert_array_equal(
        np.bincount(draw_uniform(batch, rate).ravel(), minlength=batch),
        np.full(batch, rate),
    )


def test_more_negatives_than_pairs_repeat_evenly():
    for pair, negatives in enumerate(draw_uniform(4, 7).T):
        counts = np.bincount(negatives, minlength=4)
        assert sorted(np.delete(counts, pair)) == [2, 2, 3]


def test_a_batch_of_one_pair_has_no_negatives():
    seeds = keras.random.SeedGenerator(0)
    assert uniform_negatives(tf.constant(1), 3, seeds).shape == (0,)


def test_every_other_in1_is_drawn():
    seeds = keras.random.SeedGenerator(1)
    counts = np.zeros(5)
    for _ in range(200):
        counts[draw_uniform(5, 1, seeds=seeds)[0, 0]] += 1
    assert counts[0] == 0
    assert np.all(counts[1:] > 25)


def test_draws_depend_on_the_state_of_the_seeds():
    one, two = keras.random.SeedGenerator(4), keras.random.SeedGenerator(4)
    first, second = draw_uniform(30, 3, seeds=one), draw_uniform(30, 3, seeds=one)

    assert np.any(first != second)
    np.testing.assert_array_equal(draw_uniform(30, 3, seeds=two), first)
    np.testing.assert_array_equal(draw_uniform(30, 3, seeds=two), second)
    assert np.any(draw_uniform(30, 3, seed=5) != first)


@pytest.mark.parametrize("autograph", [True, False])
def test_a_graph_handles_all_batch_sizes_and_draws_in_each_call(autograph):
    # Keras's fit traces without autograph, the loop of this package with it.
    seeds = keras.random.SeedGenerator(2)

    @tf.function(autograph=autograph, input_signature=[tf.TensorSpec([], tf.int32)])
    def draw(batch):
        return uniform_negatives(batch, 2, seeds)

    assert draw(1).shape == (0,)
    np.testing.assert_array_equal(draw(2), [1, 0, 1, 0])
    draws = [draw(20).numpy() for _ in range(3)]
    assert np.any(draws[0] != draws[1])
    assert np.any(draws[1] != draws[2])


FIRST = np.array([[1, 1], [2, 2], [3, 3]], np.float32)
SECOND = -FIRST


@pytest.mark.parametrize("dtype", [tf.int32, tf.int64, tf.float32])
def test_negatives_follow_the_given_pairs_with_label_zero(dtype):
    rate = 2
    negatives = draw_uniform(3, rate, seed=6).ravel()
    first, second, labels = add_negatives(
        tf.constant(FIRST),
        tf.constant(SECOND),
        tf.constant([5, 6, 7], dtype),
        tf.constant(negatives),
    )

    np.testing.assert_array_equal(first[:, 0], [1, 2, 3] * 3)
    np.testing.assert_array_equal(second[:3], SECOND)
    np.testing.assert_array_equal(second[3:, 0], -(negatives + 1.0))
    np.testing.assert_array_equal(labels, [5, 6, 7, 0, 0, 0, 0, 0, 0])
    assert labels.dtype == dtype


def test_a_batch_of_one_pair_does_not_change():
    first, second, labels = add_negatives(
        tf.constant(FIRST[:1]),
        tf.constant(SECOND[:1]),
        tf.constant([1]),
        tf.zeros(0, tf.int32),
    )

    np.testing.assert_array_equal(first, FIRST[:1])
    np.testing.assert_array_equal(second, SECOND[:1])
    np.testing.assert_array_equal(labels, [1])


def test_an_encoding_gets_the_gradients_of_all_its_copies():
    encodings = [tf.Variable(FIRST), tf.Variable(SECOND)]
    with tf.GradientTape() as tape:
        first, second, _ = add_negatives(
            *(tf.identity(e) for e in encodings),
            tf.zeros(3),
            tf.constant(draw_uniform(3, 2).ravel()),
        )
        loss = tf.reduce_sum(first) + 10 * tf.reduce_sum(second)
    for gradient, expected in zip(tape.gradient(loss, encodings), (3, 30), strict=True):
        np.testing.assert_array_equal(gradient, np.full((3, 2), expected))


def test_hard_negatives_are_drawn_by_cosine_and_are_not_positive():
    random = np.random.default_rng(0)
    first, second = random.normal(size=(2, 6, 4)).astype(np.float32)
    positives = random.random((6, 6)) < 0.2
    seeds = keras.random.SeedGenerator(3)
    weights = np.zeros((6, 6))
    for i in range(6):
        for j in set(range(6)) - {i}:
            lengths = np.linalg.norm(first[i]) * np.linalg.norm(second[j])
            cosine = first[i] @ second[j] / lengths
            weights[i, j] = 0 if positives[i, j] else np.exp(5 * cosine)
    draw = tf.function(lambda: hard_negatives(first, second, positives, 1, seeds))
    counts = np.zeros((6, 6))
    for _ in range(1000):
        counts[np.arange(6), draw()] += 1

    assert np.all(counts[weights == 0] == 0)
    expected = weights / weights.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(counts / 1000, expected, atol=0.06)
    two = hard_negatives(first, second, positives, 2, seeds).numpy().reshape(2, 6)
    assert np.all(two[0] != two[1])


def test_a_small_batch_gives_all_its_hard_negatives():
    encodings, seeds = tf.constant(FIRST[:2]), keras.random.SeedGenerator(3)
    positives = tf.eye(2, dtype=tf.bool)
    two = hard_negatives(encodings, encodings, positives, 5, seeds)
    np.testing.assert_array_equal(two, [1, 0])
    one = hard_negatives(encodings[:1], encodings[:1], positives[:1, :1], 5, seeds)
    assert one.shape == (0,)


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_negatives_are_drawn_by_the_power_of_their_frequency(power):
    # The in1 of a batch of 8 are six times a, then b and c. The draws for the pair of
    # b are counted.
    frequencies = np.array([6 / 8] * 6 + [1 / 8] * 2, np.float32)
    seeds = keras.random.SeedGenerator(3)
    counts = np.zeros(8)

    @tf.function
    def draw():
        return frequency_negatives(tf.math.log(frequencies), power, 1, seeds)

    for _ in range(600):
        negatives = draw().numpy()
        assert np.all(negatives != np.arange(8))
        counts[negatives[6]] += 1
    expected = 6 * (6 / 8) ** (power - 1)
    expected = expected / (expected + (1 / 8) ** (power - 1))
    assert counts[:6].sum() / 600 == pytest.approx(expected, abs=0.07)


def test_negatives_by_frequency_are_distinct_for_a_pair():
    seeds = keras.random.SeedGenerator(3)
    negatives = frequency_negatives(tf.zeros(5), 0.5, 4, seeds).numpy().reshape(4, 5)
    for i, chosen in enumerate(negatives.T):
        assert sorted(chosen) == [j for j in range(5) if j != i]


def objects_of(in0, in1, known):
    """The objects of a batch, with known pairs of object numbers."""
    width = max(in1) + 1
    keys = [a * width + b for a, b in known]
    return BatchObjects.from_known(
        tf.constant(np.stack([in0, in1], axis=1), tf.int32), tf.constant(keys, tf.int32)
    )


def test_distinct_negatives_are_not_positive_own_or_repeated():
    # in0 0 has the partners 0, 1 and 2 of 4; in0 1 has none.
    in1 = [0, 1, 2, 3, 3, 2, 0]
    objects = objects_of([0, 0, 0, 0, 1, 1, 1], in1, [(0, 0), (0, 1), (0, 2)])
    allowed = [{3}, {3}, {3}, set(), {0, 1, 2}, {0, 1, 3}, {1, 2, 3}]
    seeds = keras.random.SeedGenerator(1)
    for rate in (1, 2, 9):
        for _ in range(5):
            drawn = distinct_negatives(tf.zeros(7), objects, rate, seeds).numpy()
            assert drawn.shape == (min(rate, 6) * 7,)
            for pair, chosen in enumerate(drawn.reshape(-1, 7).T):
                numbers = [in1[i] for i in chosen if i >= 0]
                assert set(numbers) <= allowed[pair]
                assert len(numbers) == len(set(numbers))
                assert len(numbers) == min(rate, len(allowed[pair]))


@pytest.mark.parametrize("by_pair", [False, True])
def test_distinct_negatives_have_the_weights_of_all_rows_of_their_object(by_pair):
    # Row 0 chooses among object 1 (three rows, weight 2) and object 2 (weight 1).
    objects = objects_of([0, 1, 1, 1, 1], [0, 1, 1, 1, 2], [(1, 1)])
    log_weights = tf.math.log([1.0, 2.0, 2.0, 2.0, 1.0])
    if by_pair:
        log_weights = tf.stack([log_weights] + [tf.zeros(5)] * 4)
    seeds = keras.random.SeedGenerator(4)
    draw = tf.function(lambda: distinct_negatives(log_weights, objects, 1, seeds)[0])

    drawn = [int(draw()) for _ in range(400)]

    assert set(drawn) == {1, 4}
    # Six in seven, plus or minus three standard deviations.
    assert drawn.count(1) / 400 == pytest.approx(6 / 7, abs=0.053)


@pytest.mark.parametrize("weighted", [False, True])
def test_missing_negatives_add_nothing(weighted):
    encodings = [tf.Variable(FIRST), tf.Variable(SECOND)]
    weights = tf.constant([0.5, 1.0, 2.0]) if weighted else None
    with tf.GradientTape() as tape:
        # Pair 0 has the negatives 1 and 2, pair 1 has none, and pair 2 has 0.
        first, second, labels, all_weights = add_chosen_negatives(
            *(tf.identity(e) for e in encodings),
            tf.constant([5, 6, 7]),
            weights,
            tf.constant([1, -1, 0, 2, -1, -1]),
            tf.constant(SECOND),
        )
        loss = tf.reduce_sum(first)

    np.testing.assert_array_equal(first[:, 0], [1, 2, 3, 1, 3, 1])
    np.testing.assert_array_equal(second[:, 0], [-1, -2, -3, -2, -1, -3])
    np.testing.assert_array_equal(labels, [5, 6, 7, 0, 0, 0])
    if weighted:
        np.testing.assert_array_equal(all_weights, [0.5, 1, 2, 0.5, 2, 0.5])
    else:
        assert all_weights is None
    np.testing.assert_array_equal(
        tf.convert_to_tensor(tape.gradient(loss, encodings[0]))[:, 0], [3, 1, 2]
    )
