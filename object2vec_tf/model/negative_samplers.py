"""Adding negatives to the pairs of a training batch."""

from __future__ import annotations

import abc
import dataclasses

import keras
import tensorflow as tf

from object2vec_tf.data.batch_negatives import NEGATIVES
from object2vec_tf.distributed.batch_shard import BatchEncodings, PairCounts
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.losses.negative_sampling import (
    HARDNESS,
    add_chosen_negatives,
    add_negatives,
    add_padded_negatives,
    cosines,
    distinct_negatives,
    frequency_negatives,
    hard_negatives,
    uniform_negatives,
)
from object2vec_tf.model.batch_inputs import (
    Batch,
    batch_objects,
    log_frequencies,
    positive_pairs,
)


@dataclasses.dataclass(frozen=True)
class TrainingPairs:
    """The pairs that the comparator is trained on.

    Attributes:
        first: Encodings of in0, float ``[pairs, enc_dim]``.
        second: Encodings of in1, float ``[pairs, enc_dim]``.
        labels: ``[pairs]``.
        weights: float ``[pairs]``; None if all pairs count once.
        counts: The numbers of these pairs and of those of all replicas; None if every
            pair of the batch has as many negatives as any other.
    """

    first: tf.Tensor
    second: tf.Tensor
    labels: tf.Tensor
    weights: tf.Tensor | None
    counts: PairCounts | None = None


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
        exclude_known: Whether a negative is never a known positive pair, the pair's own
            object or a second one of the same object. There are then fewer negatives
            where the batch has too few other objects.
    """

    needs_all_pairs = (False, True)

    def __init__(
        self,
        rate: int,
        seeds: keras.random.SeedGenerator,
        *,
        exclude_known: bool = False,
    ) -> None:
        self._rate = rate
        self._seeds = seeds
        self._excludes_known = exclude_known

    def add(self, encodings: BatchEncodings, batch: Batch) -> TrainingPairs:
        """See `NegativeSampler`."""
        candidates = encodings.all_pairs(1)
        if encodings.shard.real_pairs is not None:
            return self._add_padded(encodings, candidates, batch)
        if self._excludes_known:
            return self._add_unknown(encodings, candidates, batch)
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

    def _add_unknown(
        self, encodings: BatchEncodings, candidates: tf.Tensor, batch: Batch
    ) -> TrainingPairs:
        """Adds negatives that are not known pairs."""
        negatives = self._draw_unknown(encodings, candidates, batch)
        made = tf.math.count_nonzero(negatives >= 0, dtype=tf.int32)
        first, second, labels, weights = add_chosen_negatives(
            *encodings.own,
            batch.labels,
            batch.weights,
            encodings.shard.own_negatives(negatives),
            candidates,
        )
        counts = PairCounts(tf.size(labels), tf.shape(candidates)[0] + made)
        return TrainingPairs(first, second, labels, weights, counts)

    def _add_padded(
        self, encodings: BatchEncodings, candidates: tf.Tensor, batch: Batch
    ) -> TrainingPairs:
        """Adds negatives to a batch whose last rows may be padding."""
        draw = self._draw_unknown if self._excludes_known else self._draw
        shard = encodings.shard
        negatives = draw(encodings, candidates, batch)
        own_negatives = shard.own_negatives(negatives)
        first, second, labels, weights = add_padded_negatives(
            *encodings.own, batch.labels, batch.weights, own_negatives, candidates
        )
        own, made = (
            tf.math.count_nonzero(indices >= 0, dtype=tf.int32)
            for indices in (own_negatives, negatives)
        )
        counts = PairCounts(
            shard.metric_count(labels) + own, shard.real_pairs + made, labels.shape[0]
        )
        return TrainingPairs(first, second, labels, weights, counts)

    def _draw_unknown(
        self, encodings: BatchEncodings, candidates: tf.Tensor, batch: Batch
    ) -> tf.Tensor:
        """Returns the same as `_draw`, with -1 where there is no negative."""
        if NEGATIVES in batch.inputs:
            return tf.reshape(tf.transpose(batch.inputs[NEGATIVES]), [-1])
        return distinct_negatives(
            self._log_weights(encodings, candidates, batch),
            batch_objects(encodings.shard, batch),
            self._rate,
            self._seeds,
        )

    @abc.abstractmethod
    def _draw(
        self, encodings: BatchEncodings, candidates: tf.Tensor, batch: Batch
    ) -> tf.Tensor:
        """Returns indices into ``candidates``; item n belongs to pair ``n % batch``.

        In a batch with padding, -1 where there is no negative.
        """

    @abc.abstractmethod
    def _log_weights(
        self, encodings: BatchEncodings, candidates: tf.Tensor, batch: Batch
    ) -> tf.Tensor:
        """Returns the log weights of candidates, for `distinct_negatives`."""


class UniformNegatives(InBatchNegatives):
    """Draws negatives uniformly from the other pairs of the batch."""

    def _draw(
        self, encodings: BatchEncodings, candidates: tf.Tensor, batch: Batch
    ) -> tf.Tensor:
        pairs = encodings.shard.real_pairs
        batch = tf.shape(candidates)[0] if pairs is None else candidates.shape[0]
        return uniform_negatives(batch, self._rate, self._seeds, pairs)

    def _log_weights(
        self, encodings: BatchEncodings, candidates: tf.Tensor, batch: Batch
    ) -> tf.Tensor:
        return tf.zeros(tf.shape(candidates)[:1])


class FrequencyNegatives(InBatchNegatives):
    """Draws negatives by their frequency to a power.

    Args:
        rate: Negatives per pair.
        seeds: Source of randomness.
        power: The power, from 0 to 1.
        exclude_known: See `InBatchNegatives`.
    """

    def __init__(
        self,
        rate: int,
        seeds: keras.random.SeedGenerator,
        power: float,
        *,
        exclude_known: bool = False,
    ) -> None:
        super().__init__(rate, seeds, exclude_known=exclude_known)
        self._power = power

    def _draw(
        self, encodings: BatchEncodings, candidates: tf.Tensor, batch: Batch
    ) -> tf.Tensor:
        frequencies = log_frequencies(encodings.shard, batch)[1]
        return frequency_negatives(
            frequencies,
            self._power,
            self._rate,
            self._seeds,
            encodings.shard.real_pairs,
        )

    def _log_weights(
        self, encodings: BatchEncodings, candidates: tf.Tensor, batch: Batch
    ) -> tf.Tensor:
        return (self._power - 1) * log_frequencies(encodings.shard, batch)[1]


class HardNegatives(InBatchNegatives):
    """Prefers negatives whose encodings are similar to the pair's in0."""

    needs_all_pairs = (True, True)

    def _draw(
        self, encodings: BatchEncodings, candidates: tf.Tensor, batch: Batch
    ) -> tf.Tensor:
        positives = positive_pairs(encodings.shard, batch)
        first = encodings.all_pairs(0)
        pairs = encodings.shard.real_pairs
        return hard_negatives(
            first, candidates, positives, self._rate, self._seeds, pairs
        )

    def _log_weights(
        self, encodings: BatchEncodings, candidates: tf.Tensor, batch: Batch
    ) -> tf.Tensor:
        return HARDNESS * cosines(encodings.all_pairs(0), candidates)


def make_negative_sampler(
    hyperparameters: Hyperparameters, seeds: keras.random.SeedGenerator
) -> NegativeSampler:
    """Returns the negative sampler that the hyperparameters describe."""
    rate = hyperparameters.negative_sampling_rate
    excludes = hyperparameters.negative_exclude_known
    if not rate:
        return NoNegatives()
    if hyperparameters.negative_mining == "hard":
        return HardNegatives(rate, seeds, exclude_known=excludes)
    if hyperparameters.negative_frequency_power < 1:
        power = hyperparameters.negative_frequency_power
        return FrequencyNegatives(rate, seeds, power, exclude_known=excludes)
    return UniformNegatives(rate, seeds, exclude_known=excludes)
