"""Ranks of true items in a pool, and their metrics: hits@k, mean rank and MRR.

Sources:

* hits@k and mean rank: Wu et al. 2017, "StarSpace: Embed All The Things!", as in AWS's
  notebook on document embedding.
* MRR: Voorhees 1999, "The TREC-8 Question Answering Track Report".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
# float32, or float64 where float32 overflows.
Scores = npt.NDArray[np.floating[Any]]
Positions = npt.NDArray[np.int64]
Ranks = npt.NDArray[np.float64]
# Maps queries ``[queries, dim]`` to the scores of all items, ``[queries, items]``.
Scorer = Callable[[Vectors], Scores]

METRICS: Final = ("cosine", "inner_product", "euclidean")
# The squares of vectors whose lengths are between these are exact in float32.
SHORT: Final = 1e-15
LONG: Final = 1e18
# Products of float32 are exact between these.
_MIN_PRODUCT: Final = 1e-30
_MAX_PRODUCT: Final = 1e38
# Scores in memory at a time: 2**24 of them take 64 MB.
_MAX_SCORES: Final = 1 << 24
_MAX_QUERIES: Final = 1024


def scorer(items: Vectors, metric: str) -> Scorer:
    """Returns the function that scores queries against a pool; higher means nearer.

    Args:
        items: The embeddings of the pool, float32 ``[items, dim]``.
        metric: One of `METRICS`. The scores of ``euclidean`` are negative squared
            distances.
    """
    if metric == "cosine":
        unit_items = normalized(items)
        return lambda queries: normalized(queries) @ unit_items.T
    largest = largest_magnitude(items)

    def score(queries: Vectors) -> Scores:
        if needs_float64(largest_magnitude(queries), largest, items.shape[1]):
            return dense_scores(
                queries.astype(np.float64), items.astype(np.float64), metric
            )
        return dense_scores(queries, items, metric)

    return score


def dense_scores(queries: Scores, items: Scores, metric: str) -> Scores:
    """Returns inner products or negative squared distances, ``[queries, items]``.

    Args:
        queries: float ``[queries, dim]``.
        items: ``[items, dim]``, of the same type.
        metric: inner_product or euclidean.
    """
    products = queries @ items.T
    if metric == "inner_product":
        return products
    item_squares = np.einsum("ij,ij->i", items, items)
    query_squares = np.einsum("ij,ij->i", queries, queries)[:, np.newaxis]
    return np.asarray(2 * products - item_squares - query_squares, items.dtype)


def largest_magnitude(vectors: Vectors) -> float:
    """Returns the largest absolute value of vectors, 0 for none."""
    if not vectors.size:
        return 0.0
    return max(float(vectors.max()), -float(vectors.min()))


def needs_float64(queries: float, items: float, dim: int) -> bool:
    """Returns whether products of vectors overflow float32, or vanish in it.

    Args:
        queries: The largest absolute value of the queries.
        items: That of the items.
        dim: The number of values of a vector.
    """
    smaller, larger = sorted((queries, items))
    return 4 * dim * larger**2 > _MAX_PRODUCT or 0 < smaller * larger < _MIN_PRODUCT


def normalized(vectors: Vectors) -> Vectors:
    """Returns vectors scaled to length 1; zero vectors stay zero.

    Args:
        vectors: float32 ``[count, dim]``.
    """
    with np.errstate(over="ignore"):
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    result = np.asarray(vectors / np.where(norms > 0, norms, 1), np.float32)
    inexact = _inexact(norms[:, 0])
    if inexact.any():
        exact = vectors[inexact].astype(np.float64)
        exact_norms = np.linalg.norm(exact, axis=1, keepdims=True)
        result[inexact] = exact / np.where(exact_norms > 0, exact_norms, 1)
    return result


def lengths(vectors: Vectors) -> npt.NDArray[np.float64]:
    """Returns the lengths of vectors, which may be larger than float32 permits.

    Args:
        vectors: float32 ``[count, dim]``.

    Returns:
        float64 ``[count]``.
    """
    with np.errstate(over="ignore"):
        norms = np.linalg.norm(vectors, axis=1).astype(np.float64)
    inexact = _inexact(norms)
    norms[inexact] = np.linalg.norm(vectors[inexact].astype(np.float64), axis=1)
    return norms


def _inexact(norms: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Returns which norms have squares that overflow float32, or lose digits in it."""
    return ~((norms > SHORT) & (norms < LONG))


def ranks(
    queries: Vectors,
    truths: Positions,
    items: int,
    score: Scorer,
    *,
    max_scores: int = _MAX_SCORES,
) -> Ranks:
    """Returns the rank of each query's true item among all items, starting at 1.

    Items with equal scores share the mean of their ranks, so a model that gives every
    item the same score does not get rank 1.

    Args:
        queries: The embeddings of the queries, float32 ``[queries, dim]``.
        truths: The position in the pool of each query's true item, int64 ``[queries]``.
        items: The number of items in the pool.
        score: Scores queries against the pool.
        max_scores: The number of scores to compute at a time. A single query may have
            more.

    Returns:
        float64 ``[queries]``.
    """
    result = np.empty(len(queries))
    for block in _blocks(len(queries), items, max_scores):
        scores = score(queries[block])
        true_scores = np.take_along_axis(scores, truths[block, np.newaxis], axis=1)
        higher = np.count_nonzero(scores > true_scores, axis=1)
        equal = np.count_nonzero(scores == true_scores, axis=1)
        result[block] = 1 + higher + (equal - 1) / 2
    return result


def _blocks(queries: int, items: int, max_scores: int) -> Iterator[slice]:
    size = min(max(max_scores // max(items, 1), 1), _MAX_QUERIES)
    return (slice(start, start + size) for start in range(0, queries, size))


def rank_metrics(ranks: Ranks, cutoffs: Sequence[int]) -> dict[str, float]:
    """Returns metrics of ranks, by name.

    With the rank r of a query's first true item, and means over queries:

    * hits@k: the fraction of queries with r <= k.
    * mean_rank: the mean of r.
    * mrr: the mean of 1 / r (mean reciprocal rank).

    `object2vec_tf.metrics.retrieval` has metrics of several true items per query.

    Args:
        ranks: One rank for each query, starting at 1, float64 ``[queries]``.
        cutoffs: The numbers k.

    Example:
        >>> import numpy as np
        >>> rank_metrics(np.array([1.0, 2.0]), [1])
        {'hits@1': 0.5, 'mean_rank': 1.5, 'mrr': 0.75}
    """
    metrics = {f"hits@{k}": float(np.mean(ranks <= k)) for k in sorted(cutoffs)}
    return {
        **metrics,
        "mean_rank": float(ranks.mean()),
        "mrr": float(np.mean(1 / ranks)),
    }
