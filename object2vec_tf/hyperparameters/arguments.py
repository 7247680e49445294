"""Validation of arguments of the public functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from object2vec_tf.errors import UserError
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.hyperparameters.kinds import Integer, Real

# Of integers of 64 bits.
MAX_INTEGER = 2**63 - 1
# 10**18 bytes.
MAX_GIGABYTES = 1e9


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
        UserError: It is not an integer of ``low`` or more, or needs over 64 bits.
    """
    try:
        number = Integer(low).parse(value)
    except ValueError as error:
        raise UserError(f"{name}: {error}") from error
    if number > MAX_INTEGER:
        raise UserError(
            f"{name}: expected an integer up to {MAX_INTEGER}, got a larger one."
        )
    return number


def as_boolean(name: str, value: object) -> bool:
    """Returns an argument as a bool; those of numpy are accepted.

    Args:
        name: Name of the argument, for messages.
        value: Value of the argument.

    Raises:
        UserError: It is another value, such as a string.
    """
    if isinstance(value, bool | np.bool_):
        return bool(value)
    raise UserError(f"{name}: expected True or False, got {value!r:.60}.")


def as_gigabytes(name: str, value: object) -> float:
    """Returns an argument as a number of gigabytes.

    Args:
        name: Name of the argument, for messages.
        value: Value of the argument.

    Raises:
        UserError: It is not a finite number above 0, or more than any disk has.
    """
    try:
        number = Real(0, MAX_GIGABYTES).parse(value)
    except ValueError:
        number = 0.0
    if number > 0:
        return number
    raise UserError(
        f"{name}: expected a number above 0, at most {MAX_GIGABYTES:g}, got "
        f"{value!s:.60}. Correct it, or leave it out."
    )
