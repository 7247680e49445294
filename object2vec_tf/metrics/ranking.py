"""How high true pairs stand among all that could be: hits@k, mean rank, MRR, nDCG.

Source: the measures are those of "StarSpace: Embed All The Things!" (Wu and others,
2017), which AWS's document embedding notebook takes over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
Places = npt.NDArray[np.int64]
Ranks = npt.NDArray[np.float64]
# Of queries ``[some, dim]``, the score of each item of the pool ``[some, items]``.
Scorer = Callable[[Vectors], Vectors]

METRICS: Final = ("cosine", "inner_product", "euclidean")
# Scores that are held at a time: 2**24 are 64 MB.
_MOST_SCORES: Final = 1 << 24
_MOST_QUERIES: Final = 1024


def scorer(items: Vectors, metric: str) -> Scorer:
    """Returns what scores queries against a pool; the higher, the nearer.

    Args:
        items: The pool's embeddings, float32 ``[items, dim]``.
        metric: One of `METRICS`. By euclidean, scores are negative squared distances.
    """
    if metric == "cosine":
        lengthless = normalized(items)
        return lambda queries: normalized(queries) @ lengthless.T
    if metric == "inner_product":
        return lambda queries: queries @ items.T
    squares = np.einsum("ij,ij->i", items, items)

    def negative_distances(queries: Vectors) -> Vectors:
        own = np.einsum("ij,ij->i", queries, queries)[:, np.newaxis]
        return np.asarray(2 * (queries @ items.T) - squares - own, np.float32)

    return negative_distances


def normalized(vectors: Vectors) -> Vectors:
    """Returns vectors of length 1; those of length 0 stay as they are."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1), np.float32)


def ranks(queries: Vectors, truths: Places, items: int, score: Scorer) -> Ranks:
    """Returns the place that each query's true item takes among all items, from 1.

    Items of equal score share the middle of their places: a model that scores all
    alike does not come out first.

    Args:
        queries: Their embeddings, float32 ``[queries, dim]``.
        truths: The place in the pool of what each is to find, int64 ``[queries]``.
        items: The number of items in the pool.
        score: Scores queries against the pool.

    Returns:
        float64 ``[queries]``.
    """
    found = np.empty(len(queries))
    for rows in _blocks(len(queries), items):
        scores = score(queries[rows])
        own = np.take_along_axis(scores, truths[rows, np.newaxis], axis=1)
        better = np.count_nonzero(scores > own, axis=1)
        equal = np.count_nonzero(scores == own, axis=1)
        found[rows] = 1 + better + (equal - 1) / 2
    return found


def _blocks(queries: int, items: int) -> Iterator[slice]:
    size = min(max(_MOST_SCORES // max(items, 1), 1), _MOST_QUERIES)
    return (slice(start, start + size) for start in range(0, queries, size))


def measures(found: Ranks, hits: Sequence[int] = (1, 10, 20)) -> dict[str, float]:
    """Returns what ranks come to, by name.

    Args:
        found: The rank of each query's true item, from 1.
        hits: The numbers k of hits@k, the share of queries whose true item is among
            the first k, and of ndcg@k, which counts a hit on rank r as 1 / log2(1 + r).
    """
    told: dict[str, float] = {
        f"hits@{k}": float(np.mean(found <= k)) for k in sorted(hits)
    }
    told["mean_rank"] = float(found.mean())
    told["mrr"] = float(np.mean(1 / found))
    gains = 1 / np.log2(1 + found)
    for k in sorted(hits):
        if k > 1:
            told[f"ndcg@{k}"] = float(np.mean(gains * (found <= k)))
    return told
