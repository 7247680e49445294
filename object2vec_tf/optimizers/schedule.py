"""The schedule of the learning rate."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from object2vec_tf.registration import PACKAGE


@keras.saving.register_keras_serializable(package=PACKAGE)
class WarmUpAndDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Rises linearly, then stays constant or falls to 0, linearly or by half a cosine.

    Args:
        learning_rate: The highest learning rate.
        warmup_steps: Steps until the highest learning rate is reached.
        total_steps: Steps until 0 is reached, for linear and cosine decay.
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
        step = ops.cast(step, "float32")
        warmup = (step + 1) / max(self.warmup_steps, 1e-9)
        decay_steps = max(self.total_steps - self.warmup_steps, 1)
        progress = ops.clip((step - self.warmup_steps) / decay_steps, 0.0, 1.0)
        factors = {
            "none": ops.ones_like(progress),
            "linear": 1 - progress,
            "cosine": (1 + ops.cos(progress * 3.14159265358979)) / 2,
        }
        return self.learning_rate * ops.minimum(warmup, factors[self.decay])

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            "learning_rate": self.learning_rate,
            "warmup_steps": self.warmup_steps,
            "total_steps": self.total_steps,
            "decay": self.decay,
        }
