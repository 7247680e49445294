"""The comparator: combines two encodings into the input of the MLP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from object2vec_tf.hyperparameters import OPERATORS
from object2vec_tf.registration import PACKAGE


@keras.saving.register_keras_serializable(package=PACKAGE)
class Comparator(keras.layers.Layer):
    """Concatenates ``e0 * e1``, ``[e0, e1]`` and ``|e0 - e1|`` in the given order.

    They are computed in the type of the weights under any policy: the difference of two
    encodings that are similar has few correct bits if they are rounded to 16 bits.

    Args:
        operators: One or more of hadamard (``e0 * e1``), concat (``[e0, e1]``) and
            abs_diff (``|e0 - e1|``).
    """

    def __init__(self, operators: Sequence[str] = OPERATORS, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        unknown = [name for name in operators if name not in OPERATORS]
        if unknown or not operators:
            raise ValueError(
                f"operators must be some of {OPERATORS}. Received: {operators=}"
            )
        self.operators = tuple(operators)

    def call(self, encodings: Sequence[Any]) -> Any:
        """Returns the comparison of two encodings.

        Args:
            encodings: e0 and e1, each float ``[batch, enc_dim]``.

        Returns:
            float ``[batch, width]``. The width is ``enc_dim`` for each of hadamard and
            abs_diff, plus ``2 * enc_dim`` for concat.
        """
        first, second = encodings
        operations = {
            "hadamard": lambda: [first * second],
            "concat": lambda: [first, second],
            "abs_diff": lambda: [ops.abs(first - second)],
        }
        parts = [part for name in self.operators for part in operations[name]()]
        return parts[0] if len(parts) == 1 else ops.concatenate(parts, axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "operators": list(self.operators)}
