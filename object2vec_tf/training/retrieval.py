"""Retrieval measures of a run: how high true pairs rank in a pool of items."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from object2vec_tf.data.pairs import Pairs
from object2vec_tf.errors import UserError
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.metrics.ranking import Positions
from object2vec_tf.metrics.retrieval import (
    ItemLists,
    evaluate_retrieval,
    popularity_metrics,
)
from object2vec_tf.model.object2vec import Object2Vec
from object2vec_tf.ragged.column import RaggedColumn
from object2vec_tf.ragged.row_hashes import (
    RowHashes,
    RowPositions,
    join_matches,
    row_hashes,
)
from object2vec_tf.training.retrieval_pool import RetrievalPool

# The measures, as they are named in metrics.json and as objectives of tune.
RETRIEVAL_METRICS = ("hits@1", "hits@10", "recall@10", "mean_rank", "mrr")
_CUTOFFS = (1, 10)
# Without a pool file, so many scores at most are computed: a few seconds on a CPU.
_MAX_SCORES = 1 << 31


class RetrievalTask:
    """The true pairs of a channel, and the items among which they are ranked.

    Args:
        pairs: The channel. Pairs with a label above 0 are true.
        train: The training channel. Its true pairs are known: they are neither
            candidates nor ranked, and define the popularity of items.
        similarity: cosine or inner_product, by which items are ranked.
        pool: The candidates; the items of true pairs are added. None for the items of
            the channel; then evenly spaced queries are chosen if there are very many.

    Attributes:
        similarity: As given.
        queries: The token ids of the distinct in0 of true pairs; empty if all of the
            channel's true pairs are known.
        items: The token ids of the candidates.
        relevant: The items of the true pairs of each query.
        excluded: The items of the known pairs of each query.
        popularity: The number of true training pairs of each item, int64 ``[items]``.
    """

    def __init__(
        self,
        pairs: Pairs,
        train: Pairs,
        similarity: str,
        pool: RaggedColumn | None = None,
        *,
        max_scores: int = _MAX_SCORES,
    ) -> None:
        true = _true_rows(pairs)
        in0, in1 = pairs.in0.take(true), pairs.in1.take(true)
        all_items = pool or pairs.in1.take(np.arange(len(pairs)))
        items = _DistinctRows(RaggedColumn.concatenate([all_items, in1]))
        queries = _DistinctRows(in0)
        own = queries.positions(row_hashes(in0)), items.positions(row_hashes(in1))
        known, known_items = _known_pairs(train, queries.column, items.column)
        self.similarity = similarity
        self.popularity = np.bincount(known_items, minlength=len(items))
        is_new = ~np.isin(_pair_numbers(own, items), _pair_numbers(known, items))
        kept = np.unique(own[0][is_new])
        if pool is None and len(kept) * len(items) > max_scores:
            count = max(max_scores // len(items), 1)
            kept = kept[np.linspace(0, len(kept) - 1, count).astype(np.int64)]
        self.queries, self.items = queries.column.take(kept), items.column
        self.relevant = _lists(kept, own[0][is_new], own[1][is_new])
        self.excluded = _lists(kept, *known)

    def measure(self, model: Object2Vec) -> dict[str, float]:
        """Returns hits@1, hits@10, recall@10, mean_rank and mrr of a model."""
        queries, items = (
            model.embed_tokens(column, encoder)
            for encoder, column in enumerate((self.queries, self.items))
        )
        return _shown(
            evaluate_retrieval(
                queries,
                items,
                self.relevant,
                self.excluded,
                similarity=self.similarity,
                cutoffs=_CUTOFFS,
            )
        )

    def measure_popularity(self) -> dict[str, float]:
        """Returns the same if items are ranked by their number of training pairs."""
        return _shown(
            popularity_metrics(self.popularity, self.relevant, self.excluded, _CUTOFFS)
        )

    def sizes(self) -> dict[str, int | str]:
        """Returns the numbers of queries, true pairs and candidates."""
        return {
            "similarity": self.similarity,
            "queries": len(self.queries),
            "pairs": len(self.relevant.items),
            "pool": len(self.items),
        }


def _shown(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: metrics[name] for name in RETRIEVAL_METRICS}


def retrieval_task(
    channels: Mapping[str, Pairs],
    channel: str,
    hyperparameters: Hyperparameters,
    pool: RetrievalPool | None,
) -> RetrievalTask | None:
    """Returns the retrieval task of a channel; None without pairs to rank.

    Args:
        channels: The pairs of each channel.
        channel: validation or test.
        hyperparameters: They determine the similarity: that of the in-batch softmax,
            otherwise the cosine.
        pool: The items of ``retrieval_pool``; None for the items of the channel.
    """
    if channel not in channels:
        return None
    is_in_batch = hyperparameters.objective == "in_batch_softmax"
    similarity = hyperparameters.in_batch_similarity if is_in_batch else "cosine"
    task = RetrievalTask(
        channels[channel], channels["train"], similarity, pool.items if pool else None
    )
    return task if len(task.queries) else None


def check_validation_task(task: RetrievalTask | None) -> None:
    """Checks that a validation channel has pairs to rank.

    Raises:
        UserError: It has none.
    """
    if task is None:
        raise UserError(
            "retrieval_pool: expected validation pairs with a label above 0 that are "
            "not in train, got none. Give other --validation pairs, or remove "
            "--retrieval_pool."
        )


def _true_rows(pairs: Pairs) -> Positions:
    return np.flatnonzero(np.asarray(pairs.labels) > 0)


class _DistinctRows:
    """The distinct rows of a column, in the order in which they first occur.

    Args:
        column: The rows.

    Attributes:
        column: The distinct ones.
    """

    def __init__(self, column: RaggedColumn) -> None:
        self._hashes, first = np.unique(row_hashes(column), return_index=True)
        order = np.argsort(first)
        self._numbers = np.argsort(order)
        self.column = column.take(first[order])

    def __len__(self) -> int:
        """Returns the number of distinct rows."""
        return len(self.column)

    def positions(self, hashes: RowHashes) -> Positions:
        """Returns the position of each row with a hash; -1 if there is none."""
        if not len(self):
            return np.full(len(hashes), -1)
        found = np.searchsorted(self._hashes, hashes)
        found = np.minimum(found, len(self._hashes) - 1)
        return np.where(self._hashes[found] == hashes, self._numbers[found], -1)


def _known_pairs(
    train: Pairs, queries: RaggedColumn, items: RaggedColumn
) -> tuple[tuple[Positions, Positions], Positions]:
    """Returns the known pairs of queries and items.

    Args:
        train: The training channel; its ``object_key`` says what makes two objects the
            same.
        queries: The distinct queries.
        items: The distinct items.

    Returns:
        The positions of the query and of the item of each pair, and the position of the
        item of each true training pair.
    """
    rows = _true_rows(train)
    in0, in1 = (row_hashes(keys)[rows] for keys in train.object_keys)
    hashes = (
        row_hashes(train.schema.keys_of(column, side))
        for side, column in enumerate((queries, items))
    )
    find_query, find_item = (RowPositions(each).find for each in hashes)
    found = find_item(in1)
    return join_matches(find_query(in0), found), found[1]


def _pair_numbers(
    pairs: tuple[Positions, Positions], items: _DistinctRows
) -> Positions:
    """Returns a number for each pair of a query and an item; -1 if one is unknown."""
    queries, positions = pairs
    numbers = queries * len(items) + positions
    return np.where((queries >= 0) & (positions >= 0), numbers, -1)


def _lists(kept: Positions, queries: Positions, items: Positions) -> ItemLists:
    """Returns the items of the kept queries.

    Args:
        kept: The positions of the queries that are kept, in ascending order.
        queries: The position of each pair's query; -1 if it is unknown.
        items: The position of each pair's item; -1 if it is unknown.
    """
    chosen = np.isin(queries, kept) & (items >= 0)
    return ItemLists.from_pairs(
        np.searchsorted(kept, queries[chosen]), items[chosen], len(kept)
    )
