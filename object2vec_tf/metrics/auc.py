"""The area under the ROC curve of two classes, as a Keras metric."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from object2vec_tf.registration import PACKAGE

# The metric's name.
AUC = "auc"
# Buckets of each class. They are summed in groups, at three levels.
_GROUPS = (32, 32, 16)
_BUCKETS = math.prod(_GROUPS)  # 16,384
_HALF = _BUCKETS // 2
# Log-odds beyond this share a bucket. Positive float32 probabilities reach 87.3, the
# logarithm of the smallest normal number.
_MAX_LOG_ODDS = 88.0
# The buckets are 5e-6 wide at log-odds of 0, and 1/760 of larger log-odds.
_SCALE = 256.0
_BUCKETS_PER_UNIT = (_HALF - 1) / math.asinh(_SCALE * _MAX_LOG_ODDS)


@keras.saving.register_keras_serializable(package=PACKAGE)
class LogOddsAUC(keras.metrics.Metric):
    """The probability that a pair of class 1 scores higher than one of class 0.

    This is the area under the ROC curve; ties count half. It is computed from a
    histogram of the log-odds of each class. The buckets grow with the distance from 0.
    They separate scores that are all similar, and scores near probabilities of 0 or 1.
    ``keras.metrics.AUC`` has thresholds in equal steps of the probability and cannot
    do the latter.

    The result is NaN if there are only pairs of one class.

    Source: Hanley and McNeil 1982, "The Meaning and Use of the Area under a Receiver
    Operating Characteristic (ROC) Curve".

    Example:
        >>> metric = LogOddsAUC()
        >>> metric.update_state([0, 1, 1], [[0.9, 0.1], [0.8, 0.2], [0.95, 0.05]])
        >>> float(metric.result())
        0.5
    """

    def __init__(self, name: str = AUC, **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        # In float64, a bucket counts more than 2**24 pairs.
        self.histogram = self.add_variable(
            (2 * _BUCKETS,), "zeros", dtype="float64", name="histogram"
        )

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds pairs.

        Args:
            y_true: Classes, 0 or 1, ``[batch]``.
            y_pred: Probabilities, float ``[batch, 2]``.
            sample_weight: How many times each pair counts, ``[batch]``; None for once.
        """
        class0, class1 = tf.unstack(tf.math.log(tf.cast(y_pred, tf.float32)), axis=1)
        scaled = tf.asinh((class1 - class0) * _SCALE) * _BUCKETS_PER_UNIT
        # The limits catch infinite log-odds. NaN becomes the lowest bucket.
        buckets = tf.cast(tf.minimum(scaled, _HALF - 1.0), tf.int32) + _HALF
        classes = tf.reshape(tf.cast(y_true, tf.int32), [-1])
        positions = tf.maximum(buckets, 0) + classes * _BUCKETS
        if sample_weight is None:
            counts = tf.ones_like(positions, tf.float64)
        else:
            counts = tf.reshape(tf.cast(sample_weight, tf.float64), [-1])
        histogram = self.histogram.value
        if isinstance(histogram, tf.distribute.DistributedValues):
            # A variable of MirroredStrategy, which cannot scatter.
            added = tf.math.unsorted_segment_sum(counts, positions, 2 * _BUCKETS)
            self.histogram.assign(self.histogram + added)
        else:
            histogram.scatter_add(tf.IndexedSlices(counts, positions))

    def result(self) -> Any:
        """Returns the area, a float scalar; NaN with one class only."""
        if tf.executing_eagerly():
            return _area(self.histogram.numpy().reshape(2, _BUCKETS))
        counts = tf.reshape(self.histogram.value, [2, _BUCKETS])
        shares = counts / tf.reduce_sum(counts, axis=1, keepdims=True)
        return _graph_area(*tf.unstack(tf.cast(shares, tf.float32)))


def _area(counts: npt.NDArray[np.float64]) -> float:
    """Returns the area of a histogram ``[2, _BUCKETS]``."""
    pairs = counts[0].sum() * counts[1].sum()
    below = np.cumsum(counts[0]) - counts[0] / 2
    return float(counts[1] @ below / pairs) if pairs else math.nan


def _graph_area(low: tf.Tensor, high: tf.Tensor) -> tf.Tensor:
    """Returns the sum of ``low[i] * high[j]`` for i < j, plus half of it for i = j.

    Keras evaluates it in each step of ``fit``. Sums of groups, of groups of groups and
    so on replace a cumulative sum, which takes TensorFlow several times as long.

    Args:
        low: The share of the pairs of class 0 in each bucket, float32 ``[_BUCKETS]``.
        high: The same for class 1.
    """
    total = tf.reduce_sum(low * high) / 2
    for size in _GROUPS:
        below = tf.constant(np.triu(np.ones((size, size), np.float32), k=1))
        low, high = (tf.reshape(rows, [-1, size]) for rows in (low, high))
        total += tf.reduce_sum(below * tf.matmul(low, high, transpose_a=True))
        low, high = (tf.reduce_sum(rows, axis=1) for rows in (low, high))
    return total
