import keras
import numpy as np
import pytest
import tensorflow as tf

from object2vec_tf.distributed.batch_shard import BatchEncodings, FullBatch
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.model.batch_inputs import Batch
from object2vec_tf.model.negative_samplers import (
    FrequencyNegatives,
    HardNegatives,
    NoNegatives,
    UniformNegatives,
    make_negative_sampler,
)

FIRST = np.array([[1, 0], [0, 1], [1, 1]], np.float32)
SECOND = np.array([[10, 1], [20, 2], [30, 4]], np.float32)
LABELS = np.array([1, 2, 3])
WEIGHTS = np.array([0.5, 1.0, 2.0], np.float32)
RATE = 2


def seeds(seed=0):
    return keras.random.SeedGenerator(seed)


def ragged(rows):
    return tf.ragged.constant(rows, dtype=tf.int64, ragged_rank=1)


def inputs(in0=((1,), (2,), (3,)), log_frequencies=None):
    """The inputs of a batch of three pairs."""
    tensors = {"in0": ragged(in0), "in1": ragged([[7], [8], [9]])}
    if log_frequencies is not None:
        tensors["log_frequencies"] = tf.constant(log_frequencies, tf.float32)
    return tensors


def add(sampler, batch_inputs, weights=WEIGHTS, count=3):
    """Adds negatives to the first pairs of the batch."""
    encodings = BatchEncodings(
        FullBatch(), (tf.constant(FIRST[:count]), tf.constant(SECOND[:count]))
    )
    labels = tf.constant(LABELS[:count])
    weights = None if weights is None else tf.constant(weights[:count])
    return sampler.add(encodings, Batch(batch_inputs, labels, weights))


def negative_indices(pairs):
    """Returns the indices of the negatives after three pairs, ``[rate, 3]``."""
    rows = [SECOND.tolist().index(row) for row in pairs.second[3:].numpy().tolist()]
    return np.reshape(rows, (-1, 3))


@pytest.mark.parametrize(
    ("settings", "kind", "needs_all_pairs"),
    [
        ({}, NoNegatives, (False, False)),
        ({"negative_sampling_rate": 2}, UniformNegatives, (False, True)),
        (
            {"negative_sampling_rate": 2, "negative_frequency_power": 1.0},
            UniformNegatives,
            (False, True),
        ),
        (
            {"negative_sampling_rate": 2, "negative_frequency_power": 0.75},
            FrequencyNegatives,
            (False, True),
        ),
        (
            {"negative_sampling_rate": 2, "negative_mining": "hard"},
            HardNegatives,
            (True, True),
        ),
    ],
    ids=str,
)
def test_hyperparameters_select_the_sampler(settings, kind, needs_all_pairs):
    hyperparameters = Hyperparameters(enc0_vocab_size=9, enc0_max_seq_len=2, **settings)

    sampler = make_negative_sampler(hyperparameters, seeds())

    assert type(sampler) is kind
    assert sampler.needs_all_pairs == needs_all_pairs


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["unweighted", "weighted"])
def test_no_negatives_keep_the_pairs(weights):
    pairs = add(NoNegatives(), inputs(), weights)

    np.testing.assert_array_equal(pairs.first, FIRST)
    np.testing.assert_array_equal(pairs.second, SECOND)
    np.testing.assert_array_equal(pairs.labels, LABELS)
    if weights is None:
        assert pairs.weights is None
    else:
        np.testing.assert_array_equal(pairs.weights, WEIGHTS)


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["unweighted", "weighted"])
@pytest.mark.parametrize(
    "sampler",
    [
        UniformNegatives(RATE, seeds()),
        FrequencyNegatives(RATE, seeds(), 0.5),
        HardNegatives(RATE, seeds()),
    ],
    ids=lambda sampler: type(sampler).__name__,
)
def test_negatives_have_label_zero_and_the_weight_of_their_pair(sampler, weights):
    batch_inputs = inputs(log_frequencies=np.log(np.full((3, 2), 1 / 3)))

    pairs = add(sampler, batch_inputs, weights)

    np.testing.assert_array_equal(pairs.first, np.tile(FIRST, (1 + RATE, 1)))
    np.testing.assert_array_equal(pairs.second[:3], SECOND)
    # Three pairs have two negatives each: the in1 of both other pairs.
    np.testing.assert_array_equal(
        np.sort(negative_indices(pairs), axis=0), [[1, 0, 0], [2, 2, 1]]
    )
    np.testing.assert_array_equal(pairs.labels, [1, 2, 3, 0, 0, 0, 0, 0, 0])
    if weights is None:
        assert pairs.weights is None
    else:
        np.testing.assert_array_equal(pairs.weights, [0.5, 1, 2] * 3)


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["unweighted", "weighted"])
def test_a_batch_of_one_pair_gets_no_negatives(weights):
    pairs = add(UniformNegatives(RATE, seeds()), inputs(), weights, count=1)

    np.testing.assert_array_equal(pairs.first, FIRST[:1])
    np.testing.assert_array_equal(pairs.second, SECOND[:1])
    np.testing.assert_array_equal(pairs.labels, LABELS[:1])
    assert pairs.weights is None or pairs.weights.numpy().tolist() == [0.5]


def test_uniform_negatives_use_each_in1_equally_often():
    for seed in range(5):
        negatives = negative_indices(add(UniformNegatives(1, seeds(seed)), inputs()))
        np.testing.assert_array_equal(np.sort(negatives), [[0, 1, 2]])


def test_frequency_negatives_use_the_frequencies_of_in1():
    # A power of 0 gives the weights 1 / frequency. The in1 of pair 2 is so rare that
    # pairs 0 and 1 always get it. The frequencies of in0 have no effect.
    log_frequencies = [[-50, 0], [0, 0], [0, -50]]
    for seed in range(5):
        pairs = add(
            FrequencyNegatives(1, seeds(seed), 0.0),
            inputs(log_frequencies=log_frequencies),
        )
        np.testing.assert_array_equal(negative_indices(pairs)[0, :2], [2, 2])


def test_frequency_negatives_require_frequencies():
    sampler = FrequencyNegatives(1, seeds(), 0.5)
    batch_inputs = inputs()
    with pytest.raises(ValueError, match="expected the key 'log_frequencies'"):
        add(sampler, batch_inputs)


def test_hard_negatives_exclude_positive_pairs():
    # Pairs 0 and 1 have the same in0, so the in1 of both are its partners.
    for seed in range(5):
        pairs = add(HardNegatives(1, seeds(seed)), inputs(in0=[[1], [1], [3]]))
        np.testing.assert_array_equal(negative_indices(pairs)[0, :2], [2, 2])


@pytest.mark.long
def test_hard_negatives_are_similar_to_in0():
    """The weights are exp(5 cosine): e^5 to e^-5 here."""
    encodings = BatchEncodings(
        FullBatch(),
        (
            tf.constant([[1.0, 0], [0, 1], [0, 1]]),
            tf.constant([[0.0, 1], [5, 0], [-5, 0]]),
        ),
    )
    labels, sampler = tf.constant([1, 1, 1]), HardNegatives(1, seeds(3))
    counts = np.zeros(3)
    for _ in range(200):
        pairs = sampler.add(encodings, Batch(inputs(), labels))
        counts[{0: 0, 5: 1, -5: 2}[int(pairs.second[3, 0])]] += 1

    assert counts[0] == 0
    assert counts[1] >= 195


EXCLUDING = [
    UniformNegatives(RATE, seeds(), exclude_known=True),
    FrequencyNegatives(RATE, seeds(), 0.5, exclude_known=True),
    HardNegatives(RATE, seeds(), exclude_known=True),
]


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["unweighted", "weighted"])
@pytest.mark.parametrize(
    "sampler", EXCLUDING, ids=lambda sampler: type(sampler).__name__
)
def test_partners_in_the_batch_are_not_negatives(sampler, weights):
    # Pairs 0 and 1 have the same in0, so only the in1 of pair 2 is left for them.
    batch_inputs = inputs([[1], [1], [3]], np.log(np.full((3, 2), 1 / 3)))

    pairs = add(sampler, batch_inputs, weights)

    made = zip(pairs.first[3:].numpy(), pairs.second[3:].numpy(), strict=True)
    indices = sorted(
        (FIRST.tolist().index(a.tolist()), SECOND.tolist().index(b.tolist()))
        for a, b in made
    )
    assert indices == [(0, 2), (1, 2), (2, 0), (2, 1)]
    np.testing.assert_array_equal(pairs.labels, [1, 2, 3, 0, 0, 0, 0])
    assert (int(pairs.counts.own), int(pairs.counts.batch)) == (7, 7)
    if weights is None:
        assert pairs.weights is None
    else:
        assert sorted(pairs.weights[3:].numpy().tolist()) == [0.5, 1, 2, 2]


def test_negatives_of_the_dataset_are_used():
    batch_inputs = inputs() | {"negatives": tf.constant([[2, 1], [-1, -1], [1, -1]])}

    pairs = add(UniformNegatives(RATE, seeds(), exclude_known=True), batch_inputs)

    np.testing.assert_array_equal(pairs.first[3:], FIRST[[0, 2, 0]])
    np.testing.assert_array_equal(pairs.second[3:], SECOND[[2, 1, 1]])
    np.testing.assert_array_equal(pairs.weights, [0.5, 1, 2, 0.5, 2, 0.5])


def test_hard_negatives_exclude_the_known_pairs_of_the_dataset():
    # in0 0 is known with the in1 of pair 2, which the batch itself does not show.
    batch_inputs = inputs() | {
        "batch_objects": tf.constant([[0, 0], [1, 1], [2, 2]]),
        "known_pairs": tf.constant([0, 4, 8, 2]),
    }

    pairs = add(HardNegatives(RATE, seeds(), exclude_known=True), batch_inputs)

    own = pairs.first[3:].numpy().tolist()
    chosen = [
        SECOND.tolist().index(b)
        for a, b in zip(own, pairs.second[3:].numpy().tolist(), strict=True)
        if a == FIRST[0].tolist()
    ]
    assert chosen == [1]
