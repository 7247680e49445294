"""The loss and the metrics of scores that ``compile`` uses by default."""

from __future__ import annotations

from typing import Any

import keras

from object2vec_tf.errors import UserError
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.losses.smoothed_cross_entropy import SmoothedCrossEntropy
from object2vec_tf.metrics.auc import LogOddsAUC


def default_loss(hyperparameters: Hyperparameters) -> keras.losses.Loss:
    """Returns the loss of the comparator's scores."""
    if hyperparameters.output_layer == "softmax":
        return SmoothedCrossEntropy(hyperparameters.label_smoothing)
    return keras.losses.MeanSquaredError(name="mean_squared_error")


def default_metrics(hyperparameters: Hyperparameters) -> list[keras.metrics.Metric]:
    """Returns the metrics of the comparator's scores."""
    if hyperparameters.output_layer != "softmax":
        return [keras.metrics.MeanSquaredError(name="mean_squared_error")]
    metrics: list[keras.metrics.Metric] = [
        keras.metrics.SparseCategoricalCrossentropy(name="cross_entropy"),
        keras.metrics.SparseCategoricalAccuracy(name="accuracy"),
    ]
    if hyperparameters.num_classes == 2:
        metrics.append(LogOddsAUC())
    return metrics


def check_default_metrics(loss: Any) -> None:
    """Checks that a loss takes the labels that the default metrics take.

    Args:
        loss: What ``compile`` got: the name of a loss, a function or an object.

    Raises:
        UserError: The loss takes one-hot labels.
    """
    name = loss if isinstance(loss, str) else getattr(loss, "__name__", None)
    name = name or getattr(loss, "name", type(loss).__name__)
    if str(name).lower().replace("_", "").startswith("categorical"):
        raise UserError(
            "loss: expected one whose labels are class numbers, as those of the "
            "default metrics are, such as sparse_categorical_crossentropy, got "
            f"{name}, whose labels are one-hot. Leave loss out, or give metrics too."
        )
