"""Adding negatives to the pairs of a training batch."""

from __future__ import annotations

import abc
import dataclasses

import keras
import tensorflow as tf

from object2vec_tf.distributed.batch_shard import BatchEncodings
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.losses.negative_sampling import (
    add_negatives,
    frequency_negatives,
    hard_negatives,
    uniform_negatives,
)
from object2vec_tf.model.batch_inputs import Batch, log_frequencies, positive_pairs


@dataclasses.dataclass(frozen=True)
class TrainingPairs:
    """The pairs that the comparator is trained on.

    Attributes:
        first: Encodings of in0, float ``[pairs, enc_dim]``.
        second: Encodings of in1, float ``[pairs, enc_dim]``.
        labels: ``[pairs]``.
        weights: float ``[pairs]``; None if all pairs count once.
    """

    first: tf.Tensor
    second: tf.Tensor
    labels: tf.Tensor
    weights: tf.Tensor | None


class NegativeSampler(abc.ABC):
    """Adds negatives to a batch, from encodings that the batch already has.

    Attributes:
        needs_all_pairs: For in0 and in1, whether encodings of other pairs are used.
    """

    needs_all_pairs: tuple[bool, bool]

    @abc.abstractmethod
    def add(self, encodings: BatchEncodings, batch: Batch) -> TrainingPairs:
        """Returns the batch's pairs, followed by their negatives with label 0.

        Args:
            encodings: Encodings of the batch.
            batch: The batch; a negative has the weight of its pair.
        """


class NoNegatives(NegativeSampler):
    """Adds nothing."""

    needs_all_pairs = (False, False)

    def add(self, encodings: BatchEncodings, batch: Batch) -> TrainingPairs:
        """See `NegativeSampler`."""
        return TrainingPairs(*encodings.own, batch.labels, batch.weights)


class InBatchNegatives(NegativeSampler):
    """Draws negatives among the in1 of the batch's other pairs.

    Args:
        rate: Negatives per pair.
        seeds: Source of randomness.
    """

    needs_all_pairs = (False, True)

    def __init__(self, rate: int, seeds: keras.random.SeedGenerator) -> None:
        self._rate = rate
        self._seeds = seeds

    def add(self, encodings: BatchEncodings, batch: Batch) -> TrainingPairs:
        """See `NegativeSampler`."""
        candidates = encodings.all_pairs(1)
        negatives = encodings.shard.own_negatives(
            self._draw(encodings, candidates, batch)
        )
        first, second, labels = add_negatives(
            *encodings.own, batch.labels, negatives, candidates
        )
        weights = batch.weights
        if weights is not None:
            copies = tf.size(labels) // tf.maximum(tf.size(batch.labels), 1)
            weights = tf.tile(weights, [copies])
        return TrainingPairs(first, second, labels, weights)

    @abc.abstractmethod
    def _draw(
        self, encodings: BatchEncodings, candidates: tf.Tensor, batch: Batch
    ) -> tf.Tensor:
        """Returns indices into ``candidates``; item n belongs to pair ``n % batch``."""


class UniformNegatives(InBatchNegatives):
    """Draws negatives uniformly from the other pairs of the batch."""

    def _draw(
        self, encodings: BatchEncodings, candidates: tf.Tensor, batch: Batch
    ) -> tf.Tensor:
        return uniform_negatives(tf.shape(candidates)[0], self._rate, self._seeds)


class FrequencyNegatives(InBatchNegatives):
    """Draws negatives by their frequency to a power.

    Args:
        rate: Negatives per pair.
        seeds: Source of randomness.
        power: The power, from 0 to 1.
    """

    def __init__(
        self, rate: int, seeds: keras.random.SeedGenerator, power: float
    ) -> None:
        super().__init__(rate, seeds)
        self._power = power

    def _draw(
        self, encodings: BatchEncodings, candidates: tf.Tensor, batch: Batch
    ) -> tf.Tensor:
        frequencies = log_frequencies(encodings.shard, batch)[1]
        return frequency_negatives(frequencies, self._power, self._rate, self._seeds)


class HardNegatives(InBatchNegatives):
    """Prefers negatives whose encodings are similar to the pair's in0."""

    needs_all_pairs = (True, True)

    def _draw(
        self, encodings: BatchEncodings, candidates: tf.Tensor, batch: Batch
    ) -> tf.Tensor:
        positives = positive_pairs(encodings.shard, batch)
        first = encodings.all_pairs(0)
        return hard_negatives(first, candidates, positives, self._rate, self._seeds)


def make_negative_sampler(
    hyperparameters: Hyperparameters, seeds: keras.random.SeedGenerator
) -> NegativeSampler:
    """Returns the negative sampler that the hyperparameters describe."""
    rate = hyperparameters.negative_sampling_rate
    if not rate:
        return NoNegatives()
    if hyperparameters.negative_mining == "hard":
        return HardNegatives(rate, seeds)
    if hyperparameters.negative_frequency_power < 1:
        power = hyperparameters.negative_frequency_power
        return FrequencyNegatives(rate, seeds, power)
    return UniformNegatives(rate, seeds)
