"""The trials of a study: choosing the next one, running it, recording its result."""

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
from object2vec_tf.progress import phase
from object2vec_tf.report.number_format import duration_text, score_text
from object2vec_tf.runs.result_files import Record
from object2vec_tf.training.console import RunConsole
from object2vec_tf.training.options import PathLike, RunOptions
from object2vec_tf.training.run import fit
from object2vec_tf.training.tensorboard import TensorBoardLogs
from object2vec_tf.tuning.epoch_reports import EpochReports
from object2vec_tf.tuning.objective import Objective
from object2vec_tf.tuning.optuna_study import open_study, seed_sampler
from object2vec_tf.tuning.search_space import SearchSpace
from object2vec_tf.tuning.study_directory import StudyDirectory
from object2vec_tf.tuning.trial_checksums import add_checksum, verify_running

# A trial fails when its process has been started this many times without completing an
# epoch in between.
_MAX_STARTS = 3
# The study fails when this many draws in a row break a rule.
_MAX_REFUSED_DRAWS = 100
_OUT_OF_MEMORY = (MemoryError, tf.errors.ResourceExhaustedError)


@dataclasses.dataclass(frozen=True)
class Task:
    """The description of a study that all its processes get.

    Attributes:
        space: The search space.
        objective: The objective.
        directory: The study's directory.
        channels: train and, if given, validation, test and auxiliary.
        trials: The number of trials in the finished study.
        pruner: median or none.
        options: Options of the study and of the run of every trial. The seed is also
            that of the draws.
    """

    space: SearchSpace
    objective: Objective
    directory: StudyDirectory
    channels: Mapping[str, Source]
    trials: int
    pruner: str
    options: RunOptions

    def fit_arguments(self, export_dir: PathLike | None = None) -> dict[str, Any]:
        """Returns the arguments of `fit` that all trials share.

        Args:
            export_dir: Where to export the model instead of the run directory.
        """
        options = self.options.replace(
            export_dir=export_dir, overwrite=False, verbose=False
        )
        return {**self.channels, **dataclasses.asdict(options)}


def run_trials(task: Task, orphans: Iterable[int] = ()) -> None:
    """Runs trials until the study has enough of them.

    Args:
        task: The study.
        orphans: Numbers of trials whose processes were stopped. They are resumed first.

    Raises:
        UserError: Settings or data are not valid.
        Interrupted: The process received a SIGTERM. The study can be resumed.
    """
    with (
        open_study(task.directory.storage, task.pruner) as study,
        catch_sigterm() as interruption,
        _without_retracing_warnings(),
    ):
        runner = _TrialRunner(task, study, interruption)
        for number in orphans:
            runner.resume(number)
        while runner.run_next():
            pass


@contextmanager
def _without_retracing_warnings() -> Iterator[None]:
    """Silences TensorFlow's warning that each model traces its functions again."""
    logger = tf.get_logger()
    before = logger.level
    logger.setLevel("ERROR")
    try:
        yield
    finally:
        logger.setLevel(before)


def count_ended(trials: Iterable[FrozenTrial]) -> int:
    """Returns the number of trials that have ended, without refused draws."""
    return sum(
        trial.state.is_finished() and "refused" not in trial.user_attrs
        for trial in trials
    )


class _TrialRunner:
    """Runs the trials of a study in this process.

    Args:
        task: The study.
        study: Optuna's study.
        interruption: Notes a SIGTERM.
    """

    def __init__(
        self, task: Task, study: optuna.Study, interruption: StopRequest
    ) -> None:
        self._task = task
        self._study = study
        self._interruption = interruption
        self._reporter = RunConsole(quiet=not task.options.verbose)

    def run_next(self) -> bool:
        """Runs the next trial; returns False if the study has enough of them."""
        self._stop_if_asked()
        with self._task.directory.exclusive():
            drawn = self._draw()
        if drawn is None:
            return False
        self._run(*drawn)
        return True

    def resume(self, number: int) -> None:
        """Runs a trial that was stopped, from its last checkpoint on."""
        self._stop_if_asked()
        seed_sampler(self._study, self._task.options.seed, number)
        (stopped,) = [t for t in self._study.get_trials() if t.number == number]
        trial = optuna.Trial(self._study, stopped._trial_id)
        try:
            hyperparameters = self._sample(trial, stopped)
        except HyperparameterError as error:
            self._refuse(trial, error)
            return
        starts = trial.user_attrs.get("starts", 1) + 1
        trial.set_user_attr("starts", starts)
        if starts > _MAX_STARTS:
            self._end(trial, TrialState.FAIL, f"its process died {_MAX_STARTS} times")
        else:
            self._run(trial, hyperparameters)

    def _draw(self) -> tuple[optuna.Trial, Hyperparameters] | None:
        """Returns a new trial and its settings; None if the study has enough trials.

        Draws that break a rule between hyperparameters are refused and do not count.
        """
        trials = self._study.get_trials(deepcopy=False)
        running = sum(trial.state == TrialState.RUNNING for trial in trials)
        if count_ended(trials) + running >= self._task.trials:
            return None
        first = sum(trial.state != TrialState.WAITING for trial in trials)
        for number in range(first, first + _MAX_REFUSED_DRAWS):
            seed_sampler(self._study, self._task.options.seed, number)
            trial = self._study.ask()
            try:
                return trial, self._sample(trial)
            except HyperparameterError as error:
                self._refuse(trial, error)
                reason = str(error)
        raise UserError(
            f"tune: {_MAX_REFUSED_DRAWS} sampled settings in a row were invalid. The "
            f"last one:\n  {reason}\n"
            "Change the ranges of --tune, or the other settings."
        )

    def _sample(
        self, trial: optuna.Trial, stopped: FrozenTrial | None = None
    ) -> Hyperparameters:
        """Returns the settings of a trial, which are new or those of a stopped one.

        Raises:
            HyperparameterError: The sampled values break a rule.
            UserError: The stopped trial is damaged.
        """
        task = self._task
        hyperparameters = task.space.sample(trial)
        values = task.space.searched_values(hyperparameters)
        if stopped is not None:
            run = task.directory.trial(trial.number)
            history = run.read_history() if run.history.exists() else []
            epochs = {
                record["epoch"]: task.objective.record_value(record)
                for record in history
            }
            verify_running(stopped, task.directory.storage, values, epochs)
        trial.set_user_attr("params", values)
        return hyperparameters

    def _refuse(self, trial: optuna.Trial, error: HyperparameterError) -> None:
        trial.set_user_attr("refused", str(error))
        add_checksum(self._study, trial, TrialState.PRUNED, None)
        self._study.tell(trial, state=TrialState.PRUNED)

    def _run(self, trial: optuna.Trial, hyperparameters: Hyperparameters) -> None:
        task, run = self._task, self._task.directory.trial(trial.number)
        start = time.perf_counter()
        reports = EpochReports(trial, task.objective, self._interruption)
        try:
            with phase(f"trial {trial.number}"):
                result = fit(
                    hyperparameters,
                    model_dir=run.path,
                    callbacks=[reports],
                    **task.fit_arguments(),
                )
        except optuna.TrialPruned:
            history = run.read_history()
            seconds = time.perf_counter() - start
            metrics = _pruned_metrics(history, task, seconds)
            why = f"pruned after epoch {len(history)}"
            self._end(trial, TrialState.PRUNED, why, metrics)
            # Written last: a run with metrics.json is not resumed.
            TensorBoardLogs(run.tensorboard, hyperparameters).results(metrics)
            run.write_metrics(metrics)
        except DivergedError as error:
            self._end(trial, TrialState.PRUNED, f"diverged: {error}")
        except _OUT_OF_MEMORY as error:
            reason = str(error).partition("\n")[0]
            self._end(trial, TrialState.PRUNED, f"out of memory: {reason}")
        else:
            metrics = result.metrics
            value = task.objective.run_value(metrics)
            if math.isfinite(value):
                why = metrics["stopped"]
                self._end(trial, TrialState.COMPLETE, why, metrics, value)
            else:
                why = f"diverged: {task.objective} is {value}"
                self._end(trial, TrialState.PRUNED, why, metrics)
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
        """Records the end of a trial, and removes the models that are not the best.

        Args:
            trial: The trial.
            state: Its final state.
            why: Why it ended, for trials.jsonl.
            metrics: The content of its metrics.json, if it has one.
            value: Its value of the objective, if it is complete.
        """
        trial.set_user_attr("why", why)
        if metrics is not None:
            trial.set_user_attr("seconds", metrics["seconds"])
            trial.set_user_attr("epochs_run", metrics["epochs_run"])
        directory = self._task.directory
        with directory.exclusive():
            previous_best = find_best(self._study)
            add_checksum(self._study, trial, state, value)
            self._study.tell(trial, value, state)
            best = find_best(self._study)
            directory.drop_checkpoints(trial.number)
            for ended in (previous_best, self._study.trials[trial.number]):
                if ended and (best is None or ended.number != best.number):
                    directory.drop_model(ended.number)
            directory.write_summary(trial_records(self._study))
        self._print_result(trial, value, why, best)

    def _print_result(
        self,
        trial: optuna.Trial,
        value: float | None,
        why: str,
        best: FrozenTrial | None,
    ) -> None:
        """Prints a line about a trial that has ended."""
        result = why if value is None else f"{self._task.objective} {score_text(value)}"
        if best is not None and best.number == trial.number:
            result += ", the best so far"
        elif best is not None:
            result += f" (best: {score_text(best.value)}, trial {best.number})"
        seconds = trial.user_attrs.get("seconds")
        duration = "" if seconds is None else f", {duration_text(seconds)}"
        params = "  ".join(f"{k}={v}" for k, v in trial.user_attrs["params"].items())
        self._reporter.say_with_details(
            f"trial {trial.number}: {result}{duration}", params
        )

    def _stop_if_asked(self) -> None:
        if self._interruption.asked:
            raise Interrupted("stopped between two trials")


def find_best(study: optuna.Study) -> FrozenTrial | None:
    """Returns the best complete trial; the first one if several are equal."""
    sign = -1 if study.direction == optuna.study.StudyDirection.MAXIMIZE else 1
    complete = [t for t in study.trials if t.state == TrialState.COMPLETE]
    return min(
        complete, key=lambda t: (sign * (t.value or 0.0), t.number), default=None
    )


def trial_records(study: optuna.Study) -> list[Record]:
    """Returns the records in trials.jsonl, one for each trial."""
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
    """Returns a trial's state in trials.jsonl."""
    if "refused" in trial.user_attrs:
        return "refused"
    if trial.user_attrs.get("why", "").startswith(("diverged", "out of memory")):
        return "failed"
    return "failed" if trial.state == TrialState.FAIL else trial.state.name.lower()


def _pruned_metrics(
    history: list[Record], task: Task, seconds: float
) -> dict[str, Any]:
    """Returns the content of metrics.json for a pruned trial: its last epoch."""
    last = history[-1]
    return {
        "epochs_run": len(history),
        "best_epoch": last["epoch"],
        "stopped": "pruned",
        **{name: last[name] for name in ("train", "validation") if name in last},
        "seed": task.options.seed,
        "seconds": seconds,
    }
