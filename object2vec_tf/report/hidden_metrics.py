"""Metrics that are computed but say nothing about a run."""

from __future__ import annotations

import numpy as np

from object2vec_tf.data.pairs import Pairs
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.metrics.auc import AUC

_PAIR_METRICS = frozenset(("cross_entropy", "accuracy", AUC, "mean_squared_error"))


def hidden_metrics(hyperparameters: Hyperparameters, train: Pairs) -> frozenset[str]:
    """Returns the metrics that tables and the console leave out.

    The in-batch softmax trains on true pairs, which usually all have the label 1. The
    comparator then learns to give every pair this label, and its metrics are perfect
    whatever the encoders do. They stay in metrics.json, history.jsonl and the log lines
    that programs read.

    Args:
        hyperparameters: The run's.
        train: The training channel.
    """
    if hyperparameters.objective != "in_batch_softmax":
        return frozenset()
    if hyperparameters.negative_sampling_rate:
        return frozenset()
    labels = np.asarray(train.labels)
    return _PAIR_METRICS if labels.min() == labels.max() else frozenset()
