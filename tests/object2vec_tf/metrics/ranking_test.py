"""Tests of object2vec_tf/metrics/ranking.py; the oracle counts score by score."""

import math

import numpy as np
import pytest

from object2vec_tf.metrics import ranking


def slow_ranks(scores, truths):
    """The rank of each true item, the mean rank for ties, score by score."""
    ranks = []
    for row, truth in zip(scores, truths, strict=True):
        higher = sum(score > row[truth] for score in row)
        equal = sum(score == row[truth] for score in row)
        ranks.append(higher + (1 + equal) / 2)
    return ranks


@pytest.mark.parametrize("queries", [1, 7, 3000])
def test_ranks_are_counted_with_ties(queries: int):
    generator = np.random.default_rng(0)
    table = generator.integers(0, 6, (queries, 11)).astype(np.float32)  # with many ties
    truths = generator.integers(0, 11, queries)
    numbers = np.arange(queries, dtype=np.float32)[:, np.newaxis]

    ranks = ranking.ranks(numbers, truths, 11, lambda q: table[q[:, 0].astype(int)])

    assert ranks.tolist() == slow_ranks(table, truths)


def test_scores_of_a_large_pool_are_computed_in_blocks():
    sizes = []

    def score(queries):
        sizes.append(len(queries))
        return np.tile(np.arange(30, dtype=np.float32), (len(queries), 1))

    queries = np.zeros((8, 2), np.float32)
    ranks = ranking.ranks(queries, np.full(8, 29), 30, score, max_scores=100)

    assert ranks.tolist() == [1] * 8
    assert sizes == [3, 3, 2]


def test_scores_follow_their_formulas():
    items = np.array([[1, 0], [5, 5], [0, 2], [0, 0]], np.float32)
    queries = np.array([[2, 1]], np.float32)
    root = math.sqrt(5)

    def scores(metric):
        return ranking.scorer(items, metric)(queries)[0]

    assert scores("cosine") == pytest.approx(
        [2 / root, 15 / root / 50**0.5, 1 / root, 0]
    )
    assert scores("inner_product").tolist() == [2, 15, 2, 0]
    assert scores("euclidean").tolist() == [-2, -25, -5, -5]


def test_metrics_of_four_ranks():
    metrics = ranking.rank_metrics(np.array([1, 2, 10, 100]), (10, 1))

    assert metrics == pytest.approx(
        {
            "hits@1": 0.25,
            "hits@10": 0.75,
            "mean_rank": 113 / 4,
            "mrr": (1 + 1 / 2 + 1 / 10 + 1 / 100) / 4,
        }
    )
    assert list(metrics)[:2] == ["hits@1", "hits@10"]
