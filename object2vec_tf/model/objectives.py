"""Training objectives: the losses that train the encoders.

Every objective also trains the comparator, by the loss of the output layer.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence

import keras
import tensorflow as tf

from object2vec_tf.distributed.batch_shard import BatchEncodings
from object2vec_tf.losses.in_batch_softmax import InBatchSoftmax
from object2vec_tf.model.batch_inputs import (
    Batch,
    log_frequencies,
    positive_pairs,
    positive_weights,
    total_positive_weight,
)


class Objective(abc.ABC):
    """The loss that trains the encoders, and the input of the comparator.

    Attributes:
        needs_all_pairs: For in0 and in1, whether encodings of other pairs are used.
        metrics: Metrics that the objective updates itself.
    """

    needs_all_pairs: tuple[bool, bool] = (False, False)
    metrics: Sequence[keras.metrics.Metric] = ()

    @abc.abstractmethod
    def encoder_loss(
        self, encodings: BatchEncodings, batch: Batch, training: bool
    ) -> tf.Tensor:
        """Returns the loss of the encodings alone, and updates the metrics.

        Args:
            encodings: Encodings of the batch.
            batch: The batch.
            training: Whether the loss is minimized, rather than only measured.

        Returns:
            A float scalar: this replica's part of the batch's loss.
        """

    @abc.abstractmethod
    def comparator_encodings(self, encodings: BatchEncodings) -> BatchEncodings:
        """Returns the encodings from which the comparator computes scores."""


class PairObjective(Objective):
    """The loss of the comparator trains the encoders too, as in AWS's Object2Vec."""

    def encoder_loss(
        self, encodings: BatchEncodings, batch: Batch, training: bool
    ) -> tf.Tensor:
        """See `Objective`: there is no loss besides the comparator's."""
        return tf.constant(0.0)

    def comparator_encodings(self, encodings: BatchEncodings) -> BatchEncodings:
        """See `Objective`."""
        return encodings


class InBatchSoftmaxObjective(Objective):
    """Trains the encoders to rank an object's partner first among those of the batch.

    The comparator is trained on their encodings and does not influence the encoders.

    Args:
        softmax: The layer that computes cross-entropies.
        metrics: Means of the cross-entropy and of the accuracy.
        popularity_correction: Whether to correct for frequent objects in training.
    """

    needs_all_pairs = (True, True)

    def __init__(
        self,
        softmax: InBatchSoftmax,
        metrics: Sequence[keras.metrics.Mean],
        popularity_correction: bool,
    ) -> None:
        self.metrics = metrics
        self._softmax = softmax
        self._popularity_correction = popularity_correction

    def encoder_loss(
        self, encodings: BatchEncodings, batch: Batch, training: bool
    ) -> tf.Tensor:
        """See `Objective`: the mean cross-entropy of pairs with a label above 0."""
        shard = encodings.shard
        corrects = self._popularity_correction and training
        losses, hits = self._softmax(
            *(encodings.all_pairs(side) for side in (0, 1)),
            positive_pairs(shard, batch),
            log_frequencies(shard, batch) if corrects else None,
        )
        losses, hits, labels, weights = (
            shard.metric_rows(rows)
            for rows in (
                shard.own_pairs(losses),
                shard.own_pairs(hits),
                batch.labels,
                batch.weights,
            )
        )
        counts = positive_weights(labels, weights, losses.dtype)
        for metric, values in zip(self.metrics, (losses, hits), strict=True):
            metric.update_state(values, sample_weight=counts)
        total = tf.reduce_sum(counts * losses)
        return tf.math.divide_no_nan(total, total_positive_weight(shard, batch, counts))

    def comparator_encodings(self, encodings: BatchEncodings) -> BatchEncodings:
        """See `Objective`."""
        return encodings.without_gradient()


def make_objective(
    softmax: InBatchSoftmax | None,
    metrics: Sequence[keras.metrics.Mean],
    popularity_correction: bool,
) -> Objective:
    """Returns the objective of a model.

    Args:
        softmax: The model's in-batch softmax; None for AWS's own objective.
        metrics: Its metrics.
        popularity_correction: See `InBatchSoftmaxObjective`.
    """
    if softmax is None:
        return PairObjective()
    return InBatchSoftmaxObjective(softmax, metrics, popularity_correction)
