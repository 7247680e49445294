"""Tests of object2vec_tf/search/ranking.py; the oracle counts score by score."""

import math

import numpy as np
import pytest

from object2vec_tf.metrics import ranking


def slow_ranks(scores, truths):
    """The rank of each truth, ties sharing their middle, score by score."""
    found = []
    for row, truth in zip(scores, truths, strict=True):
        higher = sum(score > row[truth] for score in row)
        equal = sum(score == row[truth] for score in row)
        found.append(higher + (1 + equal) / 2)
    return found


@pytest.mark.parametrize("queries", [1, 7, 3000])
def test_ranks_are_those_of_each_score(queries: int):
    chance = np.random.default_rng(0)
    table = chance.integers(0, 6, (queries, 11)).astype(np.float32)  # many are equal
    truths = chance.integers(0, 11, queries)
    numbers = np.arange(queries, dtype=np.float32)[:, np.newaxis]

    found = ranking.ranks(numbers, truths, 11, lambda q: table[q[:, 0].astype(int)])

    assert found.tolist() == slow_ranks(table, truths)


def test_scores_of_a_large_pool_are_never_held_whole(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ranking, "_MOST_SCORES", 100)
    sizes = []

    def score(queries):
        sizes.append(len(queries))
        return np.tile(np.arange(30, dtype=np.float32), (len(queries), 1))

    found = ranking.ranks(np.zeros((8, 2), np.float32), np.full(8, 29), 30, score)

    assert found.tolist() == [1] * 8
    assert sizes == [3, 3, 2]


def test_metrics_order_items_as_their_formulas_do():
    items = np.array([[1, 0], [5, 5], [0, 2], [0, 0]], np.float32)
    queries = np.array([[2, 1]], np.float32)
    root = math.sqrt(5)

    def of(metric):
        return ranking.scorer(items, metric)(queries)[0]

    assert of("cosine") == pytest.approx([2 / root, 15 / root / 50**0.5, 1 / root, 0])
    assert of("inner_product").tolist() == [2, 15, 2, 0]
    assert of("euclidean").tolist() == [-2, -25, -5, -5]


def test_measures_of_four_ranks():
    told = ranking.measures(np.array([1, 2, 10, 100]), hits=(10, 1))

    assert told == pytest.approx(
        {
            "hits@1": 0.25,
            "hits@10": 0.75,
            "mean_rank": 113 / 4,
            "mrr": (1 + 1 / 2 + 1 / 10 + 1 / 100) / 4,
            "ndcg@10": (1 + 1 / math.log2(3) + 1 / math.log2(11)) / 4,
        }
    )
    assert list(told)[:2] == ["hits@1", "hits@10"]
