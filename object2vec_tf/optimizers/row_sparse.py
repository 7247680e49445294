"""Five Keras optimizers that update only the rows in a gradient of rows.

A dense gradient is applied by the Keras optimizer that each of them extends. A gradient
of rows (``tf.IndexedSlices`` with unique indices) updates these rows of the variable
and of its slots by the same formula. Other rows do not change, nor do their slots, so
the moments of a token do not decay while it does not occur. A gradient with all rows
gives the same result as a dense one.

TensorFlow's training ops are the fastest way to compute the formulas on a CPU. They
need temporary variables for the rows, which XLA cannot compile. Under XLA the formulas
are plain ops, which XLA fuses, and rows whose index is out of range are dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from object2vec_tf.layers.compilation import under_xla
from object2vec_tf.optimizers.fused import FusedAdam
from object2vec_tf.optimizers.temporary_variables import (
    gathered_rows,
    subtract_rows,
    variable_of,
)
from object2vec_tf.registration import PACKAGE


class RowSparse:
    """A mixin for Keras optimizers that reads rows, updates them and writes them back.

    Options of the optimizer that act on a whole table or need more slots are rejected.
    """

    # `Object2Vec` then passes the gradients of token tables as summed rows.
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
                f"{type(self).__name__}: expected no {' or '.join(given)}, got "
                f"{received}. Use an optimizer that updates whole tables."
            )

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Updates a variable, or only the rows in the gradient."""
        if not isinstance(gradient, tf.IndexedSlices):
            super().update_step(gradient, variable, learning_rate)  # type: ignore[misc]
            return
        # Keras passes the tf.Variable of a trainable variable, not its wrapper.
        table = variable.value if isinstance(variable, keras.Variable) else variable
        slots = self.slots(self._get_variable_index(variable))  # type: ignore[attr-defined]
        update = self.compiled_update if under_xla() else self.update_rows
        update(
            table,
            [slot.value for slot in slots],
            gradient.indices,
            gradient.values,
            tf.cast(learning_rate, table.dtype),
        )

    def slots(self, index: int) -> Sequence[keras.Variable]:
        """Returns the slots of the variable with this index."""
        raise NotImplementedError

    def update_rows(
        self,
        table: tf.Variable,
        slots: Sequence[tf.Variable],
        rows: tf.Tensor,
        gradient: tf.Tensor,
        learning_rate: tf.Tensor,
    ) -> None:
        """Updates rows of a table, and the same rows of its slots.

        Args:
            table: float ``[vocabulary, dim]``.
            slots: The slots, each float ``[vocabulary, dim]``.
            rows: Unique row indices, ``[rows]``.
            gradient: float ``[rows, dim]``.
            learning_rate: A scalar.
        """
        raise NotImplementedError

    def compiled_update(
        self,
        table: tf.Variable,
        slots: Sequence[tf.Variable],
        rows: tf.Tensor,
        gradient: tf.Tensor,
        learning_rate: tf.Tensor,
    ) -> None:
        """Does the same as `update_rows` with ops that XLA compiles."""
        variables = [table, *slots]
        values = [tf.gather(variable, rows) for variable in variables]
        updated = self.updated_rows(values[0], values[1:], gradient, learning_rate)
        for variable, value in zip(variables, updated, strict=True):
            variable.scatter_update(tf.IndexedSlices(value, rows))

    def updated_rows(
        self,
        vectors: tf.Tensor,
        slots: Sequence[tf.Tensor],
        gradient: tf.Tensor,
        learning_rate: tf.Tensor,
    ) -> Sequence[tf.Tensor]:
        """Returns new rows of a table, and of its slots.

        Args:
            vectors: The rows of the table, float ``[rows, dim]``.
            slots: The same rows of the slots, each float ``[rows, dim]``.
            gradient: float ``[rows, dim]``.
            learning_rate: A scalar.
        """
        raise NotImplementedError


@keras.saving.register_keras_serializable(package=PACKAGE)
class RowSparseSGD(RowSparse, keras.optimizers.SGD):
    """Stochastic gradient descent by row, without momentum."""

    refused = (*RowSparse.refused, "momentum")

    def slots(self, index: int) -> Sequence[keras.Variable]:
        """Returns an empty tuple: there are no slots."""
        return ()

    def update_rows(
        self,
        table: tf.Variable,
        slots: Sequence[tf.Variable],
        rows: tf.Tensor,
        gradient: tf.Tensor,
        learning_rate: tf.Tensor,
    ) -> None:
        """See `RowSparse`."""
        subtract_rows(table, rows, learning_rate * gradient)

    def updated_rows(
        self,
        vectors: tf.Tensor,
        slots: Sequence[tf.Tensor],
        gradient: tf.Tensor,
        learning_rate: tf.Tensor,
    ) -> Sequence[tf.Tensor]:
        """See `RowSparse`."""
        return (vectors - learning_rate * gradient,)


@keras.saving.register_keras_serializable(package=PACKAGE)
class RowSparseAdagrad(RowSparse, keras.optimizers.Adagrad):
    """Adagrad (Duchi et al. 2011) by row."""

    def slots(self, index: int) -> Sequence[keras.Variable]:
        """Returns the sum of squared gradients."""
        return (self._accumulators[index],)

    def update_rows(
        self,
        table: tf.Variable,
        slots: Sequence[tf.Variable],
        rows: tf.Tensor,
        gradient: tf.Tensor,
        learning_rate: tf.Tensor,
    ) -> None:
        """See `RowSparse`."""
        total = tf.gather(slots[0], rows) + tf.square(gradient)
        slots[0].scatter_update(tf.IndexedSlices(total, rows))
        # Keras adds epsilon under the square root; the op would add it outside.
        with (
            variable_of(total + self.epsilon) as accumulator,
            gathered_rows([table], rows) as (vectors,),
        ):
            tf.raw_ops.ResourceApplyAdagrad(
                var=vectors,
                accum=accumulator,
                lr=learning_rate,
                grad=gradient,
                update_slots=False,
            )

    def updated_rows(
        self,
        vectors: tf.Tensor,
        slots: Sequence[tf.Tensor],
        gradient: tf.Tensor,
        learning_rate: tf.Tensor,
    ) -> Sequence[tf.Tensor]:
        """See `RowSparse`."""
        total = slots[0] + tf.square(gradient)
        step = gradient / tf.sqrt(total + self.epsilon)
        return vectors - learning_rate * step, total


@keras.saving.register_keras_serializable(package=PACKAGE)
class RowSparseRMSprop(RowSparse, keras.optimizers.RMSprop):
    """RMSprop (Hinton 2012) by row, not centered and without momentum."""

    refused = (*RowSparse.refused, "momentum", "centered")

    def slots(self, index: int) -> Sequence[keras.Variable]:
        """Returns the mean of squared gradients."""
        return (self._velocities[index],)

    def update_rows(
        self,
        table: tf.Variable,
        slots: Sequence[tf.Variable],
        rows: tf.Tensor,
        gradient: tf.Tensor,
        learning_rate: tf.Tensor,
    ) -> None:
        """See `RowSparse`."""
        with (
            variable_of(tf.zeros_like(gradient)) as momentum,
            gathered_rows([table, *slots], rows) as (vectors, mean),
        ):
            tf.raw_ops.ResourceApplyRMSProp(
                var=vectors,
                ms=mean,
                mom=momentum,
                lr=learning_rate,
                rho=self.rho,
                momentum=0.0,
                epsilon=self.epsilon,
                grad=gradient,
            )

    def updated_rows(
        self,
        vectors: tf.Tensor,
        slots: Sequence[tf.Tensor],
        gradient: tf.Tensor,
        learning_rate: tf.Tensor,
    ) -> Sequence[tf.Tensor]:
        """See `RowSparse`."""
        mean = self.rho * slots[0] + (1 - self.rho) * tf.square(gradient)
        step = gradient / tf.sqrt(mean + self.epsilon)
        return vectors - learning_rate * step, mean


@keras.saving.register_keras_serializable(package=PACKAGE)
class RowSparseAdadelta(RowSparse, keras.optimizers.Adadelta):
    """Adadelta (Zeiler 2012) by row."""

    def slots(self, index: int) -> Sequence[keras.Variable]:
        """Returns the means of squared gradients and of squared updates."""
        return self._accumulated_grads[index], self._accumulated_delta_vars[index]

    def update_rows(
        self,
        table: tf.Variable,
        slots: Sequence[tf.Variable],
        rows: tf.Tensor,
        gradient: tf.Tensor,
        learning_rate: tf.Tensor,
    ) -> None:
        """See `RowSparse`."""
        with gathered_rows([table, *slots], rows) as (vectors, squares, deltas):
            tf.raw_ops.ResourceApplyAdadelta(
                var=vectors,
                accum=squares,
                accum_update=deltas,
                lr=learning_rate,
                rho=self.rho,
                epsilon=self.epsilon,
                grad=gradient,
            )

    def updated_rows(
        self,
        vectors: tf.Tensor,
        slots: Sequence[tf.Tensor],
        gradient: tf.Tensor,
        learning_rate: tf.Tensor,
    ) -> Sequence[tf.Tensor]:
        """See `RowSparse`."""
        squares = self.rho * slots[0] + (1 - self.rho) * tf.square(gradient)
        root = tf.sqrt(slots[1] + self.epsilon)
        step = gradient * root / tf.sqrt(squares + self.epsilon)
        deltas = self.rho * slots[1] + (1 - self.rho) * tf.square(step)
        return vectors - learning_rate * step, squares, deltas


@keras.saving.register_keras_serializable(package=PACKAGE)
class RowSparseAdam(RowSparse, FusedAdam):
    """Adam (Kingma and Ba 2015) by row; bias correction counts all training steps."""

    refused = (*RowSparse.refused, "amsgrad")

    def slots(self, index: int) -> Sequence[keras.Variable]:
        """Returns the first and second moments."""
        return self._momentums[index], self._velocities[index]

    def update_rows(
        self,
        table: tf.Variable,
        slots: Sequence[tf.Variable],
        rows: tf.Tensor,
        gradient: tf.Tensor,
        learning_rate: tf.Tensor,
    ) -> None:
        """See `RowSparse`."""
        with gathered_rows([table, *slots], rows) as (vectors, *moments):
            self.apply_adam(vectors, moments, gradient, learning_rate)

    def updated_rows(
        self,
        vectors: tf.Tensor,
        slots: Sequence[tf.Tensor],
        gradient: tf.Tensor,
        learning_rate: tf.Tensor,
    ) -> Sequence[tf.Tensor]:
        """See `RowSparse`."""
        first = slots[0] + (1 - self.beta_1) * (gradient - slots[0])
        second = slots[1] + (1 - self.beta_2) * (tf.square(gradient) - slots[1])
        powers = self.beta_powers(gradient.dtype)
        rate = learning_rate * tf.sqrt(1 - powers[1]) / (1 - powers[0])
        return vectors - rate * first / (tf.sqrt(second) + self.epsilon), first, second
