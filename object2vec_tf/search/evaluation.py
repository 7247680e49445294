"""Evaluation of retrieval: the ranks of the true items of pairs in a pool of items."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from object2vec_tf.errors import UserError
from object2vec_tf.inference.jsonl_inputs import read_objects
from object2vec_tf.inference.predictor import Predictor, load_model
from object2vec_tf.metrics.ranking import (
    METRICS,
    Positions,
    Ranks,
    Scorer,
    Vectors,
    ranking_metrics,
    ranks,
    scorer,
)
from object2vec_tf.model.object2vec import Object2Vec
from object2vec_tf.runs.run_directory import RunDirectory
from object2vec_tf.search.candidate_pool import CandidatePool, read_pool

# Ranks items by the model's own scores of pairs, those of predict_pair.
MODEL = "model"
SCORES = (*METRICS, MODEL)
# The number of pairs that the comparator scores at a time.
_MAX_PAIRS = 1 << 15


def evaluate(
    model: str | os.PathLike[str],
    pairs: str | os.PathLike[str],
    pool: str | os.PathLike[str] | None = None,
    *,
    score: str = "cosine",
    hits: Sequence[int] = (1, 10, 20),
) -> dict[str, float]:
    """Returns retrieval metrics: how high each pair's in1 ranks for its in0.

    Args:
        model: A run or an exported model; with ``score="model"``, a run.
        pairs: JSON Lines of true pairs. Labels are ignored, so the file must not
            contain negative pairs.
        pool: JSON Lines of the items, in1, to rank. The in1 of the pairs are added, so
            that the pool always contains the true item. None ranks only the in1 of the
            pairs.
        score: The score to rank by: cosine, inner_product or euclidean of the
            embeddings, or model. The latter is the prediction of a regression, or the
            log-odds of class 1 of a classification.
        hits: The numbers k of hits@k and ndcg@k.

    Returns:
        hits@k, mean_rank, mrr, ndcg@k, the number of queries, and the number of items
        (pool).

    Raises:
        DataError: A line is wrong.
        UserError: The model does not exist, or it has more than two classes and
            therefore no single score of a pair.
    """
    true_item_ranks, items = true_ranks(model, pairs, pool, score=score)
    metrics: dict[str, float] = ranking_metrics(true_item_ranks, hits)
    return {**metrics, "queries": len(true_item_ranks), "pool": items}


def true_ranks(
    model: str | os.PathLike[str],
    pairs: str | os.PathLike[str],
    pool: str | os.PathLike[str] | None = None,
    *,
    score: str = "cosine",
) -> tuple[Ranks, int]:
    """Returns the rank of each pair's in1 among all items, for its in0.

    Args:
        model: As for `evaluate`.
        pairs: As for `evaluate`.
        pool: As for `evaluate`.
        score: As for `evaluate`.

    Returns:
        The ranks in the order of the pairs, float64 ``[pairs]``, starting at 1; and the
        number of items.

    Raises:
        DataError: A line is wrong.
        UserError: As for `evaluate`.
    """
    if score not in SCORES:
        raise UserError(f"score: expected one of {', '.join(SCORES)}, got {score!r}.")
    comparator = pair_scorer(model) if score == MODEL else None
    encoders = load_model(model)
    items = CandidatePool("in1")
    if pool is not None:
        path = Path(pool)
        items = read_pool(read_objects(path, encoders), "in1", str(path))
    queries, truths = _read_queries(Path(pairs), encoders, items)
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
    for objects in read_objects(path, model):
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

        @tf.function(reduce_retracing=True)
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
    directory = RunDirectory(Path(run))
    if not directory.model.is_file():
        raise UserError(
            f"{run}: expected a run directory with {directory.model.name}, whose "
            "comparator --score=model uses. Give a run, or another --score."
        )
    model = keras.models.load_model(directory.model)
    assert isinstance(model, Object2Vec)
    hyperparameters = model.hyperparameters
    if hyperparameters.output_layer == "softmax" and hyperparameters.num_classes > 2:
        raise UserError(
            f"{run}: expected a model with one score per pair, got "
            f"{hyperparameters.num_classes} class probabilities. Give --score=cosine."
        )
    return PairScorer(model, max_pairs=max_pairs)
