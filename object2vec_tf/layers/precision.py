"""The precision of a model: the type in which layers compute, as Keras's policies.

Under a mixed policy, convolutions, the products of LSTMs and the MLP are computed in 16
bits. Weights, sums, encodings, scores, losses and metrics are float32.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from object2vec_tf.errors import UserError

# The precisions, each with the name of Keras's policy.
_POLICIES = {
    "float32": "float32",
    "bfloat16": "mixed_bfloat16",
    "float16": "mixed_float16",
}
PRECISIONS = tuple(_POLICIES)


def policy_of(precision: str) -> keras.DTypePolicy:
    """Returns Keras's policy of a precision.

    Args:
        precision: One of `PRECISIONS`.

    Example:
        >>> from object2vec_tf.layers.precision import policy_of
        >>> policy_of("bfloat16")
        <DTypePolicy "mixed_bfloat16">
    """
    return keras.DTypePolicy(_POLICIES[precision])


def check_precision(name: str, value: object) -> None:
    """Checks that a value is a precision.

    Args:
        name: Name of the option, for the message.
        value: The value.

    Raises:
        UserError: It is not one of `PRECISIONS`.
    """
    if value not in PRECISIONS:
        raise UserError(
            f"{name}: expected one of {', '.join(PRECISIONS)}, got {value!r:.60}."
        )


def warn_of_ignored_policy(options: Mapping[str, Any]) -> None:
    """Warns if Keras's global policy differs from the precision of a run.

    Args:
        options: The options of fit or tune that are given; ``precision`` is float32 if
            it is not among them. If it is, no warning is needed.
    """
    policy = keras.config.dtype_policy().name
    names = [name for name, value in _POLICIES.items() if value == policy]
    if "precision" not in options and names != ["float32"]:
        advice = f'precision="{names[0]}"' if names else "another policy"
        warnings.warn(
            f"Keras's global policy {policy} has no effect on this run, which computes "
            f'in float32. Give {advice}, or precision="float32" to keep it so.',
            stacklevel=3,
        )


def full_policy(policy: keras.DTypePolicy) -> keras.DTypePolicy:
    """Returns the policy that computes in the type of the weights.

    Args:
        policy: A policy that `check_policy` accepts.
    """
    return keras.DTypePolicy(policy.variable_dtype)


def check_policy(policy: Any) -> None:
    """Checks that a model can have a policy.

    Raises:
        ValueError: Its weights have fewer than 32 bits, or it is of another kind.
    """
    if policy.name in (*_POLICIES.values(), "float64"):
        return
    raise ValueError(
        f"dtype: expected one of {', '.join(_POLICIES.values())}, got {policy.name!r}. "
        "Weights need 32 bits: with mixed_bfloat16 or mixed_float16, only computations "
        "have 16."
    )


def product(values: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Returns the matrix product with a kernel, computed in the kernel's type.

    Args:
        values: float ``[..., rows, inner]``.
        kernel: float ``[..., inner, columns]``.

    Returns:
        ``[..., rows, columns]``, of the type of ``values``.
    """
    return tf.cast(tf.cast(values, kernel.dtype) @ kernel, values.dtype)
