"""A whole study: trials over a search space, and the run of the best one."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from optuna.trial import TrialState

from object2vec_tf.commands.signals import catch_sigterm
from object2vec_tf.errors import Interrupted, UserError
from object2vec_tf.files.channels import Source
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.hyperparameters.arguments import as_integer
from object2vec_tf.runs.run_directory import Record, run_identity
from object2vec_tf.text.text_assets import read_text_assets
from object2vec_tf.text.tokenizer_loading import with_vocab_sizes
from object2vec_tf.training.console import RunConsole
from object2vec_tf.training.run import fit, read_channels
from object2vec_tf.tuning.objective import objective_named
from object2vec_tf.tuning.optuna_study import PRUNERS, make_storage, opened_study
from object2vec_tf.tuning.search_space import search_space
from object2vec_tf.tuning.study_directory import StudyDirectory
from object2vec_tf.tuning.summary import importances, show_best, show_study
from object2vec_tf.tuning.tensorboard import write_experiment
from object2vec_tf.tuning.trials import Task, best_of, counted, records, run_trials
from object2vec_tf.tuning.workers import run_workers

# What SageMaker's own tuner says of its objective, in hyperparameters.json.
_AWS_OBJECTIVE = "_tuning_objective_metric"
# So many rounds in which processes are killed and no trial ends.
_MOST_ROUNDS = 3


@dataclasses.dataclass(frozen=True)
class Study:
    """What a study gave.

    Attributes:
        best_trial: The number of the best trial.
        value: Its value of the objective.
        hyperparameters: Its settings.
        best: Its run directory, with the SavedModel.
        trials: What ``trials.jsonl`` holds, a record for each trial.
    """

    best_trial: int
    value: float
    hyperparameters: Hyperparameters
    best: Path
    trials: list[Record]


def tune(
    hyperparameters: Mapping[str, Any],
    *,
    train: Source,
    model_dir: str | os.PathLike[str],
    validation: Source | None = None,
    test: Source | None = None,
    auxiliary: Source | None = None,
    objective: str | None = None,
    search: str | None = None,
    trials: int = 20,
    pruner: str = "median",
    jobs: int = 1,
    seed: int = 0,
    max_bad_lines: int = 0,
    export_dir: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    checkpoint_seconds: int = 60,
    cache_dir: str | os.PathLike[str] | None = None,
    cache_limit: float | None = None,
    verbose: bool = True,
) -> Study:
    """Searches hyperparameters; the best run ends in ``model_dir/best``.

    The first trial has the settings as they are given. The same study in the same
    ``model_dir`` goes on where it was stopped, a trial that was stopped from its
    checkpoint on. With one job and the same seed it draws and ends alike.

    Args:
        hyperparameters: The settings as they are given, by name.
        train: The training channel, as for `fit`.
        model_dir: The study's directory.
        validation: The channel that early stopping and the best epoch go by.
        test: A channel measured at the end of each run.
        auxiliary: The channel of vocabularies and pretrained embeddings.
        objective: A channel's metric, such as ``validation:accuracy``; by default what
            ``_tuning_objective_metric`` of the settings says, or the validation loss.
        search: What is searched, ``learning_rate=1e-4..1e-2,dropout``; by default all
            that AWS tunes, that is not given and has an effect.
        trials: How many trials the study has when it ends.
        pruner: median: stop a trial when its best epoch so far is worse than the median
            of the others at that epoch; none.
        jobs: Processes that run trials, which share the cores.
        seed: Decides the draws, and initial weights and shuffles of every trial.
        max_bad_lines: Bad lines tolerated in a channel.
        export_dir: Where the best SavedModel goes besides.
        overwrite: Start afresh where ``model_dir`` holds another study.
        checkpoint_seconds: As for `fit`.
        cache_dir: As for `fit`; ``model_dir/cache`` by default.
        cache_limit: As for `fit`.
        verbose: Whether to show trials and results on stdout.

    Raises:
        UserError: Settings, data or the directory need mending.
        Interrupted: The process got a SIGTERM; the study can be gone on with.
    """
    trials = as_integer("trials", trials, low=1)
    jobs = as_integer("jobs", jobs, low=1)
    seed = as_integer("seed", seed)
    if pruner not in PRUNERS:
        raise UserError(f"pruner: {pruner!r}: expected one of {', '.join(PRUNERS)}")
    channels = {
        name: source
        for name, source in (
            ("train", train),
            ("validation", validation),
            ("test", test),
            ("auxiliary", auxiliary),
        )
        if source
    }
    given = with_vocab_sizes(hyperparameters, auxiliary)
    name = objective or given.get(_AWS_OBJECTIVE) or None
    base = Hyperparameters.from_mapping(given)
    measured = objective_named(name, base, channels)
    space = search_space(given, search, measured)
    directory = StudyDirectory(Path(model_dir))
    options = {
        "max_bad_lines": as_integer("max_bad_lines", max_bad_lines),
        "checkpoint_seconds": as_integer("checkpoint_seconds", checkpoint_seconds),
        "cache_dir": cache_dir or directory.cache,
        "cache_limit": cache_limit,
    }
    task = Task(
        space, measured, directory, channels, trials, pruner, seed, options, verbose
    )
    reporter = RunConsole(quiet=not verbose)
    with directory.claimed() as lock:
        directory.take(_identity(task, reporter), overwrite)
        if not directory.storage.exists():
            make_storage(directory.storage, measured.direction, space.as_given())
        write_experiment(directory.tensorboard, space, measured)
        for searched, shown in space.parse_description().items():
            reporter.say(f"searched: {searched}={shown}")
        with _ended(task):
            _run(task, jobs, lock)
        with opened_study(directory.storage, pruner) as study:
            best = best_of(study)
            if best is None:
                raise UserError(
                    f"{directory.summary}: none of {trials} trials came to its end; "
                    "see there why, and give narrower ranges or more --trials"
                )
            done = records(study)
            given_values = space.searched(base)
            shares = importances(study)
        show_study(reporter, measured, done, done[best.number], given_values, shares)
        metrics = json.loads((directory.best / "metrics.json").read_text())
        show_best(reporter, metrics)
        settings = Hyperparameters.from_json(directory.best / "hyperparameters.json")
        if export_dir:
            fit(
                settings,
                model_dir=directory.best,
                export_dir=export_dir,
                **task.fit_arguments(),
            )
        reporter.say(f"best run: {directory.best}")
        assert best.value is not None
        return Study(best.number, best.value, settings, directory.best, done)


def _identity(task: Task, reporter: RunConsole) -> dict[str, Any]:
    """Reads the channels, for all trials, and returns what makes the study this one."""
    base, seed = task.space.base, task.seed
    words = read_text_assets(base, task.channels.get("auxiliary"), seed)
    sources: dict[str, Source | None] = {
        name: source for name, source in task.channels.items() if name != "auxiliary"
    }
    options = {k: v for k, v in task.options.items() if k != "checkpoint_seconds"}
    with catch_sigterm() as interruption:
        channels = read_channels(
            sources,
            base,
            reporter,
            interruption,
            tokenizers=words.tokenizers,
            **options,
        )
    fingerprints = {name: pairs.report.fingerprint for name, pairs in channels.items()}
    return {
        "tuned for": str(task.objective),
        **{f"range of {name}": v for name, v in task.space.parse_description().items()},
        **run_identity(base, seed, fingerprints, words.fingerprints),
    }


@contextmanager
def _ended(task: Task) -> Iterator[None]:
    """Leaves the study's files in order, whether it came to its end or was stopped."""
    try:
        yield
    except Interrupted:
        ended = _tidy(task)
        raise Interrupted(
            f"{task.directory.path}: stopped behind {ended} of {task.trials} trials; "
            "the same command goes on there"
        ) from None
    _tidy(task)


def _tidy(task: Task) -> int:
    """Keeps one model, the best one; returns how many trials have ended."""
    directory = task.directory
    with opened_study(directory.storage, task.pruner) as study:
        best = best_of(study)
        if best is not None:
            directory.put_best(best.number)
        for trial in study.trials:
            if trial.state.is_finished() and (
                best is None or trial.number != best.number
            ):
                directory.slim(trial.number)
        directory.write_summary(records(study))
        return counted(study.trials)


def _run(task: Task, jobs: int, lock: int) -> None:
    rounds, before = 0, -1
    while rounds < _MOST_ROUNDS:
        ended, orphans = _progress(task)
        missing = task.trials - ended
        if missing <= 0:
            return
        orphans = orphans[:missing]
        if jobs == 1:
            run_trials(task, orphans)
            return
        if run_workers(task, min(jobs, missing), orphans, lock):
            return
        rounds, before = (0 if ended > before else rounds + 1), ended
    raise UserError(
        f"{task.directory.path}: the study's processes are killed again and again, "
        "perhaps for want of memory; give fewer --jobs, or narrower ranges of enc_dim "
        "and mini_batch_size: the same study goes on"
    )


def _progress(task: Task) -> tuple[int, list[int]]:
    """Returns how many trials have ended, and which were stopped on their way."""
    with opened_study(task.directory.storage, task.pruner) as study:
        stopped = [t.number for t in study.trials if t.state == TrialState.RUNNING]
        return counted(study.trials), stopped
