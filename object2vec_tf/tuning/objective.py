"""The objective of a study: one metric of one channel, named as SageMaker names it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping
from typing import Any, Literal

from object2vec_tf.data.pairs import Pairs
from object2vec_tf.errors import UserError
from object2vec_tf.hyperparameters import IN_BATCH_LOSS, Hyperparameters
from object2vec_tf.metrics.auc import AUC
from object2vec_tf.report.baselines import has_both_classes
from object2vec_tf.training.retrieval import RETRIEVAL_METRICS
from object2vec_tf.training.sagemaker_metrics import LOSSES

# Prefixes of a channel's metrics in the logs of Keras callbacks. The test channel is
# evaluated only once, after training.
_LOG_PREFIXES = {"train": "", "validation": "val_"}


@dataclasses.dataclass(frozen=True)
class Objective:
    """A metric of a channel, such as ``validation:mean_squared_error``.

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
        """The search direction: losses are minimized, other metrics maximized."""
        return "minimize" if self.metric in LOSSES else "maximize"

    def uses_encoders_only(self, hyperparameters: Hyperparameters) -> bool:
        """Returns whether comparator and output layer do not affect the metric.

        Args:
            hyperparameters: The settings. With the in-batch softmax, the comparator
                does not train the encoders.
        """
        is_in_batch = hyperparameters.objective == "in_batch_softmax"
        return is_in_batch and self.metric in (*_in_batch_metrics(), *RETRIEVAL_METRICS)

    def run_value(self, metrics: Mapping[str, Any]) -> float:
        """Returns the objective's value in the content of metrics.json.

        It is NaN if the run lacks the metric, as it lacks the AUC of a single class.
        """
        return float(metrics[self.channel].get(self.metric, math.nan))

    def record_value(self, record: Mapping[str, Any]) -> float | None:
        """Returns its value in an epoch's record; None if the record lacks it."""
        value: float | None = record.get(self.channel, {}).get(self.metric)
        return value

    def check_labels(self, channels: Mapping[str, Pairs]) -> None:
        """Checks that the metric is defined on the labels of its channel.

        Args:
            channels: The pairs by channel.

        Raises:
            UserError: The metric is auc, and the channel has a single class. Negatives
                may add the other one to train.
        """
        if self.metric != AUC or self.channel == "train":
            return
        if not has_both_classes(channels[self.channel]):
            raise UserError(
                f"objective: {self} needs {self.channel} pairs of class 0 and of class "
                "1, got a single class. Add pairs of the other class, or choose "
                "another metric."
            )

    def epoch_value(self, logs: Mapping[str, float]) -> float | None:
        """Returns its value in an epoch's logs; None if the logs do not have it."""
        if self.channel not in _LOG_PREFIXES:
            return None
        return logs.get(_LOG_PREFIXES[self.channel] + self.metric)


def parse_objective(
    name: str | None,
    hyperparameters: Hyperparameters,
    channels: Collection[str],
    *,
    has_pool: bool = False,
) -> Objective:
    """Returns the objective with a name.

    Args:
        name: The name, such as ``validation:accuracy``; None is the training loss on
            the validation channel.
        hyperparameters: The settings. They decide which metrics are computed.
        channels: The names of the channels that are given.
        has_pool: Whether there is a ``retrieval_pool``.

    Raises:
        UserError: There is no such metric, or its channel or the pool is not given.
    """
    if name is None:
        name = f"validation:{hyperparameters.loss_name}"
    valid = [
        Objective(channel, metric)
        for channel in ("validation", "test", "train")
        for metric in _metrics(hyperparameters)
    ]
    retrieval = [
        Objective(channel, metric)
        for channel in ("validation", "test")
        for metric in RETRIEVAL_METRICS
    ]
    if has_pool:
        valid += retrieval
    elif name.strip() in map(str, retrieval):
        raise UserError(
            f"objective: {name} needs a pool of items, in which pairs are ranked. Give "
            "--retrieval_pool."
        )
    found = [objective for objective in valid if str(objective) == name.strip()]
    if not found:
        raise UserError(
            f"objective: expected one of {', '.join(map(str, valid))} (with "
            f"output_layer={hyperparameters.output_layer}), got {name!r}."
        )
    (objective,) = found
    if objective.channel not in channels:
        raise UserError(
            f"objective: {objective} needs a {objective.channel} channel. Give "
            f"--{objective.channel}, or choose a metric of another channel."
        )
    return objective


def _metrics(hyperparameters: Hyperparameters) -> tuple[str, ...]:
    pair_metrics: tuple[str, ...] = ("mean_squared_error",)
    if hyperparameters.output_layer == "softmax":
        pair_metrics = ("cross_entropy", "accuracy")
        if hyperparameters.num_classes == 2:
            pair_metrics += (AUC,)
    is_in_batch = hyperparameters.objective == "in_batch_softmax"
    return pair_metrics + (_in_batch_metrics() if is_in_batch else ())


def _in_batch_metrics() -> tuple[str, ...]:
    return (IN_BATCH_LOSS, "in_batch_accuracy")
