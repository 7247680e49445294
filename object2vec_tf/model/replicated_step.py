"""Steps of several replicas on batches in the static layout.

XLA compiles the parts of a step that need no other replica. TensorFlow's collectives
exchange encodings and gradients between these parts. All sizes are static, so each of
them is a single op.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from object2vec_tf.distributed.batch_shard import BatchEncodings
from object2vec_tf.distributed.collectives import current_collectives
from object2vec_tf.distributed.padded_batch import padded_data
from object2vec_tf.distributed.sharded_batch import batch_shard_of
from object2vec_tf.model.batch_inputs import Batch
from object2vec_tf.model.static_encoding import table_numbers
from object2vec_tf.model.train_step import (
    PairModel,
    apply_gradients,
    encoding_plan,
    evaluation_step,
    measure,
    reduce_gradients,
    training_loss,
    update_training_metrics,
)
from object2vec_tf.optimizers.gradients import Gradient
from object2vec_tf.ragged.static_layout import BatchShape

Tensors = list[tf.Tensor]
# Gradients of variables by their values alone; None for a variable without one.
Values = list[tf.Tensor | None]


class ReplicatedStep:
    """The steps of one of several replicas.

    Args:
        model: The compiled model of the replica.
        shape: The shape of the batches.
        replica: The number of the replica.
    """

    def __init__(self, model: PairModel, shape: BatchShape, replica: int) -> None:
        self._model = model
        self._shape = shape
        self._replica = replica
        self._tables = table_numbers((model.enc0, model.enc1), shape.layout.tied)
        encoders = {
            id(variable)
            for network in (model.enc0, model.enc1)
            for variable in network.trainable_variables
        }
        self._encodes = [id(v) in encoders for v in model.trainable_variables]
        # The sides whose encodings of all pairs are used.
        self._trained = _sides(encoding_plan(model).all_pairs)
        self._measured = _sides(model.objective.needs_all_pairs)

    def train(self, vector: tf.Tensor) -> None:
        """Updates the weights by a batch, and the metrics by its rows of this replica.

        Args:
            vector: The replica's vector of the batch, uint32 ``[shape.size]``.
        """
        if self._trained:
            values = self._gradients_by_all_pairs(vector)
        else:
            values = _compiled(self._gradients)(vector)
        given = [value for value in values if value is not None]
        flat = tf.concat([tf.reshape(value, [-1]) for value in given], axis=0)
        sums = current_collectives().all_reduce(flat)

        def update(vector: tf.Tensor, sums: tf.Tensor) -> None:
            parts = iter(
                tf.split(sums, [value.shape.num_elements() for value in given])
            )
            gradients = [
                None if value is None else tf.reshape(next(parts), value.shape)
                for value in values
            ]
            self._apply(vector, gradients)

        _compiled(update)(vector, sums)

    def evaluate(self, vector: tf.Tensor) -> None:
        """Updates the metrics by a batch; see `train` for the Args."""
        if not self._measured:
            _compiled(lambda vector: evaluation_step(self._model, self._data(vector)))(
                vector
            )
            return

        def encode(vector: tf.Tensor) -> Tensors:
            inputs = self._batch(vector).inputs
            return self._with_shared(
                self._model.encode_checked(inputs, training=False), self._measured
            )

        def update(vector: tf.Tensor, *encodings: tf.Tensor) -> None:
            batch = self._batch(vector)
            of_all = self._encodings(batch, encodings, self._measured)
            measure(self._model, of_all, batch)

        _compiled(update)(vector, *_gathered(_compiled(encode)(vector)))

    def _gradients(self, vector: tf.Tensor) -> Values:
        """Returns the gradients if the losses of pairs are independent."""
        model, batch = self._model, self._batch(vector)
        with tf.GradientTape() as tape:
            own = model.encode_for_training(batch.inputs)
            encodings = self._encodings(batch, own, ())
            loss = training_loss(model, encodings, batch)
            scaled = model.optimizer.scale_loss(loss.value)
        update_training_metrics(model, encodings.shard, loss)
        variables = [variable.value for variable in model.trainable_variables]
        return [_values(gradient) for gradient in tape.gradient(scaled, variables)]

    def _gradients_by_all_pairs(self, vector: tf.Tensor) -> Values:
        """Returns the gradients if the losses depend on encodings of other replicas."""
        with tf.GradientTape() as tape:
            encodings = _compiled(self._encode)(vector)
        *own, of_all, others = _compiled(self._loss_gradients)(
            vector, *_gathered(encodings)
        )
        # The gradients of the losses of all replicas.
        of_all = current_collectives().all_reduce(of_all)
        start = self._replica * self._shape.rows
        upstream = [*own, of_all[start : start + self._shape.rows]]
        variables = [variable.value for variable in self._variables(encoders=True)]
        encoders = iter(tape.gradient(encodings, variables, upstream))
        rest = iter(others)
        return [
            _values(next(encoders)) if encodes else next(rest)
            for encodes in self._encodes
        ]

    def _encode(self, vector: tf.Tensor) -> Tensors:
        """Returns what `_with_shared` does, with dropout."""
        encodings = self._model.encode_for_training(self._batch(vector).inputs)
        return self._with_shared(encodings, self._trained)

    def _loss_gradients(self, vector: tf.Tensor, *encodings: tf.Tensor) -> list[Any]:
        """Returns the gradients of this replica's part of the loss.

        Args:
            vector: As for `train`.
            *encodings: As for `_encodings`.

        Returns:
            The gradients of each of the encodings, and those of variables that are not
            encoders'.
        """
        model, batch = self._model, self._batch(vector)
        with tf.GradientTape() as tape:
            tape.watch(encodings)
            of_all = self._encodings(batch, encodings, self._trained)
            loss = training_loss(model, of_all, batch)
            scaled = model.optimizer.scale_loss(loss.value)
        update_training_metrics(model, of_all.shard, loss)
        variables = [variable.value for variable in self._variables(encoders=False)]
        of_encodings, others = tape.gradient(scaled, (encodings, variables))
        return [
            *(
                tf.zeros_like(encoding)
                if gradient is None
                else tf.convert_to_tensor(gradient)
                for encoding, gradient in zip(encodings, of_encodings, strict=True)
            ),
            others,
        ]

    def _variables(self, encoders: bool) -> list[Any]:
        """Returns the trained variables of the encoders, or the other ones."""
        return [
            variable
            for variable, encodes in zip(
                self._model.trainable_variables, self._encodes, strict=True
            )
            if encodes == encoders
        ]

    def _data(self, vector: tf.Tensor) -> Any:
        return padded_data(tf.bitcast(vector, tf.int32), self._shape, self._replica)

    def _batch(self, vector: tf.Tensor) -> Batch:
        key = self._model.hyperparameters.object_key
        return Batch.from_data(self._data(vector), key)

    def _with_shared(
        self, encodings: tuple[tf.Tensor, tf.Tensor], sides: Sequence[int]
    ) -> Tensors:
        """Returns encodings, and those that other replicas need, in one array."""
        if not sides:
            return [*encodings]
        return [*encodings, tf.concat([encodings[side] for side in sides], axis=1)]

    def _encodings(
        self, batch: Batch, encodings: Sequence[tf.Tensor], sides: Sequence[int]
    ) -> BatchEncodings:
        """Returns the encodings of a batch.

        Args:
            batch: The batch.
            encodings: Encodings of in0 and of in1 of this replica's rows, float
                ``[rows, enc_dim]``; if there are ``sides``, also those of these sides
                of all rows, float ``[batch_rows, len(sides) * enc_dim]``.
            sides: The sides (0, 1).
        """
        first, second, *of_all = encodings
        parts: list[tf.Tensor | None] = [None, None]
        for shared in of_all:
            for i, part in enumerate(tf.split(shared, len(sides), axis=1)):
                parts[sides[i]] = part
        return BatchEncodings(
            batch_shard_of(batch.inputs), (first, second), (parts[0], parts[1])
        )

    def _apply(self, vector: tf.Tensor, values: Values) -> None:
        """Updates the weights.

        Args:
            vector: As for `train`.
            values: The sums over all replicas; those of tables are the gradients of
                the unique tokens, ``[unique, dim]``.
        """
        model, inputs = self._model, self._batch(vector).inputs
        gradients: list[Gradient | None] = [*values]
        for i, variable in enumerate(model.trainable_variables):
            table, value = self._tables.get(id(variable)), values[i]
            if table is not None and value is not None:
                shape = tf.constant(list(variable.shape))
                gradients[i] = tf.IndexedSlices(value, inputs[f"unique{table}"], shape)
        apply_gradients(
            model, reduce_gradients(model, batch_shard_of(inputs), gradients)
        )


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    compiled: Callable[..., Any] = tf.function(
        function, jit_compile=True, autograph=False
    )
    return compiled


def _sides(are_used: tuple[bool, bool]) -> tuple[int, ...]:
    return tuple(side for side in (0, 1) if are_used[side])


def _gathered(encodings: Tensors) -> Tensors:
    """Returns the encodings of own rows, and the shared ones of all replicas."""
    first, second, *shared = encodings
    return [first, second, *map(current_collectives().all_gather, shared)]


def _values(gradient: Gradient | None) -> tf.Tensor | None:
    return gradient.values if isinstance(gradient, tf.IndexedSlices) else gradient
