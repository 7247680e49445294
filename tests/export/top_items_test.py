"""Exact search of the items with the highest scores, compared with numpy."""

import numpy as np
import pytest
import tensorflow as tf

from export.top_items import TopItems

LOWEST = -3.4028234663852886e38


def numpy_top(queries, items, exclude, k, similarity="inner_product"):
    """Returns the best items by a full stable sort, from float64 scores."""
    queries, items = queries.astype(np.float64), items.astype(np.float64)
    if similarity == "cosine":
        queries, items = (
            x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-30)
            for x in (queries, items)
        )
    scores = queries @ items.T
    for row, positions in zip(scores, exclude, strict=True):
        row[[p for p in positions if 0 <= p < len(items)]] = -np.inf
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    best = np.take_along_axis(scores, order, 1)
    order = np.where(best > -np.inf, order, -1)
    missing = [(0, 0), (0, k - order.shape[1])]
    best = np.pad(best, missing, constant_values=-np.inf)
    return (
        np.pad(order, missing, constant_values=-1),
        np.where(best > -np.inf, best, LOWEST),
    )


def search(top_items, queries, exclude):
    width = max(map(len, exclude), default=0)
    padded = np.full((len(exclude), width), -1, np.int64)
    for row, positions in zip(padded, exclude, strict=True):
        row[: len(positions)] = positions
    function = tf.function(top_items, autograph=False)
    return [x.numpy() for x in function(tf.constant(queries), tf.constant(padded))]


@pytest.mark.parametrize("similarity", ["cosine", "inner_product"])
@pytest.mark.parametrize("count", [1, 5, 32, 33, 1000])
def test_the_best_items_are_numpys(similarity, count):
    generator = np.random.default_rng(count)
    items = generator.normal(size=(count, 6)).astype(np.float32)
    queries = generator.normal(size=(4, 6)).astype(np.float32)
    exclude = [generator.integers(-1, count, size=n).tolist() for n in (0, 3, 1, 400)]
    exclude[1].append(count + 7)  # not a position: ignored
    top_items = TopItems(items, similarity, 20, block_scores=400, block_items=64)
    positions, scores = search(top_items, queries, exclude)
    expected, expected_scores = numpy_top(queries, items, exclude, 20, similarity)
    np.testing.assert_array_equal(positions, expected)
    np.testing.assert_allclose(scores, expected_scores, rtol=1e-5, atol=1e-6)
    assert (positions.dtype, scores.dtype) == (np.int64, np.float32)


@pytest.mark.parametrize("batch", [1, 3, 40])  # one, two and sixteen blocks
def test_equal_scores_are_in_the_order_of_positions_across_blocks(batch):
    generator = np.random.default_rng(0)
    # 1,100 copies of seven vectors of small integers, so that products are exact.
    distinct = generator.integers(-3, 4, size=(7, 5)).astype(np.float32)
    items = distinct[generator.integers(7, size=1100)]
    queries = generator.integers(-3, 4, size=(batch, 5)).astype(np.float32)
    exclude = [generator.integers(1100, size=100).tolist() for _ in range(batch)]
    top_items = TopItems(items, "inner_product", 300, block_scores=2000, block_items=64)
    positions, scores = search(top_items, queries, exclude)
    expected, expected_scores = numpy_top(queries, items, exclude, 300)
    np.testing.assert_array_equal(positions, expected)
    np.testing.assert_array_equal(scores, expected_scores)


def test_copies_of_an_item_get_the_same_score_wherever_they_are():
    generator = np.random.default_rng(1)
    items = np.repeat(generator.normal(size=(1, 64)), 999, axis=0).astype(np.float32)
    queries = generator.normal(size=(5, 64)).astype(np.float32)
    top_items = TopItems(items, "cosine", 999, block_scores=1000, block_items=64)
    positions, scores = search(top_items, queries, [[]] * 5)
    np.testing.assert_array_equal(positions, [range(999)] * 5)
    assert (scores == scores[:, :1]).all()


def test_where_all_items_are_excluded_positions_are_missing():
    items = np.ones((40, 2), np.float32)
    top_items = TopItems(items, "inner_product", 3)
    positions, scores = search(top_items, items[:2], [[*range(40)], [*range(1, 39)]])
    np.testing.assert_array_equal(positions, [[-1, -1, -1], [0, 39, -1]])
    np.testing.assert_array_equal(
        scores, np.array([[LOWEST] * 3, [2, 2, LOWEST]], np.float32)
    )


def test_zero_vectors_have_the_cosine_zero():
    items = np.array([[-1, 0], [0, 0], [1, 0]], np.float32)
    queries = np.array([[2, 0], [0, 0]], np.float32)
    positions, scores = search(TopItems(items, "cosine", 3), queries, [[], []])
    np.testing.assert_array_equal(positions, [[2, 1, 0], [0, 1, 2]])
    np.testing.assert_array_equal(scores, [[1, 0, -1], [0, 0, 0]])


@pytest.mark.parametrize("similarity", ["cosine", "inner_product"])
def test_the_embeddings_are_those_given(similarity):
    items = np.random.default_rng(2).normal(size=(50, 3)).astype(np.float32)
    embeddings = TopItems(items, similarity, 1).embeddings(tf.constant([[7, 49]]))
    np.testing.assert_allclose(embeddings, [items[[7, 49]]], rtol=1e-6)


@pytest.mark.parametrize("similarity", ["cosine", "inner_product"])
@pytest.mark.parametrize("factor", [1e25, 3e37, 1e-20, 1e-34])
def test_items_of_any_length_are_found(similarity, factor):
    vectors = np.random.default_rng(6).normal(size=(40, 4)).astype(np.float32)
    none = np.full((5, 1), -1)
    expected, _ = numpy_top(vectors[:5], vectors, none, 3, similarity)
    scaled = vectors * np.float32(factor)
    own = vectors[:5] if similarity == "inner_product" and factor < 1 else scaled[:5]
    positions, scores = search(TopItems(scaled, similarity, 3), own, none)
    assert positions.tolist() == expected.tolist()
    assert np.isfinite(scores).all()
    if similarity == "cosine":
        np.testing.assert_allclose(scores[:, 0], 1, rtol=1e-6)
    elif factor > 1:
        assert (scores[:, 0] == np.finfo(np.float32).max).all()
