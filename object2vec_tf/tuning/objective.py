"""What a study makes as good as it can: a channel's metric, by AWS's name."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any, Literal

from object2vec_tf.errors import UserError
from object2vec_tf.hyperparameters import IN_BATCH_LOSS, Hyperparameters
from object2vec_tf.training.sagemaker_metrics import LOSSES

# What Keras callbacks call the metrics of a channel; test is measured once, at the end.
_PREFIXES = {"train": "", "validation": "val_"}


@dataclasses.dataclass(frozen=True)
class Objective:
    """A channel's metric, such as ``validation:mean_squared_error``.

    Attributes:
        channel: train, validation or test.
        metric: The metric's name.
    """

    channel: str
    metric: str

    def __str__(self) -> str:
        return f"{self.channel}:{self.metric}"

    @property
    def direction(self) -> Literal["minimize", "maximize"]:
        """Whether to minimize it, as losses, or to maximize it."""
        return "minimize" if self.metric in LOSSES else "maximize"

    @property
    def is_of_encoders(self) -> bool:
        """Whether the comparator and what is behind it have no say in it."""
        return self.metric in _in_batch_metrics()

    def of_run(self, metrics: Mapping[str, Any]) -> float:
        """Returns its value in what metrics.json holds."""
        return float(metrics[self.channel][self.metric])

    def of_epoch(self, logs: Mapping[str, float]) -> float | None:
        """Returns its value in an epoch's logs; None where epochs do not tell it."""
        if self.channel not in _PREFIXES:
            return None
        return logs.get(_PREFIXES[self.channel] + self.metric)


def objective_named(
    name: str | None, hyperparameters: Hyperparameters, channels: Collection[str]
) -> Objective:
    """Returns the objective of a name.

    Args:
        name: Such as ``validation:accuracy``; None stands for the loss that training
            minimises, on the validation channel.
        hyperparameters: The settings, which decide what is measured.
        channels: The channels that are given.

    Raises:
        UserError: There is no such metric, or no such channel.
    """
    if name is None:
        name = f"validation:{hyperparameters.loss_name}"
    valid = [
        Objective(channel, metric)
        for channel in ("validation", "test", "train")
        for metric in _metrics(hyperparameters)
    ]
    found = [objective for objective in valid if str(objective) == name.strip()]
    if not found:
        raise UserError(
            f"objective: {name!r}: with output_layer={hyperparameters.output_layer} "
            f"expected one of {', '.join(map(str, valid))}"
        )
    (objective,) = found
    if objective.channel not in channels:
        raise UserError(
            f"objective: {objective} needs a {objective.channel} channel; give "
            f"--{objective.channel}, or the metric of another channel"
        )
    return objective


def _metrics(hyperparameters: Hyperparameters) -> tuple[str, ...]:
    of_pairs = (
        ("cross_entropy", "accuracy")
        if hyperparameters.output_layer == "softmax"
        else ("mean_squared_error",)
    )
    is_in_batch = hyperparameters.objective == "in_batch_softmax"
    return of_pairs + (_in_batch_metrics() if is_in_batch else ())


def _in_batch_metrics() -> tuple[str, ...]:
    return (IN_BATCH_LOSS, "in_batch_accuracy")
