"""Reports of a trial's epochs to its study, which may prune the trial."""

from __future__ import annotations

import math
from typing import Any

import keras
import optuna

from object2vec_tf.commands.signals import StopRequest
from object2vec_tf.errors import Interrupted
from object2vec_tf.tuning.objective import Objective


class EpochReports(keras.callbacks.Callback):
    """Reports a trial's epochs to its study, and stops the trial if it is pruned.

    Args:
        trial: The trial.
        objective: The objective of the study.
        interruption: Notes a SIGTERM.
    """

    def __init__(
        self, trial: optuna.Trial, objective: Objective, interruption: StopRequest
    ) -> None:
        super().__init__()
        self._trial = trial
        self._objective = objective
        self._interruption = interruption
        frozen = trial.study.get_trials(deepcopy=False)[trial.number]
        self._reported_epochs = {*frozen.intermediate_values}

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Stops the trial if asked. The previous epoch has been saved by now."""
        if self._interruption.asked:
            raise Interrupted(f"stopped after epoch {epoch}")
        if epoch and self._trial.should_prune():
            raise optuna.TrialPruned

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Reports the objective's value of the epoch."""
        value = self._objective.epoch_value(logs or {})
        # A process may die after it has reported an epoch and before it has saved it.
        # The epoch is then trained, but not reported, a second time.
        if (
            value is None
            or not math.isfinite(value)
            or (epoch in self._reported_epochs)
        ):
            return
        self._trial.report(value, epoch)
        if self._trial.user_attrs.get("starts", 1) > 1:
            self._trial.set_user_attr("starts", 1)
