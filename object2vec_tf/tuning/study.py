"""A complete study: trials over a search space, and the run of the best trial."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Unpack

from optuna.trial import FixedTrial, TrialState

from object2vec_tf.commands.signals import catch_sigterm
from object2vec_tf.data.table_sources import is_file_source, is_given
from object2vec_tf.devices import select_device
from object2vec_tf.errors import Interrupted, UserError
from object2vec_tf.files.channels import Source
from object2vec_tf.files.remote import is_remote, local_path
from object2vec_tf.files.uploads import check_remote_writable
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.hyperparameters.arguments import as_integer
from object2vec_tf.layers.precision import warn_of_ignored_policy
from object2vec_tf.model.freezing import check_something_is_trained
from object2vec_tf.model.object2vec import Object2Vec
from object2vec_tf.progress import kept_output
from object2vec_tf.runs.identity import run_identity
from object2vec_tf.runs.result_files import Record
from object2vec_tf.text.text_assets import TextAssets, read_text_assets
from object2vec_tf.text.tokenizer_loading import with_vocab_sizes
from object2vec_tf.training.channels import read_channels, sources_by_channel
from object2vec_tf.training.console import RunConsole
from object2vec_tf.training.initial_model import (
    InitialModel,
    read_initial_model,
    start_identity,
)
from object2vec_tf.training.options import PathLike, RunKeywords, RunOptions
from object2vec_tf.training.retrieval_pool import (
    check_retrieval_pool,
    pool_identity,
    read_retrieval_pool,
)
from object2vec_tf.training.run import fit
from object2vec_tf.tuning.objective import parse_objective
from object2vec_tf.tuning.optuna_study import PRUNERS, create_storage, open_study
from object2vec_tf.tuning.search_space import search_space
from object2vec_tf.tuning.study_directory import StudyDirectory
from object2vec_tf.tuning.summary import (
    count_trials,
    importances,
    show_best,
    show_study,
)
from object2vec_tf.tuning.tensorboard import write_experiment
from object2vec_tf.tuning.trial_checksums import verify_summary, verify_trials
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
    model_dir: PathLike,
    validation: Source | None = None,
    test: Source | None = None,
    auxiliary: Source | None = None,
    objective: str | None = None,
    search: str | None = None,
    trials: int = 20,
    pruner: str = "median",
    jobs: int = 1,
    **options: Unpack[RunKeywords],
) -> Study:
    """Searches hyperparameters; the best run ends up in ``model_dir/best``.

    The first trial uses the given values. The same call with the same ``model_dir``
    resumes an interrupted study. With one job, a seed determines all results.

    Args:
        hyperparameters: The given hyperparameters, by name.
        train: The training channel: files of any kind that `fit` reads.
        model_dir: The study's directory.
        validation: The channel for early stopping and the choice of the best epoch.
        test: A channel on which every run is measured at its end.
        auxiliary: The channel of vocabularies and pretrained embeddings.
        objective: A metric of a channel, such as ``validation:accuracy``; by default
            ``_tuning_objective_metric`` of the hyperparameters, or the validation loss.
        search: The hyperparameters to search, ``learning_rate=1e-4..1e-2,dropout``; by
            default all that AWS tunes, that are not given, and that have an effect.
        trials: Number of trials in the finished study.
        pruner: median stops a trial whose best epoch so far is worse than the median of
            the other trials at that epoch; none.
        jobs: Number of processes that run trials and share the cores.
        **options: The fields of `object2vec_tf.training.options.RunOptions`.
            ``export_dir`` receives the best model, as its run directory does.

    Raises:
        UserError: Settings, data or the directory are invalid.
        Interrupted: The process received SIGTERM; the study can be resumed.
    """
    jobs = as_integer("jobs", jobs, low=1)
    channels = sources_by_channel(train, validation, test, auxiliary)
    warn_of_ignored_policy(options)
    _check_sources({**channels, "retrieval_pool": options.get("retrieval_pool")})
    task = _make_task(
        hyperparameters,
        channels,
        StudyDirectory(local_path(model_dir, "model_dir")),
        objective,
        search,
        trials,
        pruner,
        RunOptions(**options),
    )
    select_device(task.options.device)
    with kept_output(), task.directory.claimed() as lock:
        console = RunConsole(quiet=not task.options.verbose)
        _prepare(task, console)
        with _cleaned_up(task):
            _run(task, jobs, lock)
        return _finish(task, console)


def _check_sources(sources: Mapping[str, Any]) -> None:
    """Checks that every trial can read the channels again, in any process."""
    for name, source in sources.items():
        if is_given(source) and not is_file_source(source):
            raise UserError(
                f"{name}: expected files, which every trial reads, got "
                f"{type(source).__name__}. Write it to a Parquet file."
            )


def _make_task(
    hyperparameters: Mapping[str, Any],
    sources: Mapping[str, Source | None],
    directory: StudyDirectory,
    objective: str | None,
    search: str | None,
    trials: int,
    pruner: str,
    options: RunOptions,
) -> Task:
    """Checks the arguments of a study, before any data is read."""
    trials = as_integer("trials", trials, low=1)
    if pruner not in PRUNERS:
        raise UserError(
            f"pruner: expected one of {', '.join(PRUNERS)}, got {pruner!r}."
        )
    channels = {name: source for name, source in sources.items() if source}
    given = with_vocab_sizes(hyperparameters, channels.get("auxiliary"))
    name = objective or given.get(_AWS_OBJECTIVE) or None
    check_retrieval_pool(options.retrieval_pool, channels)
    parsed = parse_objective(
        name,
        Hyperparameters.from_mapping(given),
        channels,
        has_pool=bool(options.retrieval_pool),
    )
    space = search_space(given, search, parsed)
    check_something_is_trained(space.base, options.freeze)
    _check_initial_model(options.initial_model, directory)
    options = options.replace(cache_dir=options.cache_dir or directory.cache)
    if options.export_dir and is_remote(options.export_dir):
        check_remote_writable(os.fspath(options.export_dir), "export_dir")
    return Task(space, parsed, directory, channels, trials, pruner, options)


def _check_initial_model(
    source: PathLike | Object2Vec | None, directory: StudyDirectory
) -> None:
    """Checks that trials in other processes find the initial model, unchanged."""
    if isinstance(source, Object2Vec):
        raise UserError(
            "initial_model: expected a run directory or a .keras file for a study, "
            "got a model. Save it with model.save, and give the file."
        )
    if not source or is_remote(source):
        return
    if Path(source).resolve().is_relative_to(directory.path.resolve()):
        raise UserError(
            "initial_model: expected a model outside of the study's model_dir, got "
            f"{source}, which the study may replace. Give another --model_dir."
        )


def _prepare(task: Task, console: RunConsole) -> None:
    """Reads the channels and creates the study, or checks that it is the same one."""
    directory = task.directory
    directory.prepare(_identity(task, console), task.options.overwrite)
    if not directory.storage.exists():
        create_storage(
            directory.storage,
            task.objective.direction,
            task.space.first_trial_values(),
        )
    _verify(task)
    write_experiment(directory.tensorboard, task.space, task.objective)
    for name, values in task.space.describe().items():
        console.say(f"searched: {name}={values}")


def _verify(task: Task) -> None:
    """Checks the trials of a study that is resumed.

    Raises:
        UserError: The storage of the study or its summary is damaged.
    """
    directory = task.directory
    with open_study(directory.storage, task.pruner) as study:
        if study.direction.name.lower() != task.objective.direction:
            raise UserError(
                f"{directory.storage}: is damaged: expected a study that "
                f"{task.objective.direction}s {task.objective}, got one that "
                f"{study.direction.name.lower()}s it. Restore the file, or give "
                "--overwrite to start the study again."
            )
        verify_trials(study, directory.storage, task.space.first_trial_values())
        verify_summary(trial_records(study), directory.summary, directory.storage)


def _finish(task: Task, console: RunConsole) -> Study:
    """Shows the results and exports the best model."""
    directory, space = task.directory, task.space
    with open_study(directory.storage, task.pruner) as study:
        best = find_best(study)
        if best is None:
            raise UserError(
                f"{directory.summary}: no trial of {task.trials} is complete. The "
                "file says why. Give narrower ranges or more --trials."
            )
        records = trial_records(study)
        given_values = space.searched_values(space.base)
        shares = importances(study)
    show_study(
        console, task.objective, records, records[best.number], given_values, shares
    )
    metrics = directory.best_results()
    if task.objective.run_value(metrics) != best.value:
        raise UserError(
            f"{directory.best}: expected the results of trial {best.number}, with "
            f"{task.objective} {best.value:g}, as in {directory.storage}, got others: "
            "one of them is damaged. Restore the directory, or give --overwrite to "
            "start the study again."
        )
    show_best(console, metrics)
    settings = space.sample(FixedTrial(best.params, best.number))
    if task.options.export_dir:
        fit(
            settings,
            model_dir=directory.best,
            **task.fit_arguments(export_dir=task.options.export_dir),
        )
    console.say(f"best run: {directory.best}")
    assert best.value is not None
    return Study(best.number, best.value, settings, directory.best, records)


def _identity(task: Task, console: RunConsole) -> dict[str, Any]:
    """Reads the channels, which fills the cache for all trials.

    Returns:
        The settings, ranges and data that identify the study.
    """
    base, seed = task.space.base, task.options.seed
    text_assets = read_text_assets(base, task.channels.get("auxiliary"), seed)
    start = start_identity(
        _initial_model(task, text_assets),
        task.options.freeze,
        task.options.precision,
    )
    pool = read_retrieval_pool(
        task.options.retrieval_pool, base, text_assets.tokenizers
    )
    with catch_sigterm() as stop_request:
        channels = read_channels(
            task.channels,
            base,
            console,
            stop_request,
            tokenizers=text_assets.tokenizers,
            options=task.options,
        )
    task.objective.check_labels(channels)
    fingerprints = {name: pairs.report.fingerprint for name, pairs in channels.items()}
    return {
        "tuned for": str(task.objective),
        **{f"range of {name}": text for name, text in task.space.describe().items()},
        **run_identity(base, seed, fingerprints, text_assets.fingerprints, start),
        **pool_identity(pool),
    }


def _initial_model(task: Task, text_assets: TextAssets) -> InitialModel | None:
    """Reads the initial model of all trials, if there is one."""
    source = task.options.initial_model
    if source is None:
        return None
    return read_initial_model(source, task.space.base, text_assets, None)


@contextmanager
def _cleaned_up(task: Task) -> Iterator[None]:
    """Cleans up the study's files when the context ends or is interrupted."""
    try:
        yield
    except Interrupted:
        ended = _clean_up(task)
        raise Interrupted(
            f"{task.directory.path}: stopped after {ended} of "
            f"{count_trials(task.trials)}. The same command resumes the study."
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
