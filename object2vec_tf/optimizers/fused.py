"""Keras's Adam with one fused op per variable."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from object2vec_tf.registration import PACKAGE


@keras.saving.register_keras_serializable(package=PACKAGE)
class FusedAdam(keras.optimizers.Adam):
    """Keras's Adam, computed faster by TensorFlow's ``ResourceApplyAdam``.

    Keras 3.15 computes the formula in a dozen ops, each of which passes over memory
    once. With two tables of 10,000 x 64, that took 2 ms of a step of 4 ms.
    """

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Updates a variable."""
        # Keras passes the tf.Variable of a trainable variable, not its wrapper.
        tensor = variable.value if isinstance(variable, keras.Variable) else variable
        if self.amsgrad or isinstance(gradient, tf.IndexedSlices):
            super().update_step(gradient, variable, learning_rate)
            return
        index = self._get_variable_index(variable)
        moments = self._momentums[index].value, self._velocities[index].value
        self.apply_adam(
            tensor.handle,
            [moment.handle for moment in moments],
            tf.cast(gradient, tensor.dtype),
            tf.cast(learning_rate, tensor.dtype),
        )

    def apply_adam(
        self,
        variable: tf.Tensor,
        moments: list[tf.Tensor],
        gradient: tf.Tensor,
        learning_rate: tf.Tensor,
    ) -> None:
        """Updates a variable given by its handle.

        Args:
            variable: Handle of the variable.
            moments: Handles of its first and second moments.
            gradient: The gradient, of the variable's shape.
            learning_rate: A scalar.
        """
        powers = self.beta_powers(gradient.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable,
            m=moments[0],
            v=moments[1],
            beta1_power=powers[0],
            beta2_power=powers[1],
            lr=learning_rate,
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )

    def beta_powers(self, dtype: tf.DType) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns both betas to the power of the number of this step, from 1 on."""
        count = tf.cast(self.iterations.value + 1, dtype)
        first, second = (
            tf.pow(tf.cast(beta, dtype), count) for beta in (self.beta_1, self.beta_2)
        )
        return first, second
