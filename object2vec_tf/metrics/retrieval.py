"""Retrieval metrics with several relevant items per query, and excluded items.

Sources:

* Filtered ranks, which leave out the other relevant items of a query: Bordes et al.
  2013, "Translating Embeddings for Modeling Multi-relational Data", section 4.
* Precision, recall and mean average precision: Manning et al. 2008, "Introduction to
  Information Retrieval", chapter 8.
* nDCG: Järvelin and Kekäläinen 2002, "Cumulated Gain-Based Evaluation of IR
  Techniques".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np

from object2vec_tf.metrics.ranking import (
    Positions,
    Ranks,
    Vectors,
    rank_metrics,
    scorer,
)

# Returns the scores of all items for a range of queries, ``[queries, items]``.
ScoreQueries = Callable[[slice], Vectors]

CUTOFFS: Final = (1, 10, 20)
# Scores in memory at a time: 2**24 of them take 64 MB.
_MAX_SCORES: Final = 1 << 24


@dataclasses.dataclass(frozen=True)
class ItemLists:
    """A list of distinct items for each query, stored end to end.

    Attributes:
        items: The items of all queries, as positions in the pool, int64 ``[entries]``.
        splits: int64 ``[queries + 1]``; the items of query i are
            ``items[splits[i]:splits[i + 1]]``, in ascending order.

    Example:
        >>> import numpy as np
        >>> queries, items = np.array([1, 0, 1, 1]), np.array([7, 3, 5, 7])
        >>> lists = ItemLists.from_pairs(queries, items, 2)
        >>> lists.items, lists.splits
        (array([3, 5, 7]), array([0, 1, 3]))
    """

    items: Positions
    splits: Positions

    @staticmethod
    def from_pairs(queries: Positions, items: Positions, count: int) -> ItemLists:
        """Returns the lists of pairs of a query and an item.

        Args:
            queries: The query of each pair, int64 ``[pairs]``.
            items: The item of each pair, int64 ``[pairs]``. Repeated pairs count once.
            count: The number of queries.
        """
        width = int(items.max(initial=0)) + 1
        queries, items = np.divmod(np.unique(queries * width + items), width)
        splits = np.searchsorted(queries, np.arange(count + 1))
        return ItemLists(items, splits.astype(np.int64))

    def __len__(self) -> int:
        """Returns the number of queries."""
        return len(self.splits) - 1

    @property
    def counts(self) -> Positions:
        """The number of items of each query, int64 ``[queries]``."""
        return np.diff(self.splits)

    @property
    def queries(self) -> Positions:
        """The query of each entry, int64 ``[entries]``."""
        return np.repeat(np.arange(len(self)), self.counts)

    def entries(self, queries: slice) -> tuple[Positions, Positions]:
        """Returns the entries of a range of queries.

        Returns:
            Their queries, counted from the start of the range, and their items.
        """
        splits = self.splits[queries.start : queries.stop + 1]
        rows = np.repeat(np.arange(len(splits) - 1), np.diff(splits))
        return rows, self.items[splits[0] : splits[-1]]


@dataclasses.dataclass(frozen=True)
class RelevantRanks:
    """The ranks of the entries of `ItemLists`, starting at 1.

    Attributes:
        filtered: The rank of each relevant item among the items that are neither
            excluded nor relevant, float64 ``[entries]``. Items with equal scores share
            the mean of their ranks.
        full: The filtered rank plus the number of relevant items of the query with a
            higher score, float64 ``[entries]``: the rank among all items that are not
            excluded. Of relevant items with equal scores, each has the next rank.
    """

    filtered: Ranks
    full: Ranks


def evaluate_retrieval(
    queries: Vectors,
    items: Vectors,
    relevant: ItemLists,
    excluded: ItemLists | None = None,
    *,
    similarity: str = "cosine",
    cutoffs: Sequence[int] = CUTOFFS,
) -> dict[str, float]:
    """Returns the metrics of a search for the items nearest to each query.

    Scores are computed in blocks of bounded memory, so that 100,000 queries and 100,000
    items are possible.

    Args:
        queries: The embeddings of the queries, float32 ``[queries, dim]``.
        items: The embeddings of the pool, float32 ``[items, dim]``.
        relevant: The relevant items of each query, at least one.
        excluded: The items that are not candidates of each query; None for none.
        similarity: cosine, inner_product or euclidean.
        cutoffs: See `retrieval_metrics`.

    Example:
        >>> import numpy as np
        >>> items = np.eye(3, dtype=np.float32)
        >>> queries = np.array([[0.9, 0.5, 0.1]], np.float32)
        >>> relevant = ItemLists(np.array([1]), np.array([0, 1]))
        >>> evaluate_retrieval(queries, items, relevant, cutoffs=[2])["hits@2"]
        1.0
    """
    score = scorer(items, similarity)
    ranks = relevant_ranks(
        lambda block: score(queries[block]), len(items), relevant, excluded
    )
    return retrieval_metrics(ranks, relevant, cutoffs)


def popularity_metrics(
    counts: Positions,
    relevant: ItemLists,
    excluded: ItemLists | None = None,
    cutoffs: Sequence[int] = CUTOFFS,
) -> dict[str, float]:
    """Returns the metrics of a ranking by popularity, the same for all queries.

    Args:
        counts: How often each item occurs in the training data, ``[items]``.
        relevant: See `evaluate_retrieval`.
        excluded: See `evaluate_retrieval`.
        cutoffs: See `retrieval_metrics`.
    """
    scores = counts.astype(np.float32)

    def score(queries: slice) -> Vectors:
        return np.broadcast_to(scores, (queries.stop - queries.start, len(scores)))

    ranks = relevant_ranks(score, len(counts), relevant, excluded)
    return retrieval_metrics(ranks, relevant, cutoffs)


def relevant_ranks(
    score: ScoreQueries,
    pool_size: int,
    relevant: ItemLists,
    excluded: ItemLists | None = None,
    *,
    max_scores: int = _MAX_SCORES,
) -> RelevantRanks:
    """Ranks the relevant items of each query.

    Args:
        score: Returns the scores of the pool for a range of queries; higher is better.
        pool_size: The number of items.
        relevant: The relevant items of each query.
        excluded: Items that are not candidates; None for none. A relevant item is a
            candidate nevertheless.
        max_scores: The number of scores in memory at a time. A single query may have
            more.
    """
    filtered, full = [np.zeros(0)], [np.zeros(0)]
    for block in _blocks(len(relevant), max(max_scores // max(pool_size, 1), 1)):
        rows, items = relevant.entries(block)
        scores = np.array(score(block))  # a copy, since scores are overwritten
        own = scores[rows, items]
        if excluded is not None:
            scores[excluded.entries(block)] = -np.inf
        scores[rows, items] = -np.inf
        splits = relevant.splits[block.start : block.stop + 1]
        ranks = 1 + _better(scores, splits - splits[0], own)
        filtered.append(ranks)
        full.append(ranks + _relevant_before(rows, own))
    return RelevantRanks(np.concatenate(filtered), np.concatenate(full))


def _blocks(count: int, size: int) -> Iterator[slice]:
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def _better(scores: Vectors, splits: Positions, own: Vectors) -> Ranks:
    """Returns the number of better candidates of each entry, where ties are halves.

    Args:
        scores: The scores of the candidates, float32 ``[queries, items]``.
        splits: The entries of query i are ``splits[i]`` to ``splits[i + 1]``.
        own: The score of each entry, ``[entries]``.
    """
    # With more entries of a query, sorting its scores takes less time than counting.
    max_counted = 8 + scores.shape[1] // 1000
    result = np.empty(len(own))
    for row, start, stop in zip(scores, splits[:-1], splits[1:], strict=True):
        if stop - start > max_counted:
            ordered = np.sort(row)
            right = np.searchsorted(ordered, own[start:stop], "right")
            left = np.searchsorted(ordered, own[start:stop], "left")
            result[start:stop] = len(row) - (left + right) / 2
            continue
        for entry in range(start, stop):
            higher = np.count_nonzero(row > own[entry])
            result[entry] = higher + np.count_nonzero(row == own[entry]) / 2
    return result


def _relevant_before(rows: Positions, own: Vectors) -> Positions:
    """Returns the number of entries of the same query that rank before each entry.

    Entries with equal scores keep their order.
    """
    order = np.lexsort((-own, rows))
    result = np.empty(len(rows), np.int64)
    result[order] = np.arange(len(rows)) - np.searchsorted(rows, rows)
    return result


def retrieval_metrics(
    ranks: RelevantRanks, relevant: ItemLists, cutoffs: Sequence[int] = CUTOFFS
) -> dict[str, float]:
    """Returns metrics of ranks, by name.

    With the relevant items of a query, their full ranks r, their filtered ranks f, and
    means over queries, except for mean_rank:

    * hits@k: the fraction of queries with at least one f <= k.
    * mrr: the mean of 1 / (the smallest f).
    * mean_rank: the mean of f over the relevant items of all queries.
    * ndcg@k: the sum of 1 / log2(1 + r) over items with r <= k, divided by the sum of
      1 / log2(1 + i) for i = 1 ... min(k, number of relevant items).
    * recall@k: the number of items with r <= k, divided by the number of relevant
      items, which may be more than k.
    * precision@k: the number of items with r <= k, divided by k.
    * map: the mean over relevant items of the precision at the item's rank: the number
      of relevant items up to it, divided by r; over the full ranking.

    With one relevant item per query all of them depend on its rank r = f alone, and map
    equals mrr. `RelevantRanks` says how ties count.

    Args:
        ranks: The ranks.
        relevant: The relevant items; each query has at least one.
        cutoffs: The numbers k.

    Example:
        >>> import numpy as np
        >>> scores = np.array([[0.9, 0.8, 0.7, 0.6]])
        >>> relevant = ItemLists(np.array([1, 3]), np.array([0, 2]))
        >>> excluded = ItemLists(np.array([2]), np.array([0, 1]))
        >>> ranks = relevant_ranks(lambda rows: scores[rows], 4, relevant, excluded)
        >>> ranks.filtered, ranks.full
        (array([2., 2.]), array([2., 3.]))
        >>> metrics = retrieval_metrics(ranks, relevant, cutoffs=[2])
        >>> metrics["hits@2"], metrics["recall@2"], metrics["precision@2"]
        (1.0, 0.5, 0.5)
    """
    cutoffs, counts = sorted(cutoffs), relevant.counts
    first = np.minimum.reduceat(ranks.filtered, relevant.splits[:-1])
    metrics = rank_metrics(first, cutoffs)
    metrics["mean_rank"] = float(ranks.filtered.mean())
    most = int(counts.max())
    ideal = np.cumsum([0, *(1 / np.log2(1 + np.arange(1, most + 1)))])
    for k in cutoffs:
        gains = _sums(relevant, (ranks.full <= k) / np.log2(1 + ranks.full))
        metrics[f"ndcg@{k}"] = float(
            np.mean(gains / ideal[np.minimum(counts, min(k, most))])
        )
    found = {k: _sums(relevant, (ranks.full <= k).astype(float)) for k in cutoffs}
    for k in cutoffs:
        metrics[f"recall@{k}"] = float(np.mean(found[k] / counts))
    for k in cutoffs:
        metrics[f"precision@{k}"] = float(np.mean(found[k] / k))
    # Of the r items up to a relevant one, f - 1 are not relevant.
    precisions = (ranks.full - ranks.filtered + 1) / ranks.full
    metrics["map"] = float(np.mean(_sums(relevant, precisions) / counts))
    return metrics


def _sums(relevant: ItemLists, values: Ranks) -> Ranks:
    """Returns the sum of the entries' values for each query, ``[queries]``."""
    sums = np.bincount(relevant.queries, values, len(relevant))
    return sums.astype(np.float64)
