import numpy as np
import pytest

from object2vec_tf.metrics.retrieval import ItemLists
from object2vec_tf.search.faiss_index import (
    add_vectors,
    new_index,
    search_index,
    search_without,
)


def expected_neighbors(items, queries, k, metric):
    """Numbers and scores in float64, by the formulas."""
    items, queries = items.astype(np.float64), queries.astype(np.float64)
    scores = queries @ items.T
    if metric == "cosine":
        lengths = (
            np.linalg.norm(queries, axis=1)[:, None],
            np.linalg.norm(items, axis=1),
        )
        scores /= lengths[0] * lengths[1]
    elif metric == "euclidean":
        scores = -np.linalg.norm(queries[:, None] - items, axis=2)
    order = np.argsort(-scores, axis=1)[:, :k]
    return np.take_along_axis(scores, order, axis=1), order


@pytest.mark.parametrize("search", ["exact", "approximate"])
@pytest.mark.parametrize("metric", ["cosine", "inner_product", "euclidean"])
@pytest.mark.parametrize("factor", [1, 1e20, 1e37, 1e-30])
def test_items_of_any_length_are_found(factor, metric, search):
    items = np.random.default_rng(2).normal(size=(60, 5)).astype(np.float32)
    items *= np.float32(factor)
    index = new_index(5, metric, search)
    add_vectors(index, items, metric)
    expected_scores, expected = expected_neighbors(items, items[:7], 4, metric)

    scores, numbers = search_index(index, items[:7], 4, metric)

    assert numbers.tolist() == expected.tolist()
    tolerance = 1e-3 * abs(expected_scores).max()  # faiss rounds distances
    np.testing.assert_allclose(scores, expected_scores, rtol=1e-4, atol=tolerance)
    if metric != "inner_product":
        assert numbers[:, 0].tolist() == list(range(7))
    none = ItemLists(np.empty(0, np.int64), np.zeros(8, np.int64))
    _, numbers = search_without(index, items[:7], 4, metric, none)
    assert numbers.tolist() == expected.tolist()


def test_more_items_than_a_block_are_searched(monkeypatch):
    monkeypatch.setattr("object2vec_tf.search.faiss_index._EXACT_ITEMS", 8)
    test_items_of_any_length_are_found(1e30, "inner_product", "exact")
