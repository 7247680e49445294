"""The learning rate over a training."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from object2vec_tf.registration import PACKAGE


@keras.saving.register_keras_serializable(package=PACKAGE)
class WarmUpAndDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Rises in a line from 0, then stays, or falls to 0 in a line or half a cosine.

    Args:
        learning_rate: The highest value.
        warmup_steps: Steps until it is reached.
        total_steps: Steps until 0 is reached, by linear or cosine.
        decay: none, linear or cosine.
    """

    def __init__(
        self,
        learning_rate: float,
        warmup_steps: float,
        total_steps: int,
        decay: str = "none",
    ) -> None:
        self.learning_rate = learning_rate
        self.warmup_steps = warmup_steps
        self.total_steps = total_steps
        self.decay = decay

    def __call__(self, step: Any) -> Any:
        """Returns the learning rate of a step, counted from 0."""
        done = ops.cast(step, "float32")
        rising = (done + 1) / max(self.warmup_steps, 1e-9)
        left = max(self.total_steps - self.warmup_steps, 1)
        fallen = ops.clip((done - self.warmup_steps) / left, 0.0, 1.0)
        factors = {
            "none": ops.ones_like(fallen),
            "linear": 1 - fallen,
            "cosine": (1 + ops.cos(fallen * 3.14159265358979)) / 2,
        }
        return self.learning_rate * ops.minimum(rising, factors[self.decay])

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            "learning_rate": self.learning_rate,
            "warmup_steps": self.warmup_steps,
            "total_steps": self.total_steps,
            "decay": self.decay,
        }
