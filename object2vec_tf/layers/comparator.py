"""The comparator: what two encodings have to say about each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from object2vec_tf.hyperparameters import OPERATORS
from object2vec_tf.registration import PACKAGE


@keras.saving.register_keras_serializable(package=PACKAGE)
class Comparator(keras.layers.Layer):
    """Concatenates ``e0 * e1``, ``[e0, e1]`` and ``|e0 - e1|`` in the order given.

    Args:
        operators: Some of hadamard, concat and abs_diff.
    """

    def __init__(self, operators: Sequence[str] = OPERATORS, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        unknown = [name for name in operators if name not in OPERATORS]
        if unknown or not operators:
            raise ValueError(
                f"operators must be some of {OPERATORS}. Received: {operators=}"
            )
        self.operators = tuple(operators)

    def call(self, encodings: Sequence[Any]) -> Any:
        """Returns the comparison.

        Args:
            encodings: e0 and e1, float ``[batch, enc_dim]`` each.

        Returns:
            float ``[batch, width]``; hadamard and abs_diff take ``enc_dim`` of the
            width each, concat twice that.
        """
        first, second = encodings
        parts = {
            "hadamard": lambda: [first * second],
            "concat": lambda: [first, second],
            "abs_diff": lambda: [ops.abs(first - second)],
        }
        compared = [part for name in self.operators for part in parts[name]()]
        return compared[0] if len(compared) == 1 else ops.concatenate(compared, axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "operators": list(self.operators)}
