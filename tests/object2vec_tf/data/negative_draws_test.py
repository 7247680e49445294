"""Draws of negatives against sets of known pairs, and against exact probabilities."""

import itertools

import numpy as np
import pytest

from object2vec_tf.data.known_pairs import KnownPairs
from object2vec_tf.data.negative_draws import NegativeDraws
from object2vec_tf.ragged.column import RaggedColumn


def column(numbers):
    return RaggedColumn.from_rows([[int(n)] for n in numbers])


def draw(first, second, labels, rate, batches, weights=None, seed=0):
    known = KnownPairs.of(column(first), column(second), np.asarray(labels))
    draws = NegativeDraws(known, rate, weights)
    return draws.draw(batches, np.random.default_rng(seed))


@pytest.mark.parametrize("weighted", [False, True])
def test_no_negative_is_known_own_or_repeated_and_none_is_missing(weighted):
    random = np.random.default_rng(int(weighted))
    for seed in range(60):
        rows, rate = int(random.integers(2, 120)), int(random.integers(1, 9))
        first = random.integers(0, random.integers(1, 20), rows)
        second = random.integers(0, random.integers(1, 30), rows)
        labels = random.integers(0, 2, rows)
        pairs = zip(first, second, labels, strict=True)
        known = {(a, b) for a, b, label in pairs if label}
        order = random.permutation(rows)
        batches = [part for part in np.array_split(order, 3) if len(part)]
        weights = random.random(rows) + 0.01 if weighted else None

        drawn = draw(first, second, labels, rate, batches, weights, seed)

        for batch, negatives in zip(batches, drawn, strict=True):
            assert negatives.dtype == np.int32
            assert negatives.shape == (len(batch), rate)
            for row, chosen in zip(batch, negatives, strict=True):
                objects = [second[batch[i]] for i in chosen if i >= 0]
                allowed = {
                    b
                    for b in second[batch]
                    if b != second[row] and (first[row], b) not in known
                }
                assert set(objects) <= allowed
                assert len(objects) == len(set(objects)) == min(rate, len(allowed))
                assert np.all(chosen[len(objects) :] == -1)


def exact_probabilities(weights, rate):
    """The probability of each set that successive draws without repeats give."""
    sets = {}
    for order in itertools.permutations(weights, rate):
        probability, rest = 1.0, sum(weights.values())
        for item in order:
            probability *= weights[item] / rest
            rest -= weights[item]
        key = frozenset(order)
        sets[key] = sets.get(key, 0) + probability
    return sets


@pytest.mark.parametrize(
    ("rounds", "row_weights"),
    [
        ((1, 2, 6), None),
        ((1, 2, 6), (1, 2, 4, 1, 1, 1, 1, 1, 5)),
        ((1,), None),
        ((), None),
    ],
    ids=["rejection", "weights", "both", "enumeration"],
)
def test_draws_have_the_probabilities_of_draws_without_repeats(
    rounds, row_weights, monkeypatch
):
    # The in1 of the batch: 0 (own), 1 four times, 2 twice, 3 (known) and 4.
    monkeypatch.setattr("object2vec_tf.data.negative_draws._ROUNDS", rounds)
    second = np.array([0, 1, 1, 1, 1, 2, 2, 3, 4])
    first, labels = np.array([9] + [8] * 6 + [9, 8]), np.ones(9)
    row_weights = np.ones(9) if row_weights is None else np.array(row_weights, float)
    weights = {b: row_weights[second == b].sum() for b in (1, 2, 4)}
    batches = [np.arange(9)] * 4000

    drawn = draw(first, second, labels, 2, batches, row_weights, seed=5)

    sets = [frozenset(second[negatives[0]].tolist()) for negatives in drawn]
    expected = exact_probabilities(weights, 2)
    assert set(sets) == set(expected)
    squares = [
        (sets.count(key) - 4000 * p) ** 2 / (4000 * p) for key, p in expected.items()
    ]
    # The 99.9% quantile of the chi-square distribution with two degrees of freedom.
    assert sum(squares) < 13.82


def test_rows_of_an_object_are_drawn_equally_often():
    second, first = np.array([0, 1, 1, 1]), np.array([5, 6, 6, 6])
    drawn = draw(first, second, np.ones(4), 1, [np.arange(4)] * 900)
    counts = np.bincount([negatives[0, 0] for negatives in drawn], minlength=4)
    assert counts[0] == 0
    assert np.all(np.abs(counts[1:] - 300) < 60)
