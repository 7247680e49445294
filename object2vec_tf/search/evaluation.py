"""Evaluation of retrieval: the ranks of the true items of pairs in a pool of items."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from object2vec_tf.errors import UserError
from object2vec_tf.files.channels import Source, channel_files
from object2vec_tf.files.downloads import staged_file
from object2vec_tf.files.remote import is_remote, local_path
from object2vec_tf.hyperparameters.arguments import as_integer
from object2vec_tf.inference.parquet_inputs import read_split
from object2vec_tf.inference.predictor import Predictor, load_model
from object2vec_tf.metrics.ranking import (
    METRICS,
    Positions,
    Ranks,
    Scorer,
    Vectors,
    ranks,
    scorer,
)
from object2vec_tf.metrics.retrieval import (
    CUTOFFS,
    popularity_metrics,
    relevant_ranks,
    retrieval_metrics,
)
from object2vec_tf.model.loading import load_object2vec, model_file
from object2vec_tf.model.object2vec import Object2Vec
from object2vec_tf.progress import phase
from object2vec_tf.runs.run_directory import RunDirectory
from object2vec_tf.search.candidate_pool import CandidatePool, read_pool
from object2vec_tf.search.evaluation_data import read_evaluation_data

# Ranks items by the model's own scores of pairs, those of predict_pair.
MODEL = "model"
SCORES = (*METRICS, MODEL)
# The number of pairs that the comparator scores at a time.
_MAX_PAIRS = 1 << 15


def evaluate(
    model: str | os.PathLike[str],
    pairs: Source,
    pool: Source | None = None,
    *,
    exclude: Source | None = None,
    score: str = "cosine",
    hits: Sequence[int] = CUTOFFS,
) -> dict[str, Any]:
    """Returns retrieval metrics: how high the true items of each query rank.

    Each distinct in0 of the true pairs is a query. All in1 of its true pairs are
    relevant, and none of them counts as a miss of the others.

    Args:
        model: A run or an exported model; with ``score="model"``, a run.
        pairs: JSON Lines of pairs. Pairs with a label above 0, or without a label, are
            true.
        pool: JSON Lines of the items, in1, to rank. The in1 of the pairs are added, so
            that the pool always contains the true items. None ranks only the in1 of the
            pairs.
        exclude: JSON Lines of known pairs, such as those of training. An item is not a
            candidate of a query that it is known with, whatever the label. A true pair
            that is also known is dropped with a warning.
        score: The score to rank by: cosine, inner_product or euclidean of the
            embeddings, or model. The latter is the prediction of a regression, or the
            log-odds of class 1 of a classification.
        hits: The numbers k of hits@k, recall@k, precision@k and ndcg@k.

    Returns:
        The metrics of `object2vec_tf.metrics.retrieval.retrieval_metrics`; the numbers
        of queries, true pairs (pairs) and items (pool); with ``exclude``, also
        popularity: the same metrics if items are ranked by their number of true known
        pairs.

    Raises:
        DataError: A line is wrong, or a file does not exist.
        UserError: The model does not exist, there is no true pair, or the model has
            more than two classes and therefore no single score of a pair.
    """
    _check_score(score)
    hits = [as_integer("hits", k, 1) for k in hits]
    pair_files = channel_files(pairs, "input")
    pool_files = None if pool is None else channel_files(pool, "pool")
    known_files = None if exclude is None else channel_files(exclude, "exclude")
    comparator = pair_scorer(model) if score == MODEL else None
    encoders = load_model(model)
    with phase("reading pairs and items"):
        data = read_evaluation_data(encoders, pair_files, pool_files, known_files)
    with phase("embedding queries and items"):
        items, queries = encoders(data.items), encoders(data.queries)
    score_items = comparator(items) if comparator else scorer(items, score)
    with phase("ranking"):
        ranks = relevant_ranks(
            lambda block: score_items(queries[block]),
            len(items),
            data.relevant,
            data.excluded,
        )
    metrics: dict[str, Any] = retrieval_metrics(ranks, data.relevant, hits)
    metrics["queries"] = len(queries)
    metrics["pairs"] = len(data.relevant.items)
    metrics["pool"] = len(items)
    if data.popularity is not None:
        metrics["popularity"] = popularity_metrics(
            data.popularity, data.relevant, data.excluded, hits
        )
    return metrics


def _check_score(score: str) -> None:
    if score not in SCORES:
        raise UserError(f"score: expected one of {', '.join(SCORES)}, got {score!r}.")


def true_ranks(
    model: str | os.PathLike[str],
    pairs: str | os.PathLike[str],
    pool: str | os.PathLike[str] | None = None,
    *,
    score: str = "cosine",
) -> tuple[Ranks, int]:
    """Returns the rank of each pair's in1 among all items, for its in0.

    Unlike in `evaluate`, each pair is a query of its own, labels are ignored, and other
    true items of the same in0 count as misses.

    Args:
        model: As for `evaluate`.
        pairs: JSON Lines of true pairs.
        pool: As for `evaluate`.
        score: As for `evaluate`.

    Returns:
        The ranks in the order of the pairs, float64 ``[pairs]``, starting at 1; and the
        number of items.

    Raises:
        DataError: A line is wrong.
        UserError: As for `evaluate`.
    """
    _check_score(score)
    comparator = pair_scorer(model) if score == MODEL else None
    encoders = load_model(model)
    items = CandidatePool("in1")
    if pool is not None:
        path = staged_file(pool)
        items = read_pool(read_split(path, encoders), "in1", f"{path}")
    queries, truths = _read_queries(staged_file(pairs), encoders, items)
    vectors = encoders(items.objects())
    score_items = comparator(vectors) if comparator else scorer(vectors, score)
    return ranks(queries, truths, len(items), score_items), len(items)


def _read_queries(
    path: Path, model: Predictor, items: CandidatePool
) -> tuple[Vectors, Positions]:
    """Reads pairs and adds their in1 to a pool.

    Returns:
        The embeddings of in0, ``[pairs, enc_dim]``, and the position of each in1 in the
        pool, ``[pairs]``.
    """
    queries = CandidatePool("in0")
    query_positions, truths = [], []
    for objects in read_split(path, model):
        if len(objects.columns) < 2:
            raise UserError(
                f"{path}: expected in0 and in1 in each line, got only "
                f"{' and '.join(objects.columns)}. Give a file of true pairs."
            )
        query_positions.append(queries.add(objects))
        truths.append(items.add(objects))
    if not query_positions:
        raise UserError(f"{path}: expected lines with in0 and in1, got an empty file.")
    vectors = model(queries.objects())
    return vectors[np.concatenate(query_positions)], np.concatenate(truths)


class PairScorer:
    """Scores embeddings by a model's comparator.

    The score of a classification is the log-odds of class 1. It has the same order as
    the probability. The probability itself would round to 1 in float32 for many items
    when a model is confident, which makes ties.

    Args:
        model: The model.
        max_pairs: The number of pairs that the comparator scores at a time.
    """

    def __init__(self, model: Object2Vec, *, max_pairs: int = _MAX_PAIRS) -> None:
        is_softmax = model.hyperparameters.output_layer == "softmax"
        network = model.comparator
        if is_softmax:
            logits = network.get_layer("output").output
            network = keras.Model(network.inputs, logits)

        @tf.function(reduce_retracing=True, autograph=False)
        def score(queries: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
            count = tf.shape(items)[0]
            first = tf.repeat(queries, count, axis=0)
            second = tf.tile(items, [tf.shape(queries)[0], 1])
            outputs = network([first, second], training=False)
            scores = outputs[:, 1] - outputs[:, 0] if is_softmax else outputs[:, 0]
            return tf.reshape(scores, [-1, count])

        self._score = score
        self._max_pairs = max_pairs

    def __call__(self, items: Vectors) -> Scorer:
        """Returns a function that scores queries against items.

        Args:
            items: The embeddings of the items, float32 ``[items, enc_dim]``.
        """
        items_per_step = self._max_pairs
        queries_per_step = max(self._max_pairs // len(items), 1)

        def score_queries(queries: Vectors) -> Vectors:
            scores = np.empty((len(queries), len(items)), np.float32)
            for row in range(0, len(queries), queries_per_step):
                rows = slice(row, row + queries_per_step)
                for column in range(0, len(items), items_per_step):
                    columns = slice(column, column + items_per_step)
                    block = self._score(queries[rows], items[columns])
                    scores[rows, columns] = block
            return scores

        return score_queries


def pair_scorer(
    run: str | os.PathLike[str], *, max_pairs: int = _MAX_PAIRS
) -> PairScorer:
    """Returns a scorer of embeddings, whose order is that of a run's predict_pair.

    Args:
        run: A run directory.
        max_pairs: The number of pairs that the comparator scores at a time.

    Raises:
        UserError: The run does not exist, or its model has several scores per pair.
    """
    if is_remote(run):
        directory = RunDirectory(model_file(run).parent)
    else:
        directory = RunDirectory(local_path(run))
    if not directory.model.is_file():
        raise UserError(
            f"{run}: expected a run directory with {directory.model.name}, whose "
            "comparator --score=model uses. Give a run, or another --score."
        )
    model = load_object2vec(directory.model)
    hyperparameters = model.hyperparameters
    if hyperparameters.output_layer == "softmax" and hyperparameters.num_classes > 2:
        raise UserError(
            f"{run}: expected a model with one score per pair, got "
            f"{hyperparameters.num_classes} class probabilities. Give --score=cosine."
        )
    return PairScorer(model, max_pairs=max_pairs)
