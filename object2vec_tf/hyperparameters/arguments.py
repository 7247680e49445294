"""Arguments of the public functions, checked before anything is done with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from object2vec_tf.errors import UserError
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.hyperparameters.kinds import Integer


def as_hyperparameters(value: Hyperparameters | Mapping[str, Any]) -> Hyperparameters:
    """Returns hyperparameters, of which a mapping by name is made.

    Raises:
        HyperparameterError: The mapping breaks a rule.
        TypeError: It is neither.
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
    """Returns an argument as an int; numpy's integers are accepted.

    Raises:
        UserError: It is no whole number, or lower than ``low``.
    """
    try:
        return Integer(low).parse(value)
    except ValueError as error:
        raise UserError(f"{name}: {error}") from error
