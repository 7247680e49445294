"""Optimizers that update each replica's own variables under ``tf.distribute``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from object2vec_tf.optimizers.loss_scaling import unwrapped


def update_locally(optimizer: keras.optimizers.Optimizer) -> None:
    """Makes an optimizer update exactly the variables that it is given.

    Inside ``Strategy.run``, Keras 3.15 sums the gradients of all replicas and then
    updates mirrored variables (``keras/src/backend/tensorflow/optimizer.py``). Here the
    gradients are already summed, and each replica has its own variables.

    Args:
        optimizer: The optimizer of one replica.
    """
    updates = unwrapped(optimizer)

    def update(
        gradients: Sequence[Any], variables: Sequence[Any], learning_rate: Any
    ) -> None:
        for gradient, variable in zip(gradients, variables, strict=True):
            if isinstance(variable, keras.Variable):
                variable = variable.value
            updates.update_step(gradient, variable, learning_rate)

    updates._backend_update_step = update
