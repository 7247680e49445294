"""Inputs of batches that concern negatives, by hand and by sets."""

import dataclasses
import sys
import threading

import numpy as np
import pytest

import object2vec_tf as o2v
from object2vec_tf.data.batch_negatives import NegativeTally
from object2vec_tf.data.pairs import Pairs, Report
from object2vec_tf.ragged.column import RaggedColumn

HYPERPARAMETERS = o2v.Hyperparameters(
    enc0_network="pooled_embedding",
    enc0_vocab_size=50,
    enc0_max_seq_len=2,
    enc_dim=4,
    mini_batch_size=8,
    negative_sampling_rate=3,
)


def make_pairs(weights=None, rows=60, items=9, **settings):
    random = np.random.default_rng(4)
    return Pairs(
        RaggedColumn.from_rows([[int(n)] for n in random.integers(0, 12, rows)]),
        RaggedColumn.from_rows([[int(n)] for n in random.integers(0, items, rows)]),
        random.integers(0, 2, rows),
        dataclasses.replace(HYPERPARAMETERS, **settings),
        Report((), {}, {}, (), {}, ""),
        weights,
    )


def known_of(pairs):
    rows = zip(pairs.in0.values, pairs.in1.values, pairs.labels, strict=True)
    return {(int(a), int(b)) for a, b, label in rows if label > 0}


def objects_of(inputs):
    return tuple(inputs[name].values.numpy().tolist() for name in ("in0", "in1"))


@pytest.mark.parametrize("power", [1.0, 0.5])
def test_batches_have_negatives_that_are_not_known(power):
    pairs, tally = make_pairs(negative_frequency_power=power), NegativeTally()
    known, made = known_of(pairs), 0
    for inputs, _ in pairs.dataset(shuffle=True, seed=3, tally=tally):
        first, second = objects_of(inputs)
        for i, chosen in enumerate(inputs["negatives"].numpy()):
            objects = [second[j] for j in chosen if j >= 0]
            allowed = {b for b in second if (first[i], b) not in known} - {second[i]}
            assert set(objects) <= allowed
            assert len(objects) == min(3, len(allowed))
            made += len(objects)
    assert tally.totals() == {"asked": 180, "made": made, "weight": made}
    assert 90 < made < 180


def test_a_tally_is_read_while_another_thread_records():
    tally, batches = NegativeTally(), 20_000

    def record(first=0):
        for batch in range(first, first + batches):
            tally.record(batch, asked=2, made=1, weight=1.0)

    record()
    recording = threading.Thread(target=record, args=(batches,))
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        recording.start()
        while recording.is_alive():
            tally.totals(batches=1)
    finally:
        sys.setswitchinterval(interval)

    assert tally.totals()["made"] == 2 * batches


def test_negatives_depend_on_seed_epoch_and_batch_only():
    pairs = make_pairs()

    def negatives(**settings):
        settings = {"shuffle": True, "seed": 3, "epoch": 1} | settings
        return [
            inputs["negatives"].numpy().tolist()
            for inputs, *_ in pairs.dataset(**settings)
        ]

    whole = negatives()
    assert negatives() == whole
    assert negatives(first_batch=5) == whole[5:]
    assert negatives(shard=(1, 3)) == whole
    assert negatives(epoch=2) != whole
    assert negatives(seed=4) != whole


@pytest.mark.parametrize(
    "settings",
    [
        {"negative_mining": "hard"},
        {"objective": "in_batch_softmax", "negative_sampling_rate": 0},
    ],
    ids=str,
)
def test_batches_list_the_known_pairs_of_the_whole_channel(settings):
    pairs, tally = make_pairs(**settings), NegativeTally()
    known, made = known_of(pairs), 0
    for inputs, _ in pairs.dataset(shuffle=True, tally=tally):
        assert "negatives" not in inputs
        first, second = objects_of(inputs)
        index0, index1 = inputs["batch_objects"].numpy().T
        width, listed = index1.max() + 1, set(inputs["known_pairs"].numpy().tolist())
        for i, a in enumerate(first):
            for j, b in enumerate(second):
                assert (index0[i] * width + index1[j] in listed) == ((a, b) in known)
            allowed = {b for b in second if (a, b) not in known} - {second[i]}
            made += min(3, len(allowed))
    if "negative_mining" in settings:
        assert tally.totals() == {"asked": 180, "made": made, "weight": made}
    else:
        assert tally.totals() == {"asked": 0, "made": 0, "weight": 0}


def test_negatives_by_hand():
    # Tag 2 is true for object 1 and for nothing else; tag 3 for both objects.
    pairs = Pairs(
        RaggedColumn.from_rows([[1], [1], [2], [2]]),
        RaggedColumn.from_rows([[2], [3], [3], [4]]),
        np.array([1, 1, 1, 0]),
        dataclasses.replace(HYPERPARAMETERS, negative_sampling_rate=2),
        Report((), {}, {}, (), {}, ""),
        np.array([1, 10, 100, 1000], np.float32),
    )
    tally = NegativeTally()
    [(inputs, _, weights)] = pairs.dataset(shuffle=True, tally=tally)
    first, second = objects_of(inputs)
    negatives = {
        (first[i], second[i], int(weights[i])): {second[j] for j in chosen if j >= 0}
        for i, chosen in enumerate(inputs["negatives"].numpy())
    }
    assert negatives == {
        (1, 2, 1): {4},
        (1, 3, 10): {4},
        (2, 3, 100): {2, 4},
        (2, 4, 1000): {2},
    }
    assert tally.totals() == {"asked": 8, "made": 5, "weight": 1 + 10 + 200 + 1000}
    assert tally.totals(batches=0) == {"asked": 0, "made": 0, "weight": 0}


@pytest.mark.parametrize(
    ("settings", "made"),
    [
        ({}, 60 * 3),
        ({"negative_frequency_power": 0.5}, 56 * 3 + 4 * 3),
        ({"negative_sampling_rate": 9}, 60 * 9),
        ({"negative_sampling_rate": 9, "negative_mining": "hard"}, 56 * 7 + 4 * 3),
    ],
    ids=str,
)
def test_without_exclusion_the_model_draws(settings, made):
    # 60 pairs are seven batches of 8 and one of 4.
    pairs = make_pairs(negative_exclude_known=False, **settings)
    tally = NegativeTally()
    for inputs, _ in pairs.dataset(shuffle=True, tally=tally):
        assert not {"negatives", "batch_objects", "known_pairs"} & set(inputs)
    rate = settings.get("negative_sampling_rate", 3)
    assert tally.totals() == {"asked": 60 * rate, "made": made, "weight": made}


def test_batches_in_the_order_of_the_file_have_no_negatives():
    for inputs, _ in make_pairs().dataset():
        assert set(inputs) == {"in0", "in1"}


def test_objects_with_the_same_first_token_are_one_object():
    # Users 5 and 6 and movies 1 to 3; the second token is a feature of the pair.
    pairs = Pairs(
        RaggedColumn.from_rows([[5, 20], [5, 21], [6, 20], [6, 22]]),
        RaggedColumn.from_rows([[1, 30], [2, 30], [1, 31], [3, 30]]),
        np.array([1, 1, 1, 0]),
        dataclasses.replace(
            HYPERPARAMETERS,
            objective="in_batch_softmax",
            negative_sampling_rate=0,
            popularity_correction=True,
            object_key="first_token",
        ),
        Report((), {}, {}, (), {}, ""),
    )
    [(inputs, _)] = pairs.dataset(shuffle=True)
    index0, index1 = inputs["batch_objects"].numpy().T
    listed = set(inputs["known_pairs"].numpy().tolist())
    users, movies = (inputs[name].to_tensor()[:, 0].numpy() for name in ("in0", "in1"))
    for i, user in enumerate(users):
        for j, movie in enumerate(movies):
            is_known = (user, movie) in {(5, 1), (5, 2), (6, 1)}
            assert (index0[i] * (index1.max() + 1) + index1[j] in listed) == is_known
    fractions = {5: 0.5, 6: 0.5}, {1: 0.5, 2: 0.25, 3: 0.25}
    expected = [
        [fractions[0][a], fractions[1][b]] for a, b in zip(users, movies, strict=True)
    ]
    np.testing.assert_allclose(np.exp(inputs["log_frequencies"]), expected, rtol=1e-6)
