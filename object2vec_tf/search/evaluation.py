"""Retrieval, measured: what a model finds for the first objects of true pairs."""

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
    Ranks,
    Scorer,
    Vectors,
    ranking_metrics,
    ranks,
    scorer,
)
from object2vec_tf.model.object2vec import Object2Vec
from object2vec_tf.runs.run_directory import RunDirectory
from object2vec_tf.search.candidate_pool import Places, Pool, pool_of

# By the model's own scores of pairs, as predict_pair gives them.
MODEL = "model"
SCORES = (*METRICS, MODEL)
# Pairs that the comparator scores at a time.
_MOST_PAIRS = 1 << 15


def evaluate(
    model: str | os.PathLike[str],
    pairs: str | os.PathLike[str],
    pool: str | os.PathLike[str] | None = None,
    *,
    score: str = "cosine",
    hits: Sequence[int] = (1, 10, 20),
) -> dict[str, float]:
    """Returns how high the in1 of each pair stands among all items, for its in0.

    Args:
        model: A run or an exported model; with ``score="model"``, a run.
        pairs: JSON Lines of true pairs; labels are passed over: leave others out.
        pool: JSON Lines with the items, in1, to choose from. An in1 of a pair that it
            lacks comes along: the truth is always in the pool. None: the pairs' own.
        score: cosine, inner_product or euclidean of the embeddings, or model: the
            score of a regression, the odds of class 1 of a classification.
        hits: The numbers k of hits@k and ndcg@k.

    Returns:
        hits@k, mean_rank, mrr, ndcg@k, and the numbers of queries and of items (pool).

    Raises:
        DataError: A line is wrong.
        UserError: There is no such model, or one of more than two classes has no one
            score of a pair.
    """
    found, items = true_ranks(model, pairs, pool, score=score)
    told: dict[str, float] = ranking_metrics(found, hits)
    return {**told, "queries": len(found), "pool": items}


def true_ranks(
    model: str | os.PathLike[str],
    pairs: str | os.PathLike[str],
    pool: str | os.PathLike[str] | None = None,
    *,
    score: str = "cosine",
) -> tuple[Ranks, int]:
    """Returns what `evaluate` measures: the rank of each pair's in1, for its in0.

    Args:
        model: As for `evaluate`, like all that follows.
        pairs: The true pairs.
        pool: The items to choose from.
        score: What they are ranked by.

    Returns:
        The ranks in the order of the pairs, float ``[pairs]``, 1 for the first; and the
        number of items.

    Raises:
        DataError: A line is wrong.
        UserError: As for `evaluate`.
    """
    if score not in SCORES:
        raise UserError(f"score: {score!r}: expected one of {', '.join(SCORES)}")
    comparing = pair_scorer(model) if score == MODEL else None
    encoders = load_model(model)
    items = Pool("in1")
    if pool is not None:
        path = Path(pool)
        items = pool_of(read_objects(path, encoders), "in1", str(path))
    queries, truths = _queries(Path(pairs), encoders, items)
    vectors = encoders(items.objects())
    scored = comparing(vectors) if comparing else scorer(vectors, score)
    return ranks(queries, truths, len(items), scored), len(items)


def _queries(path: Path, model: Predictor, items: Pool) -> tuple[Vectors, Places]:
    """Returns the embeddings of a file's in0, and the places of its in1."""
    asked, truths = Pool("in0"), []
    rows = []
    for objects in read_objects(path, model):
        if len(objects.columns) < 2:
            raise UserError(f"{path}: expected in0 and in1 in its lines: true pairs")
        rows.append(asked.add(objects))
        truths.append(items.add(objects))
    if not rows:
        raise UserError(f"{path}: holds no pairs")
    vectors = model(asked.objects())
    return vectors[np.concatenate(rows)], np.concatenate(truths)


class PairScorer:
    """Scores embeddings by a model's comparator.

    Args:
        model: The model; of a classification, the logarithm of the odds of class 1 is
            the score. The probabilities themselves are in the same order, but many
            become 1 in float32 where a model is sure, and cannot be told apart.
    """

    def __init__(self, model: Object2Vec) -> None:
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
            scores = network([first, second], training=False)
            own = scores[:, 1] - scores[:, 0] if is_softmax else scores[:, 0]
            return tf.reshape(own, [-1, count])

        self._score = score

    def __call__(self, items: Vectors) -> Scorer:
        """Returns what scores queries against items, ``[items, enc_dim]``."""
        size = _MOST_PAIRS

        def scored(queries: Vectors) -> Vectors:
            scores = np.empty((len(queries), len(items)), np.float32)
            some = max(size // len(items), 1)
            for row in range(0, len(queries), some):
                rows = slice(row, row + some)
                for start in range(0, len(items), size):
                    part = slice(start, start + size)
                    scores[rows, part] = self._score(queries[rows], items[part])
            return scores

        return scored


def pair_scorer(run: str | os.PathLike[str]) -> PairScorer:
    """Returns what scores embeddings as a run's predict_pair would.

    Raises:
        UserError: There is no run, or it has several scores for a pair.
    """
    directory = RunDirectory(Path(run))
    if not directory.model.is_file():
        raise UserError(
            f"{run}: holds no {directory.model.name}, whose comparator --score=model "
            "asks; give a run, or another --score"
        )
    model = keras.models.load_model(directory.model)
    assert isinstance(model, Object2Vec)
    hyperparameters = model.hyperparameters
    if hyperparameters.output_layer == "softmax" and hyperparameters.num_classes > 2:
        raise UserError(
            f"{run}: gives {hyperparameters.num_classes} probabilities a pair: nothing "
            "to rank by; give --score=cosine"
        )
    return PairScorer(model)
