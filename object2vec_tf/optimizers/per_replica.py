"""Optimizers under a strategy of TensorFlow that leave replicas to us."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras


def update_locally(optimizer: keras.optimizers.Optimizer) -> None:
    """Makes an optimizer update the variables it is given, and no others.

    Inside ``Strategy.run``, Keras 3.15 adds up the gradients of all replicas, and then
    updates mirrored variables (``keras/src/backend/tensorflow/optimizer.py``). Here
    gradients come added up, and each replica has variables of its own.

    Args:
        optimizer: The optimizer of one replica.
    """

    def update(
        gradients: Sequence[Any], variables: Sequence[Any], learning_rate: Any
    ) -> None:
        for gradient, variable in zip(gradients, variables, strict=True):
            held = variable.value if isinstance(variable, keras.Variable) else variable
            optimizer.update_step(gradient, held, learning_rate)

    optimizer._backend_update_step = update
