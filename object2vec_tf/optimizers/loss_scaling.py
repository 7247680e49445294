"""Loss scaling for float16: an optimizer that skips steps whose gradients overflow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from object2vec_tf.layers.compilation import under_xla
from object2vec_tf.optimizers.gradients import Gradient
from object2vec_tf.registration import PACKAGE

# The smallest float16 is 2**-24. A larger scale than its inverse gains nothing, and it
# would overflow float32 after enough steps without any 16-bit gradient.
MAX_SCALE = 2.0**24


@keras.saving.register_keras_serializable(package=PACKAGE)
class LossScaling(keras.optimizers.LossScaleOptimizer):
    """Keras's loss scaling, also for gradients of rows, several replicas and XLA.

    The loss is multiplied by a scale, so that small gradients do not become 0 in
    float16. Gradients are divided by it again. If one of them is not finite, the step
    changes neither weights nor the wrapped optimizer, and the scale is halved, to 1 at
    least. After ``dynamic_growth_steps`` steps with finite gradients it is doubled.

    ``LossScaleOptimizer`` of Keras 3.15 makes gradients of rows dense to check them.

    Source: Micikevicius et al. 2018, "Mixed Precision Training", section 3.2.

    Args:
        inner_optimizer: The optimizer that updates the weights.
        **kwargs: As for ``keras.optimizers.LossScaleOptimizer``.

    Example:
        >>> import keras
        >>> import tensorflow as tf
        >>> weight = keras.Variable([1.0])
        >>> optimizer = LossScaling(keras.optimizers.SGD(0.5), initial_scale=8.0)
        >>> optimizer.build([weight])
        >>> optimizer.apply([tf.constant([8.0])], [weight])
        >>> weight.numpy().tolist()
        [0.5]
        >>> optimizer.apply([tf.constant([float("inf")])], [weight])
        >>> weight.numpy().tolist(), float(optimizer.dynamic_scale)
        ([0.5], 4.0)
    """

    @property
    def takes_rows(self) -> bool:
        """Whether the wrapped optimizer updates single rows of token tables."""
        return getattr(self.inner_optimizer, "takes_rows", False)

    # Converts whether a replica's gradients are finite to whether all replicas' are.
    _on_all_replicas: Callable[[tf.Tensor], tf.Tensor] = staticmethod(tf.identity)

    def agree_on_steps(self, on_all_replicas: Callable[[tf.Tensor], tf.Tensor]) -> None:
        """Makes several replicas skip the same steps.

        A replica has the gradients of its own rows of sharded tables only. Without
        this, it would not skip a step because of the rows of another one.

        Args:
            on_all_replicas: Returns whether a condition, a bool scalar, holds on all
                replicas. All of them call it in every step.
        """
        self._on_all_replicas = on_all_replicas

    def apply(self, grads: Sequence[Gradient], trainable_variables: Any = None) -> None:
        """Updates weights by gradients of the scaled loss, if all are finite.

        Args:
            grads: The gradients of all replicas, summed.
            trainable_variables: Their variables; by default those of `build`.
        """
        variables = list(trainable_variables or self._trainable_variables)
        if not self.built:
            self.build(variables)
        finite = self._on_all_replicas(all_finite(grads))
        gradients = [_divided(gradient, self.dynamic_scale.value) for gradient in grads]
        if under_xla():
            self._apply_selected(gradients, variables, finite)
        else:
            tf.cond(finite, lambda: self._apply_inner(gradients, variables), tf.no_op)
        self._update_scale(finite)

    def _apply_inner(
        self, gradients: Sequence[Gradient], variables: Sequence[Any]
    ) -> tf.Operation:
        self.inner_optimizer.apply(gradients, variables)
        return tf.no_op()

    def _apply_selected(
        self,
        gradients: Sequence[Gradient],
        variables: Sequence[Any],
        finite: tf.Tensor,
    ) -> None:
        """Updates, then restores what a skipped step must not change.

        XLA could copy whole tables into the branches of a condition. So the rows of a
        skipped step get indices that are out of range, which XLA drops.
        """
        by_rows = set()
        given = []
        for gradient, variable in zip(gradients, variables, strict=True):
            if isinstance(gradient, tf.IndexedSlices):
                index = self.inner_optimizer._get_variable_index(variable)
                slots = self.inner_optimizer.slots(index)
                by_rows |= {id(slot) for slot in (variable, *slots)}
                gradient = _dropped_unless(gradient, finite, variable.shape[0])
            given.append(gradient)
        whole = [
            variable.value
            for variable in (*variables, *self.inner_optimizer.variables)
            if id(variable) not in by_rows
        ]
        earlier = [variable.read_value() for variable in whole]
        self.inner_optimizer.apply(given, variables)
        for variable, value in zip(whole, earlier, strict=True):
            variable.assign(tf.where(finite, variable.read_value(), value))

    def _update_scale(self, finite: tf.Tensor) -> None:
        """Doubles or halves the scale if it is time."""
        scale = self.dynamic_scale.value.read_value()
        steps = tf.cast(self.step_counter.value + 1, tf.int64)
        steps = tf.where(finite, steps, tf.zeros_like(steps))
        grows = tf.equal(steps, self.dynamic_growth_steps)
        grown = tf.where(grows, tf.minimum(2 * scale, MAX_SCALE), scale)
        self.dynamic_scale.assign(tf.where(finite, grown, tf.maximum(scale / 2, 1.0)))
        self.step_counter.assign(tf.where(grows, tf.zeros_like(steps), steps))


def with_loss_scaling(optimizer: Any) -> keras.optimizers.Optimizer:
    """Returns an optimizer with loss scaling.

    Args:
        optimizer: An optimizer, or its name; returned unchanged if it scales losses.
    """
    optimizer = keras.optimizers.get(optimizer)
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return optimizer
    return LossScaling(optimizer, name="loss_scaling")


def unwrapped(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """Returns the optimizer that updates the weights, without loss scaling."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def all_finite(gradients: Sequence[Gradient | None]) -> tf.Tensor:
    """Returns whether gradients have no infinite value and no NaN, a bool scalar."""
    values = [
        gradient.values if isinstance(gradient, tf.IndexedSlices) else gradient
        for gradient in gradients
        if gradient is not None
    ]
    checks = [tf.reduce_all(tf.math.is_finite(value)) for value in values]
    return tf.reduce_all(tf.stack(checks)) if checks else tf.constant(True)


def _divided(gradient: Gradient | None, scale: tf.Tensor) -> Gradient | None:
    if gradient is None:
        return None
    if isinstance(gradient, tf.IndexedSlices):
        values = gradient.values / tf.cast(scale, gradient.values.dtype)
        return tf.IndexedSlices(values, gradient.indices, gradient.dense_shape)
    return gradient / tf.cast(scale, gradient.dtype)


def _dropped_unless(
    gradient: tf.IndexedSlices, kept: tf.Tensor, rows: int
) -> tf.IndexedSlices:
    """Returns a gradient whose indices are out of range unless it is kept."""
    nowhere = tf.fill(tf.shape(gradient.indices), tf.cast(rows, gradient.indices.dtype))
    indices = tf.where(kept, gradient.indices, nowhere)
    return tf.IndexedSlices(gradient.values, indices, gradient.dense_shape)
