"""Cross-entropy with label smoothing."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from object2vec_tf.registration import PACKAGE


@keras.saving.register_keras_serializable(package=PACKAGE)
class SmoothedCrossEntropy(keras.losses.SparseCategoricalCrossentropy):
    """Cross-entropy of class ids with label smoothing.

    The target is ``1 - smoothing`` for the class itself, plus ``smoothing / classes``
    for every class.

    Source: Szegedy et al. 2016, "Rethinking the Inception Architecture for Computer
    Vision", section 7.

    Args:
        smoothing: From 0 to below 1; 0 gives Keras's own loss.
    """

    def __init__(
        self, smoothing: float = 0.0, name: str = "cross_entropy", **kwargs: Any
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.smoothing = smoothing

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the cross-entropy of each row.

        Args:
            y_true: Class ids ``[batch]``.
            y_pred: Probabilities ``[batch, classes]``.
        """
        if not self.smoothing:
            return super().call(y_true, y_pred)
        classes = ops.shape(y_pred)[-1]
        labels = ops.one_hot(ops.cast(y_true, "int32"), classes, dtype=y_pred.dtype)
        return keras.losses.categorical_crossentropy(
            ops.reshape(labels, (-1, classes)), y_pred, label_smoothing=self.smoothing
        )

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            "smoothing": self.smoothing,
            "name": self.name,
            "reduction": self.reduction,
        }
