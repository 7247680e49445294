"""Validation of arguments of the public functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from object2vec_tf.errors import UserError
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.hyperparameters.kinds import Integer


def as_hyperparameters(value: Hyperparameters | Mapping[str, Any]) -> Hyperparameters:
    """Returns hyperparameters, built from a mapping of names to values if needed.

    Raises:
        HyperparameterError: The mapping has invalid values.
        TypeError: The value is neither.
    """
    if isinstance(value, Hyperparameters):
        return value
    if isinstance(value, Mapping):
        return Hyperparameters.from_mapping(value)
    raise TypeError(
        "hyperparameters: expected Hyperparameters or a mapping of names to values, "
        f"got {type(value).__name__}"
    )


def as_integer(name: str, value: object, low: int = 0) -> int:
    """Returns an argument as an int; integers of numpy are accepted.

    Args:
        name: Name of the argument, for messages.
        value: Value of the argument.
        low: Minimum.

    Raises:
        UserError: It is not an integer of ``low`` or more.
    """
    try:
        return Integer(low).parse(value)
    except ValueError as error:
        raise UserError(f"{name}: {error}") from error
