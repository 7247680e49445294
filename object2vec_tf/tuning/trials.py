"""The trials of a study: which comes next, how it runs, and how it ends."""

from __future__ import annotations

import dataclasses
import gc
import math
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import keras
import optuna
import tensorflow as tf
from optuna.trial import FrozenTrial, TrialState

from object2vec_tf.commands.signals import StopRequest, catch_sigterm
from object2vec_tf.errors import (
    DivergedError,
    HyperparameterError,
    Interrupted,
    UserError,
)
from object2vec_tf.files.channels import Source
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.runs.run_directory import Record
from object2vec_tf.training.console import RunConsole
from object2vec_tf.training.run import fit
from object2vec_tf.training.tensorboard import TensorBoardLogs
from object2vec_tf.tuning.objective import Objective
from object2vec_tf.tuning.optuna_study import opened_study, seed_sampler
from object2vec_tf.tuning.search_space import SearchSpace
from object2vec_tf.tuning.study_directory import StudyDirectory

# A trial whose process dies so often without an epoch in between is given up.
_MOST_STARTS = 3
# So many draws in a row that break a rule, and the ranges are at fault.
_MOST_REFUSED = 100
# What a trial's process takes too much of.
_NO_ROOM = (MemoryError, tf.errors.ResourceExhaustedError)


@dataclasses.dataclass(frozen=True)
class Task:
    """What the processes of a study are told.

    Attributes:
        space: What is searched.
        objective: What it goes by.
        directory: Where the study is.
        channels: train and, where given, validation, test and auxiliary.
        trials: How many trials are wanted.
        pruner: median or none.
        seed: Of the draws, and of every trial's run.
        options: What `fit` is told of besides.
        verbose: Whether to write a line for each trial.
    """

    space: SearchSpace
    objective: Objective
    directory: StudyDirectory
    channels: Mapping[str, Source]
    trials: int
    pruner: str
    seed: int
    options: Mapping[str, Any]
    verbose: bool

    def fit_arguments(self) -> dict[str, Any]:
        """Returns the arguments of `fit` that all trials share."""
        return {**self.channels, "seed": self.seed, **self.options, "verbose": False}


def run_trials(task: Task, orphans: Iterable[int] = ()) -> None:
    """Runs trials until the study has as many as it should.

    Args:
        task: The study.
        orphans: Numbers of trials whose processes were stopped: they come first.

    Raises:
        UserError: Settings or data need mending.
        Interrupted: The process got a SIGTERM; the study can be gone on with.
    """
    with (
        opened_study(task.directory.storage, task.pruner) as study,
        catch_sigterm() as interruption,
        _without_advice(),
    ):
        runner = _Runner(task, study, interruption)
        for number in orphans:
            runner.go_on(number)
        while runner.run_next():
            pass


@contextmanager
def _without_advice() -> Iterator[None]:
    """Keeps TensorFlow from advising against tracing a function for every model."""
    logger = tf.get_logger()
    before = logger.level
    logger.setLevel("ERROR")
    try:
        yield
    finally:
        logger.setLevel(before)


def counted(trials: Iterable[FrozenTrial]) -> int:
    """Returns how many trials have ended, those apart that broke a rule."""
    return sum(
        trial.state.is_finished() and "refused" not in trial.user_attrs
        for trial in trials
    )


class _Runner:
    def __init__(
        self, task: Task, study: optuna.Study, interruption: StopRequest
    ) -> None:
        self._task = task
        self._study = study
        self._interruption = interruption
        self._reporter = RunConsole(quiet=not task.verbose)

    def run_next(self) -> bool:
        """Runs one more trial; returns whether one was missing."""
        self._stop_if_asked()
        with self._task.directory.alone():
            drawn = self._drawn()
        if drawn is None:
            return False
        self._run(*drawn)
        return True

    def go_on(self, number: int) -> None:
        """Runs a trial that was stopped."""
        self._stop_if_asked()
        seed_sampler(self._study, self._task.seed, number)
        (held,) = [t for t in self._study.get_trials() if t.number == number]
        trial = optuna.Trial(self._study, held._trial_id)
        try:
            hyperparameters = self._settings(trial)
        except HyperparameterError as error:
            self._refuse(trial, error)
            return
        starts = trial.user_attrs.get("starts", 1) + 1
        trial.set_user_attr("starts", starts)
        if starts > _MOST_STARTS:
            self._end(trial, TrialState.FAIL, f"its process died {_MOST_STARTS} times")
        else:
            self._run(trial, hyperparameters)

    def _drawn(self) -> tuple[optuna.Trial, Hyperparameters] | None:
        """Returns a new trial that breaks no rule; None where there are enough."""
        trials = self._study.get_trials(deepcopy=False)
        running = sum(trial.state == TrialState.RUNNING for trial in trials)
        if counted(trials) + running >= self._task.trials:
            return None
        number = sum(trial.state != TrialState.WAITING for trial in trials)
        for drawn in range(number, number + _MOST_REFUSED):
            seed_sampler(self._study, self._task.seed, drawn)
            trial = self._study.ask()
            try:
                return trial, self._settings(trial)
            except HyperparameterError as error:
                self._refuse(trial, error)
                reason = str(error)
        raise UserError(
            f"tune: {_MOST_REFUSED} draws in a row break a rule, the last of them:\n"
            f"  {reason}\nmend the ranges of --tune, or the settings beside them"
        )

    def _settings(self, trial: optuna.Trial) -> Hyperparameters:
        hyperparameters = self._task.space.settings(trial)
        trial.set_user_attr("params", self._task.space.searched(hyperparameters))
        return hyperparameters

    def _refuse(self, trial: optuna.Trial, error: HyperparameterError) -> None:
        trial.set_user_attr("refused", str(error))
        self._study.tell(trial, state=TrialState.PRUNED)

    def _run(self, trial: optuna.Trial, hyperparameters: Hyperparameters) -> None:
        task, run = self._task, self._task.directory.trial(trial.number)
        start = time.perf_counter()
        reports = _EpochReports(trial, task.objective, self._interruption)
        try:
            done = fit(
                hyperparameters,
                model_dir=run.path,
                callbacks=[reports],
                **task.fit_arguments(),
            )
        except optuna.TrialPruned:
            history = run.read_history()
            seconds = time.perf_counter() - start
            metrics = _metrics_of_pruned(history, task, seconds)
            why = f"pruned behind epoch {len(history)}"
            self._end(trial, TrialState.PRUNED, why, metrics)
            # Behind the end: a run with metrics.json is not gone on with.
            TensorBoardLogs(run.tensorboard, hyperparameters).results(metrics)
            run.write_metrics(metrics)
        except DivergedError as error:
            self._end(trial, TrialState.PRUNED, f"diverged: {error}")
        except _NO_ROOM as error:
            what = str(error).partition("\n")[0]
            self._end(trial, TrialState.PRUNED, f"out of memory: {what}")
        else:
            value = task.objective.of_run(done.metrics)
            if math.isfinite(value):
                self._end(
                    trial,
                    TrialState.COMPLETE,
                    done.metrics["stopped"],
                    done.metrics,
                    value,
                )
            else:
                why = f"diverged: {task.objective} is {value}"
                self._end(trial, TrialState.PRUNED, why, done.metrics)
        finally:
            keras.backend.clear_session()
            gc.collect()

    def _end(
        self,
        trial: optuna.Trial,
        state: TrialState,
        why: str,
        metrics: Mapping[str, Any] | None = None,
        value: float | None = None,
    ) -> None:
        trial.set_user_attr("why", why)
        if metrics is not None:
            trial.set_user_attr("seconds", metrics["seconds"])
            trial.set_user_attr("epochs_run", metrics["epochs_run"])
        directory = self._task.directory
        with directory.alone():
            before = best_of(self._study)
            self._study.tell(trial, value, state)
            best = best_of(self._study)
            directory.drop_checkpoints(trial.number)
            for ended in (before, self._study.trials[trial.number]):
                if ended and (best is None or ended.number != best.number):
                    directory.slim(ended.number)
            directory.write_summary(records(self._study))
        self._tell_of(trial, value, why, best)

    def _tell_of(
        self,
        trial: optuna.Trial,
        value: float | None,
        why: str,
        best: FrozenTrial | None,
    ) -> None:
        result = why if value is None else f"{self._task.objective} {value:.6g}"
        if best is not None and best.number == trial.number:
            result += ", the best so far"
        elif best is not None:
            result += f" (best: {best.value:.6g}, trial {best.number})"
        seconds = trial.user_attrs.get("seconds")
        took = "" if seconds is None else f"  {seconds:.0f} s"
        params = "  ".join(f"{k}={v}" for k, v in trial.user_attrs["params"].items())
        self._reporter.say(f"trial {trial.number}: {result}{took}  {params}")

    def _stop_if_asked(self) -> None:
        if self._interruption.asked:
            raise Interrupted("stopped between two trials")


class _EpochReports(keras.callbacks.Callback):
    """Tells a study of a trial's epochs, and stops the trial where it asks for that."""

    def __init__(
        self, trial: optuna.Trial, objective: Objective, interruption: StopRequest
    ) -> None:
        super().__init__()
        self._trial = trial
        self._objective = objective
        self._interruption = interruption
        held = trial.study.get_trials(deepcopy=False)[trial.number]
        self._told = {*held.intermediate_values}

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Stops the trial: now the epoch before is safe."""
        if self._interruption.asked:
            raise Interrupted(f"stopped behind epoch {epoch}")
        if epoch and self._trial.should_prune():
            raise optuna.TrialPruned

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Tells of the epoch."""
        value = self._objective.of_epoch(logs or {})
        # An epoch that was told of and not saved is trained again.
        if value is None or not math.isfinite(value) or epoch in self._told:
            return
        self._trial.report(value, epoch)
        if self._trial.user_attrs.get("starts", 1) > 1:
            self._trial.set_user_attr("starts", 1)


def best_of(study: optuna.Study) -> FrozenTrial | None:
    """Returns the best trial that is complete, the first of equals."""
    sign = -1 if study.direction == optuna.study.StudyDirection.MAXIMIZE else 1
    complete = [t for t in study.trials if t.state == TrialState.COMPLETE]
    return min(
        complete, key=lambda t: (sign * (t.value or 0.0), t.number), default=None
    )


def records(study: optuna.Study) -> list[Record]:
    """Returns what trials.jsonl holds, a record for each trial."""
    return [
        {
            "number": trial.number,
            "state": _state(trial),
            "value": trial.value if trial.state == TrialState.COMPLETE else None,
            "params": trial.user_attrs.get("params", trial.params),
            "why": trial.user_attrs.get("why", trial.user_attrs.get("refused")),
            "epochs_run": trial.user_attrs.get("epochs_run"),
            "seconds": trial.user_attrs.get("seconds"),
        }
        for trial in study.trials
        if trial.state != TrialState.WAITING
    ]


def _state(trial: FrozenTrial) -> str:
    if "refused" in trial.user_attrs:
        return "refused"
    if trial.user_attrs.get("why", "").startswith(("diverged", "out of memory")):
        return "failed"
    return "failed" if trial.state == TrialState.FAIL else trial.state.name.lower()


def _metrics_of_pruned(
    history: list[Record], task: Task, seconds: float
) -> dict[str, Any]:
    """Returns what metrics.json holds of a trial that was stopped for its epochs."""
    last = history[-1]
    return {
        "epochs_run": len(history),
        "best_epoch": last["epoch"],
        "stopped": "pruned",
        **{name: last[name] for name in ("train", "validation") if name in last},
        "seed": task.seed,
        "seconds": seconds,
    }
