"""Five Keras optimizers that take a gradient of rows and touch no other row.

A dense gradient goes the way of the Keras optimizer each one extends. A gradient of
rows (``tf.IndexedSlices`` with every index once) updates those rows of the variable and
of its slots by the same formula; rows not named stay as they are, slots included, so
moments do not decay while a token is not seen. Where a gradient names every row, the
result is the dense one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import keras
import tensorflow as tf

from object2vec_tf.registration import PACKAGE

Rows: TypeAlias = tf.Tensor


class RowSparse:
    """What the five have in common: read rows, step, write rows.

    Mixed in front of a Keras optimizer, whose options that act on a whole table or
    keep more slots are refused.
    """

    # Tells `Object2Vec` to hand over gradients of token tables as summed rows.
    takes_rows = True
    # Options that act on a whole table, or that Keras 3.15 cannot apply to rows.
    refused: tuple[str, ...] = (
        "weight_decay",
        "use_ema",
        "global_clipnorm",
        "gradient_accumulation_steps",
        "loss_scale_factor",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        given = [name for name in self.refused if getattr(self, name)]
        if given:
            received = ", ".join(f"{name}={getattr(self, name)}" for name in given)
            raise ValueError(
                f"{type(self).__name__} updates single rows and has no "
                f"{', '.join(given)}. Received: {received}"
            )

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Updates a variable, or the rows of it that the gradient names."""
        if not isinstance(gradient, tf.IndexedSlices):
            super().update_step(gradient, variable, learning_rate)  # type: ignore[misc]
            return
        # Keras hands over the tf.Variable of a trainable variable, not its wrapper.
        table = variable.value if isinstance(variable, keras.Variable) else variable
        rows = gradient.indices
        slots = self.slots(self._get_variable_index(variable))  # type: ignore[attr-defined]
        held = [tf.gather(slot.value, rows) for slot in slots]
        rate = tf.cast(learning_rate, table.dtype)
        step, updated = self.row_step(gradient.values, held, rate)
        for slot, value in zip(slots, updated, strict=True):
            slot.value.scatter_update(tf.IndexedSlices(value, rows))
        table.scatter_sub(tf.IndexedSlices(step, rows))

    def slots(self, index: int) -> Sequence[keras.Variable]:
        """Returns the slots of the variable with this index."""
        raise NotImplementedError

    def row_step(
        self, gradient: Rows, slots: Sequence[Rows], learning_rate: tf.Tensor
    ) -> tuple[Rows, Sequence[Rows]]:
        """Returns what is taken off the rows, and the slots' new rows.

        Args:
            gradient: float ``[rows, dim]``.
            slots: The slots' rows as they are, ``[rows, dim]`` each.
            learning_rate: A scalar.
        """
        raise NotImplementedError


@keras.saving.register_keras_serializable(package=PACKAGE)
class RowSparseSGD(RowSparse, keras.optimizers.SGD):
    """Gradient descent; momentum is not kept by row, so it is refused."""

    refused = (*RowSparse.refused, "momentum")

    def slots(self, index: int) -> Sequence[keras.Variable]:
        """Returns none."""
        return ()

    def row_step(
        self, gradient: Rows, slots: Sequence[Rows], learning_rate: tf.Tensor
    ) -> tuple[Rows, Sequence[Rows]]:
        """Returns ``learning_rate * gradient``."""
        return learning_rate * gradient, ()


@keras.saving.register_keras_serializable(package=PACKAGE)
class RowSparseAdagrad(RowSparse, keras.optimizers.Adagrad):
    """Adagrad (Duchi et al. 2011) by row."""

    def slots(self, index: int) -> Sequence[keras.Variable]:
        """Returns the sum of squared gradients."""
        return (self._accumulators[index],)

    def row_step(
        self, gradient: Rows, slots: Sequence[Rows], learning_rate: tf.Tensor
    ) -> tuple[Rows, Sequence[Rows]]:
        """Returns the step and the accumulator."""
        total = slots[0] + tf.square(gradient)
        step = learning_rate * gradient * tf.math.rsqrt(total + self.epsilon)
        return step, (total,)


@keras.saving.register_keras_serializable(package=PACKAGE)
class RowSparseRMSprop(RowSparse, keras.optimizers.RMSprop):
    """RMSprop (Hinton 2012) by row; not centered and without momentum."""

    refused = (*RowSparse.refused, "momentum", "centered")

    def slots(self, index: int) -> Sequence[keras.Variable]:
        """Returns the mean of squared gradients."""
        return (self._velocities[index],)

    def row_step(
        self, gradient: Rows, slots: Sequence[Rows], learning_rate: tf.Tensor
    ) -> tuple[Rows, Sequence[Rows]]:
        """Returns the step and the mean square."""
        mean = self.rho * slots[0] + (1 - self.rho) * tf.square(gradient)
        return learning_rate * gradient * tf.math.rsqrt(mean + self.epsilon), (mean,)


@keras.saving.register_keras_serializable(package=PACKAGE)
class RowSparseAdadelta(RowSparse, keras.optimizers.Adadelta):
    """Adadelta (Zeiler 2012) by row."""

    def slots(self, index: int) -> Sequence[keras.Variable]:
        """Returns the means of squared gradients and of squared steps."""
        return self._accumulated_grads[index], self._accumulated_delta_vars[index]

    def row_step(
        self, gradient: Rows, slots: Sequence[Rows], learning_rate: tf.Tensor
    ) -> tuple[Rows, Sequence[Rows]]:
        """Returns the step and both means."""
        squares, deltas = slots
        squares = self.rho * squares + (1 - self.rho) * tf.square(gradient)
        delta = gradient * tf.sqrt((deltas + self.epsilon) / (squares + self.epsilon))
        deltas = self.rho * deltas + (1 - self.rho) * tf.square(delta)
        return learning_rate * delta, (squares, deltas)


@keras.saving.register_keras_serializable(package=PACKAGE)
class RowSparseAdam(RowSparse, keras.optimizers.Adam):
    """Adam (Kingma and Ba 2015) by row; the bias correction counts all steps."""

    refused = (*RowSparse.refused, "amsgrad")

    def slots(self, index: int) -> Sequence[keras.Variable]:
        """Returns the first and second moments."""
        return self._momentums[index], self._velocities[index]

    def row_step(
        self, gradient: Rows, slots: Sequence[Rows], learning_rate: tf.Tensor
    ) -> tuple[Rows, Sequence[Rows]]:
        """Returns the step and both moments."""
        momentum, velocity = slots
        count = tf.cast(self.iterations.value + 1, gradient.dtype)
        correction = tf.sqrt(1 - self.beta_2**count) / (1 - self.beta_1**count)
        momentum = momentum + (1 - self.beta_1) * (gradient - momentum)
        velocity = velocity + (1 - self.beta_2) * (tf.square(gradient) - velocity)
        step = (
            learning_rate * correction * momentum / (tf.sqrt(velocity) + self.epsilon)
        )
        return step, (momentum, velocity)
