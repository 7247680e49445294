"""A complete study: trials over a search space, and the run of the best trial."""

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
from object2vec_tf.tuning.objective import parse_objective
from object2vec_tf.tuning.optuna_study import PRUNERS, create_storage, open_study
from object2vec_tf.tuning.search_space import search_space
from object2vec_tf.tuning.study_directory import StudyDirectory
from object2vec_tf.tuning.summary import importances, show_best, show_study
from object2vec_tf.tuning.tensorboard import write_experiment
from object2vec_tf.tuning.trials import (
    Task,
    count_ended,
    find_best,
    run_trials,
    trial_records,
)
from object2vec_tf.tuning.workers import run_workers

# The key of the objective in the hyperparameters.json of SageMaker's own tuner.
_AWS_OBJECTIVE = "_tuning_objective_metric"
# The study fails after this many rounds in a row in which processes are killed and no
# trial ends.
_MAX_ROUNDS = 3


@dataclasses.dataclass(frozen=True)
class Study:
    """The result of a study.

    Attributes:
        best_trial: The number of the best trial.
        value: Its value of the objective.
        hyperparameters: Its settings.
        best: Its run directory, with the SavedModel.
        trials: The records in ``trials.jsonl``, one for each trial.
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
    """Searches hyperparameters, and keeps the best run in ``model_dir/best``.

    The first trial uses the given settings. The same call with the same ``model_dir``
    resumes a study that was stopped, and a stopped trial from its last checkpoint. With
    one job, the same seed gives the same trials and results, whether the study was
    stopped or not. Only the best trial keeps its model and export. Other trials keep
    their settings, metrics and logs.

    Args:
        hyperparameters: The given settings, by name.
        train: The training channel, as for `fit`.
        model_dir: The study's directory.
        validation: The channel that decides early stopping and the best epoch.
        test: A channel that is evaluated at the end of each run.
        auxiliary: The channel of vocabularies and pretrained embeddings.
        objective: A metric of a channel, such as ``validation:accuracy``. The default
            is ``_tuning_objective_metric`` in the settings, or the validation loss.
        search: The hyperparameters to search, with or without ranges:
            ``learning_rate=1e-4..1e-2,dropout``. The default is every hyperparameter
            that AWS tunes, that is not given and that has an effect.
        trials: The number of trials in the finished study.
        pruner: median or none. median stops a trial, after its third epoch or later, if
            its best epoch so far is worse than the median of the complete trials at
            that epoch. It starts when five trials are complete.
        jobs: The number of processes that run trials. They share the cores.
        seed: The seed of the draws, and of every trial's initial weights and shuffles.
        max_bad_lines: The number of bad lines tolerated in a channel.
        export_dir: A second directory for the best SavedModel.
        overwrite: Whether to delete another study in ``model_dir`` and start again.
        checkpoint_seconds: As for `fit`.
        cache_dir: As for `fit`; ``model_dir/cache`` by default.
        cache_limit: As for `fit`.
        verbose: Whether to show trials and results on stdout.

    Raises:
        UserError: Settings, data or the directory are not valid.
        Interrupted: The process received a SIGTERM. The study can be resumed.
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
    measured = parse_objective(name, base, channels)
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
        directory.prepare(_identity(task, reporter), overwrite)
        if not directory.storage.exists():
            create_storage(
                directory.storage, measured.direction, space.first_trial_values()
            )
        write_experiment(directory.tensorboard, space, measured)
        for searched, shown in space.describe().items():
            reporter.say(f"searched: {searched}={shown}")
        with _cleaned_up(task):
            _run(task, jobs, lock)
        with open_study(directory.storage, pruner) as study:
            best = find_best(study)
            if best is None:
                raise UserError(
                    f"{directory.summary}: none of {trials} trials is complete. The "
                    "file says why. Give narrower ranges or more --trials."
                )
            done = trial_records(study)
            given_values = space.searched_values(base)
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
    """Reads the channels, which fills the cache for all trials.

    Returns:
        The settings, ranges and data that identify the study.
    """
    base, seed = task.space.base, task.seed
    text_assets = read_text_assets(base, task.channels.get("auxiliary"), seed)
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
            tokenizers=text_assets.tokenizers,
            **options,
        )
    fingerprints = {name: pairs.report.fingerprint for name, pairs in channels.items()}
    return {
        "tuned for": str(task.objective),
        **{f"range of {name}": text for name, text in task.space.describe().items()},
        **run_identity(base, seed, fingerprints, text_assets.fingerprints),
    }


@contextmanager
def _cleaned_up(task: Task) -> Iterator[None]:
    """Cleans up the study's files when the context ends or is interrupted."""
    try:
        yield
    except Interrupted:
        ended = _clean_up(task)
        raise Interrupted(
            f"{task.directory.path}: stopped after {ended} of {task.trials} trials. "
            "The same command resumes the study."
        ) from None
    _clean_up(task)


def _clean_up(task: Task) -> int:
    """Keeps only the best model; returns the number of trials that have ended."""
    directory = task.directory
    with open_study(directory.storage, task.pruner) as study:
        best = find_best(study)
        if best is not None:
            directory.link_best(best.number)
        for trial in study.trials:
            if trial.state.is_finished() and (
                best is None or trial.number != best.number
            ):
                directory.drop_model(trial.number)
        directory.write_summary(trial_records(study))
        return count_ended(study.trials)


def _run(task: Task, jobs: int, lock: int) -> None:
    """Runs trials, in this process or in workers, until the study has enough of them.

    Workers that are killed are started again.
    """
    rounds, ended_before = 0, -1
    while rounds < _MAX_ROUNDS:
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
        rounds = 0 if ended > ended_before else rounds + 1
        ended_before = ended
    raise UserError(
        f"{task.directory.path}: the study's worker processes are killed repeatedly, "
        "perhaps because memory runs out. Give fewer --jobs to resume the study, or "
        "start another one with narrower ranges of enc_dim and mini_batch_size."
    )


def _progress(task: Task) -> tuple[int, list[int]]:
    """Returns the number of ended trials, and the numbers of unfinished ones."""
    with open_study(task.directory.storage, task.pruner) as study:
        unfinished = [t.number for t in study.trials if t.state == TrialState.RUNNING]
        return count_ended(study.trials), unfinished
