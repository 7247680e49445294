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


LARGE, TINY = 1e25, 1e-30


@pytest.mark.parametrize("factor", [1, LARGE, TINY, 3e38, 1e-44])
def test_a_vector_of_any_length_is_normalized(factor):
    vectors = np.array([[3, 4], [0, 0], [-1, 0]], np.float32) / 4 * np.float32(factor)
    expected = vectors.astype(np.float64)
    norms = np.hypot(expected[:, 0], expected[:, 1])[:, np.newaxis]
    expected /= np.where(norms > 0, norms, 1)
    np.testing.assert_allclose(ranking.normalized(vectors), expected, rtol=1e-6)
    np.testing.assert_allclose(ranking.lengths(vectors), norms[:, 0], rtol=1e-6)


def test_the_normalization_of_ordinary_vectors_is_that_of_numpy():
    vectors = np.random.default_rng(3).normal(size=(50, 7)).astype(np.float32)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    np.testing.assert_array_equal(ranking.normalized(vectors), vectors / norms)


@pytest.mark.parametrize("metric", ["cosine", "inner_product", "euclidean"])
@pytest.mark.parametrize("factor", [LARGE, TINY])
def test_items_of_any_length_are_ranked(metric, factor):
    vectors = np.random.default_rng(4).normal(size=(20, 4)).astype(np.float32)
    expected = ranking.ranks(
        vectors[:5], np.arange(5) + 3, 20, ranking.scorer(vectors, metric)
    )
    scaled = vectors * np.float32(factor)
    ranks = ranking.ranks(
        scaled[:5], np.arange(5) + 3, 20, ranking.scorer(scaled, metric)
    )
    assert ranks.tolist() == expected.tolist()
