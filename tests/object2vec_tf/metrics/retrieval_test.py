"""Tests of object2vec_tf/metrics/retrieval.py; oracles are loops and hand results."""

import math

import numpy as np
import pytest

from object2vec_tf.metrics.retrieval import (
    ItemLists,
    RelevantRanks,
    evaluate_retrieval,
    popularity_metrics,
    relevant_ranks,
    retrieval_metrics,
)


def lists(*rows):
    splits = np.cumsum([0, *map(len, rows)])
    return ItemLists(np.array([i for row in rows for i in row], np.int64), splits)


def rank(scores, item, candidates):
    others = [scores[i] for i in candidates if i != item]
    higher = sum(score > scores[item] for score in others)
    return 1 + higher + sum(score == scores[item] for score in others) / 2


def slow_metrics(scores, relevant, excluded, k):
    """The metrics of rankings without ties, one query at a time."""
    found = []
    for row, own, known in zip(scores, relevant, excluded, strict=True):
        candidates = [i for i in np.argsort(-row) if i in own or i not in known]
        hits = [i in own for i in candidates]
        places = [place for place, hit in enumerate(hits, 1) if hit]
        top = sum(hits[:k])
        gain = sum(1 / math.log2(1 + place) for place in places if place <= k)
        ideal = sum(1 / math.log2(1 + i) for i in range(1, min(k, len(own)) + 1))
        found.append(
            {
                f"hits@{k}": top > 0,
                "mrr": 1 / places[0],
                f"ndcg@{k}": gain / ideal,
                f"recall@{k}": top / len(own),
                f"precision@{k}": top / k,
                "map": sum(sum(hits[:p]) / p for p in places) / len(own),
            }
        )
    return {name: np.mean([one[name] for one in found]) for name in found[0]}


def test_pairs_become_sorted_lists_of_distinct_items():
    found = ItemLists.from_pairs(np.array([2, 0, 2, 2]), np.array([5, 1, 3, 5]), 4)
    np.testing.assert_array_equal(found.items, [1, 3, 5])
    np.testing.assert_array_equal(found.splits, [0, 1, 1, 3, 3])
    np.testing.assert_array_equal(found.queries, [0, 2, 2])
    rows, items = found.entries(slice(1, 3))
    np.testing.assert_array_equal(rows, [1, 1])
    np.testing.assert_array_equal(items, [3, 5])


@pytest.mark.parametrize("max_scores", [1, 80, 1 << 24])
def test_ranks_leave_out_excluded_and_other_relevant_items(max_scores):
    generator = np.random.default_rng(4)
    # Few distinct scores, so that there are ties; the last query sorts its scores.
    scores = generator.integers(0, 6, (9, 30)).astype(np.float32)
    relevant = [generator.permutation(30)[: 1 + i % 4] for i in range(8)]
    relevant.append(generator.permutation(30)[:18])
    excluded = [generator.permutation(30)[: i % 5] for i in range(9)]
    relevant = [sorted(map(int, row)) for row in relevant]
    ranks = relevant_ranks(
        lambda queries: scores[queries],
        30,
        lists(*relevant),
        lists(*excluded),
        max_scores=max_scores,
    )
    filtered, full = [], []
    for row, own, known in zip(scores, relevant, excluded, strict=True):
        others = {*range(30)} - {*map(int, known)} - {*own}
        own_ranks = [rank(row, i, others) for i in own]
        before = [
            sum(row[j] > row[i] or (row[j] == row[i] and j < i) for j in own)
            for i in own
        ]
        filtered += own_ranks
        full += [sum(pair) for pair in zip(own_ranks, before, strict=True)]
    np.testing.assert_array_equal(ranks.filtered, filtered)
    np.testing.assert_array_equal(ranks.full, full)


def test_metrics_of_a_ranking_done_by_hand():
    # Query 0: items from best to worst 4, 2 (relevant), 0 (known), 1 (relevant), 3.
    # Query 1: 0 (relevant), then 1 to 4.
    scores = np.array([[3, 2, 4, 1, 5], [9, 8, 7, 6, 5]], np.float32)
    relevant, excluded = lists([1, 2], [0]), lists([0], [])
    ranks = relevant_ranks(lambda queries: scores[queries], 5, relevant, excluded)
    np.testing.assert_array_equal(ranks.filtered, [2, 2, 1])
    np.testing.assert_array_equal(ranks.full, [3, 2, 1])
    metrics = retrieval_metrics(ranks, relevant, [2, 1])
    root = 1 / math.log2(3)
    expected = {
        "hits@1": 1 / 2,
        "hits@2": 1.0,
        "mean_rank": 5 / 3,
        "mrr": (1 / 2 + 1) / 2,
        "ndcg@1": (0 + 1) / 2,
        "ndcg@2": (root / (1 + root) + 1) / 2,
        "recall@1": (0 + 1) / 2,
        "recall@2": (1 / 2 + 1) / 2,
        "precision@1": (0 + 1) / 2,
        "precision@2": (1 / 2 + 1 / 2) / 2,
        "map": ((1 / 2 + 2 / 3) / 2 + 1) / 2,
    }
    assert metrics == pytest.approx(expected)
    assert list(metrics) == list(expected)


@pytest.mark.parametrize("k", [1, 4, 40])
def test_metrics_of_embeddings_equal_those_of_loops(k):
    generator = np.random.default_rng(1)
    queries = generator.normal(size=(12, 5)).astype(np.float32)
    items = generator.normal(size=(25, 5)).astype(np.float32)
    relevant = [sorted(generator.permutation(25)[: 1 + i % 7]) for i in range(12)]
    excluded = [
        sorted({*range(25)} - {*own, *generator.permutation(25)[:9]})
        for own in relevant
    ]
    found = evaluate_retrieval(
        queries,
        items,
        lists(*relevant),
        lists(*excluded),
        similarity="inner_product",
        cutoffs=[k],
    )
    del found["mean_rank"]
    scores = queries @ items.T
    assert found == pytest.approx(slow_metrics(scores, relevant, excluded, k))


def test_relevant_items_with_equal_scores_are_no_misses_of_each_other():
    scores = np.zeros((1, 4), np.float32)
    scores[0, :2] = 1
    relevant = lists([0, 1])
    ranks = relevant_ranks(lambda queries: scores[queries], 4, relevant)
    found = retrieval_metrics(ranks, relevant, [1])
    perfect = {"recall@1": 0.5}
    assert found == {name: perfect.get(name, 1) for name in found}


def test_one_relevant_item_per_query_gives_the_metrics_of_its_rank():
    ranks = np.array([1, 2, 10, 100.0])
    found = retrieval_metrics(
        RelevantRanks(ranks, ranks), lists([0], [0], [0], [0]), [10]
    )
    mrr = (1 + 1 / 2 + 1 / 10 + 1 / 100) / 4
    assert found == pytest.approx(
        {
            "hits@10": 0.75,
            "mean_rank": 113 / 4,
            "mrr": mrr,
            "ndcg@10": (1 + 1 / math.log2(3) + 1 / math.log2(11)) / 4,
            "recall@10": 0.75,
            "precision@10": 0.075,
            "map": mrr,
        }
    )


def test_popularity_ranks_by_counts():
    # Item 2 is excluded for query 0; items 1 and 3 tie.
    found = popularity_metrics(
        np.array([1, 5, 9, 5]), lists([1], [2]), lists([2], []), [1]
    )
    assert (found["hits@1"], found["mean_rank"]) == (0.5, (1.5 + 1) / 2)


def test_cutoffs_may_be_far_above_the_size_of_the_pool():
    scores = np.array([[0.9, 0.8, 0.7]])
    relevant = ItemLists(np.array([1, 2]), np.array([0, 2]))
    ranks = relevant_ranks(lambda rows: scores[rows], 3, relevant)
    k = 10**20
    metrics = retrieval_metrics(ranks, relevant, [k])
    # The items have the ranks 2 and 3; the best ranking has the ranks 1 and 2.
    expected = (1 / math.log2(3) + 1 / 2) / (1 + 1 / math.log2(3))
    assert metrics[f"ndcg@{k}"] == pytest.approx(expected)
    assert metrics[f"recall@{k}"] == metrics[f"hits@{k}"] == 1.0
