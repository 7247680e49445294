"""Predictions that are not finite numbers, which files and JSON must not contain."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from object2vec_tf.inference.request_errors import BadRequest


def not_finite(predictions: npt.NDArray[Any], output: str) -> str:
    """Returns what is wrong with predictions; nothing if all are finite numbers.

    Args:
        predictions: Numbers of any shape.
        output: The name of the output: embeddings or scores.

    Example:
        >>> import numpy as np
        >>> from object2vec_tf.inference.finite import not_finite
        >>> not_finite(np.array([0.5, 2.0]), "scores")
        ''
        >>> not_finite(np.array([0.5, np.nan]), "scores").partition(". ")[0]
        'scores: expected finite numbers, got nan'
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if math.isfinite(np.sum(predictions)):
            return ""
    values = predictions[~np.isfinite(predictions)]
    if not values.size:  # only the sum overflows
        return ""
    return (
        f"{output}: expected finite numbers, got {values[0]}. The model has weights "
        "that are not numbers, or too large: train it again with a lower "
        "learning_rate, or use another version."
    )


def require_finite(predictions: npt.NDArray[Any], output: str) -> None:
    """Checks that predictions are numbers that JSON has.

    Args:
        predictions: Numbers of any shape.
        output: The name of the output, for the message.

    Raises:
        BadRequest: 500, one is infinite or not a number.
    """
    if problem := not_finite(predictions, output):
        raise BadRequest(problem, status=500)
