"""One training step, and one evaluation step, of Object2Vec."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import keras
import tensorflow as tf

from object2vec_tf.distributed.batch_shard import (
    BatchEncodings,
    BatchShard,
    EncodingPlan,
    GradientScope,
    Inputs,
    PairCounts,
    replicated_encoders,
)
from object2vec_tf.distributed.sharded_batch import batch_shard_of
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.layers.table_placement import TablePlacement
from object2vec_tf.model.batch_inputs import Batch
from object2vec_tf.model.builders import token_tables_of
from object2vec_tf.model.negative_samplers import NegativeSampler, TrainingPairs
from object2vec_tf.model.objectives import Objective
from object2vec_tf.optimizers.gradients import Gradient, add_weight_decay

# Name of Keras's metric that has all metrics which are given to ``compile``.
_COMPILED = "compile_metrics"
# Variables whose paths end like this have no weight decay.
_NOT_DECAYED = ("bias", "log_temperature")


class PairModel(Protocol):
    """What a step needs of a compiled `object2vec_tf.Object2Vec`, besides Keras's own.

    Attributes:
        hyperparameters: The hyperparameters.
        placement: Where the rows of token tables are kept.
        enc0: Encoder of in0.
        enc1: Encoder of in1.
        comparator: Model from two encodings to scores.
        objective: The loss that trains the encoders.
        negative_sampler: Adds negatives to the pairs of the comparator.
        optimizer: The optimizer.
        metrics: The metrics, with the loss.
        trainable_variables: The variables that a step updates.
    """

    hyperparameters: Hyperparameters
    placement: TablePlacement
    enc0: keras.Model
    enc1: keras.Model
    comparator: keras.Model
    objective: Objective
    negative_sampler: NegativeSampler
    optimizer: Any
    metrics: Sequence[keras.metrics.Metric]
    trainable_variables: Sequence[keras.Variable]

    @property
    def encoders_share_weights(self) -> bool:
        """Whether both sides are encoded with the same weights."""

    def encode_checked(
        self, inputs: Inputs, training: bool | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the encodings of in0 and of in1, which have no padding."""

    def encode_for_training(self, inputs: Inputs) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the encodings of in0 and of in1, with dropout."""

    def compute_loss(self, *args: Any, **kwargs: Any) -> tf.Tensor:
        """Returns the loss of scores; see ``keras.Model``."""


def train_step(model: PairModel, data: Any) -> None:
    """Updates the weights by the gradients of one batch, and the metrics.

    Args:
        model: The compiled model.
        data: ``(inputs, labels)`` or ``(inputs, labels, weights)``. Inputs that are a
            shard of a batch (`object2vec_tf.distributed`) are used together with those
            of the other replicas.
    """
    batch = _batch(model, data)
    shard = batch_shard_of(batch.inputs)
    plan = encoding_plan(model)
    if any(plan.all_pairs):
        batch.check_labels()
    with tf.GradientTape() as tape:
        encodings = shard.encode(model.encode_for_training, batch.inputs, plan)
        loss = training_loss(model, encodings, batch)
        scaled = model.optimizer.scale_loss(loss.value)
    variables = [variable.value for variable in model.trainable_variables]
    if variables:
        gradients = tape.gradient(scaled, variables)
        apply_gradients(model, reduce_gradients(model, shard, gradients))
    else:  # as Keras does
        warnings.warn("The model does not have any trainable weights.", stacklevel=2)
    update_training_metrics(model, shard, loss)


def _batch(model: PairModel, data: Any) -> Batch:
    """Returns the data that a step gets as a batch."""
    hyperparameters = model.hyperparameters
    continued_from = [hyperparameters.id_limits(i).continued_from for i in (0, 1)]
    return Batch.from_data(data, hyperparameters.object_key, continued_from)


class TrainingLoss(NamedTuple):
    """The loss of a replica's pairs, and what it was computed from.

    Attributes:
        value: This replica's part of the batch's loss, a float scalar.
        pairs: The pairs of the comparator.
        scores: Their scores, float ``[pairs, outputs]``.
    """

    value: tf.Tensor
    pairs: TrainingPairs
    scores: tf.Tensor


def training_loss(
    model: PairModel, encodings: BatchEncodings, batch: Batch
) -> TrainingLoss:
    """Returns the loss that a step minimizes.

    Args:
        model: The compiled model.
        encodings: Encodings of the batch.
        batch: The batch.
    """
    loss = model.objective.encoder_loss(encodings, batch, training=True)
    pairs = model.negative_sampler.add(
        model.objective.comparator_encodings(encodings), batch
    )
    pairs = dataclasses.replace(pairs, labels=batch.as_given(pairs.labels))
    scores = model.comparator([pairs.first, pairs.second], training=True)
    mean = model.compute_loss(
        batch.inputs, pairs.labels, scores, pairs.weights, training=True
    )
    loss += encodings.shard.contribution(mean, pairs.counts)
    return TrainingLoss(loss, pairs, scores)


def apply_gradients(model: PairModel, gradients: Sequence[Gradient | None]) -> None:
    """Updates the weights.

    Args:
        model: The compiled model.
        gradients: The batch's gradients of the trainable variables.
    """
    model.optimizer.apply_gradients(
        [
            (_with_weight_decay(model, gradient, variable), variable)
            for gradient, variable in zip(
                gradients, model.trainable_variables, strict=True
            )
            if gradient is not None  # with dropout=1, which `fit` warns about
        ]
    )


def update_training_metrics(
    model: PairModel, shard: BatchShard, loss: TrainingLoss
) -> None:
    """Updates the metrics by the pairs of a replica.

    Args:
        model: The compiled model.
        shard: The rows of the replica.
        loss: Their loss.
    """
    pairs = loss.pairs
    mean = shard.own_mean(loss.value, pairs.counts)
    _update_metrics(
        model, shard, mean, pairs.labels, loss.scores, pairs.weights, pairs.counts
    )


def evaluation_step(model: PairModel, data: Any) -> None:
    """Updates the metrics by one batch.

    Args:
        model: The compiled model.
        data: As for `train_step`.
    """
    batch = _batch(model, data)
    shard = batch_shard_of(batch.inputs)
    encoded = model.encode_checked(batch.inputs, training=False)
    encodings = BatchEncodings(shard, encoded)
    measure(model, encodings, batch)


def measure(model: PairModel, encodings: BatchEncodings, batch: Batch) -> None:
    """Updates the metrics by encodings that are not trained.

    Args:
        model: The compiled model.
        encodings: Encodings of the batch.
        batch: The batch.
    """
    shard = encodings.shard
    scores = model.comparator(list(encodings.own), training=False)
    loss = model.objective.encoder_loss(encodings, batch, training=False)
    labels = batch.as_given(batch.labels)
    mean = model.compute_loss(
        batch.inputs, labels, scores, batch.weights, training=False
    )
    loss += shard.contribution(mean)
    mean = shard.own_mean(loss)
    _update_metrics(model, shard, mean, labels, scores, batch.weights)


def encoding_plan(model: PairModel) -> EncodingPlan:
    """Returns how several replicas encode a training batch."""
    sides = zip(
        model.objective.needs_all_pairs,
        model.negative_sampler.needs_all_pairs,
        strict=True,
    )
    in0, in1 = (objective or negatives for objective, negatives in sides)
    return EncodingPlan(_replicated_encoders(model), (in0, in1))


def _replicated_encoders(model: PairModel) -> tuple[int, ...]:
    return replicated_encoders(model.hyperparameters, model.placement.is_sharded)


def _update_metrics(
    model: PairModel,
    shard: BatchShard,
    loss: Any,
    labels: Any,
    scores: Any,
    weights: Any,
    counts: PairCounts | None = None,
) -> None:
    labels, scores, weights = (
        shard.metric_rows(rows) for rows in (labels, scores, weights)
    )
    for metric in model.metrics:
        if metric.name == "loss":
            pairs = shard.metric_count(scores, counts)
            metric.update_state(loss, sample_weight=pairs)
        elif metric.name == _COMPILED:  # others are updated by their owners
            metric.update_state(labels, scores, sample_weight=weights)


def reduce_gradients(
    model: PairModel, shard: BatchShard, gradients: Sequence[Gradient | None]
) -> list[Gradient | None]:
    """Returns the gradients of the whole batch, with repeated tokens summed.

    Args:
        model: The compiled model.
        shard: The rows of a replica.
        gradients: Their gradients of the trainable variables.
    """
    as_rows = getattr(model.optimizer, "takes_rows", False)
    # A lookup returns each row once; two lookups of one table may share rows.
    distinct = model.encoders_share_weights or (
        not model.hyperparameters.tied_token_embedding_weight
    )
    return shard.reduce_gradients(gradients, as_rows, distinct, _scopes(model))


def _scopes(model: PairModel) -> list[GradientScope]:
    """Returns what the gradients of the trainable variables are of."""
    encoders = model.enc0, model.enc1
    scopes = {
        id(variable): GradientScope.BATCH
        for encoder in _replicated_encoders(model)
        for variable in encoders[encoder].variables
    }
    if model.placement.is_sharded:
        for encoder in encoders:
            for table in token_tables_of(encoder).values():
                scopes[id(table)] = GradientScope.OWN_ROWS
    return [
        scopes.get(id(variable), GradientScope.OWN_PAIRS)
        for variable in model.trainable_variables
    ]


def _with_weight_decay(
    model: PairModel, gradient: Gradient, variable: keras.Variable
) -> Gradient:
    decay = model.hyperparameters.weight_decay
    if decay and not variable.path.endswith(_NOT_DECAYED):
        # The optimizer divides by the scale of the loss, if there is one.
        return add_weight_decay(gradient, variable, model.optimizer.scale_loss(decay))
    return gradient
