"""fit: a whole run, from channels to an exported model."""

from __future__ import annotations

import dataclasses
import functools
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Unpack

import keras

from object2vec_tf.commands.signals import StopRequest, catch_sigterm
from object2vec_tf.data.channel_reader import PairSource
from object2vec_tf.distributed.joining import joined_workers
from object2vec_tf.distributed.replicas import copy_weights_from_chief
from object2vec_tf.errors import Interrupted
from object2vec_tf.files.channels import Source
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.layers.precision import policy_of, warn_of_ignored_policy
from object2vec_tf.model.loading import load, load_object2vec
from object2vec_tf.model.object2vec import Object2Vec
from object2vec_tf.model.table_names import variable_readers
from object2vec_tf.progress import kept_output, phase
from object2vec_tf.report.verdict import judge
from object2vec_tf.runs.opened_run import open_run
from object2vec_tf.runs.result_files import Record
from object2vec_tf.training.channels import sources_by_channel
from object2vec_tf.training.options import FitKeywords, FitOptions, PathLike
from object2vec_tf.training.preparation import (
    PreparedRun,
    prepare_run,
)
from object2vec_tf.training.results import measure, next_steps_of, write_report
from object2vec_tf.training.trainer import Trainer

Callbacks = Sequence[keras.callbacks.Callback]


@dataclasses.dataclass(frozen=True)
class Run:
    r"""The result of a run.

    Attributes:
        model: The model of the best epoch.
        metrics: The content of ``metrics.json``.
        history: The content of ``history.jsonl``, one record per epoch.
        model_dir: The run directory.

    Example:
        >>> import pathlib
        >>> import object2vec_tf as o2v
        >>> lines = '{"in0": [1], "in1": [2, 3], "label": 1}\n' * 8
        >>> _ = pathlib.Path("train.jsonl").write_text(lines)
        >>> hyperparameters = o2v.Hyperparameters(
        ...     enc0_network="pooled_embedding",
        ...     enc0_vocab_size=5,
        ...     enc0_max_seq_len=2,
        ...     enc_dim=4,
        ...     epochs=2,
        ... )
        >>> run = o2v.fit(
        ...     hyperparameters, train="train.jsonl", model_dir="run", verbose=False
        ... )
        >>> run.metrics["epochs_run"], len(run.history)
        (2, 2)
        >>> run.model.enc0.name
        'enc0'
        >>> run.model_dir / "export/1/saved_model.pb"
        PosixPath('run/export/1/saved_model.pb')
    """

    model: Object2Vec
    metrics: dict[str, Any]
    history: list[Record]
    model_dir: Path


class SharedRun(Run):
    """The result of a run in a worker other than the chief, if tables are sharded.

    The chief's tables are not sent to the workers: the model is loaded from the run
    directory when it is first used.

    Args:
        metrics: As for `Run`.
        history: As for `Run`.
        model_dir: As for `Run`.
    """

    def __init__(
        self, metrics: dict[str, Any], history: list[Record], model_dir: Path
    ) -> None:
        self.__dict__.update(metrics=metrics, history=history, model_dir=model_dir)

    @functools.cached_property
    def model(self) -> Object2Vec:
        """The model of the best epoch."""
        return load(self.model_dir)

    def __repr__(self) -> str:
        """Returns the run directory, without loading the model."""
        return f"SharedRun(model_dir={self.model_dir!r})"


def fit(
    hyperparameters: Hyperparameters | Mapping[str, Any],
    *,
    train: PairSource,
    model_dir: PathLike,
    validation: PairSource | None = None,
    test: PairSource | None = None,
    auxiliary: Source | None = None,
    callbacks: Callbacks = (),
    **options: Unpack[FitKeywords],
) -> Run:
    """Trains a model, keeps the best epoch, measures it and exports it.

    The same call with the same ``model_dir`` resumes an interrupted run, with the same
    final weights. With more epochs, it also continues a run that finished all of its
    own, to the weights of a run with that number from the start. Any other finished run
    is only loaded, and exported to ``export_dir``.

    Args:
        hyperparameters: The hyperparameters, or a mapping of them; a mapping may leave
            out ``encX_vocab_size`` if it has ``encX_vocab_file``.
        train: The training channel, as for `object2vec_tf.read_pairs`: files,
            directories or globs of JSON Lines, Parquet or Arrow, a table, an iterable
            of mappings, or Pairs.
        model_dir: The run directory.
        validation: The channel for early stopping and the choice of the best epoch.
            Without it, both use the training loss.
        test: A channel on which the best model is measured once.
        auxiliary: The channel of vocabularies and pretrained embeddings.
        callbacks: Keras callbacks; notified of batches once for several steps.
        **options: The fields of `object2vec_tf.training.options.FitOptions`.

    Raises:
        UserError: Settings, data or the run directory are invalid; an earlier run is
            unchanged. DivergedError, a subclass, is raised during training, after
            ``overwrite`` deleted an earlier run.
        Interrupted: The process received SIGTERM; the run can be resumed.
        WorkerLost: Another worker ended; the run can be resumed.

    Example:
        >>> import pathlib
        >>> import object2vec_tf as o2v
        >>> lines = '{"in0": [1], "in1": [2, 3], "label": 1}'
        >>> _ = pathlib.Path("train.jsonl").write_text(lines)
        >>> network = {"enc0_network": "pooled_embedding", "enc_dim": 4, "epochs": 1}
        >>> sizes = {"enc0_vocab_size": 5, "enc0_max_seq_len": 2}
        >>> settings = {"train": "train.jsonl", "model_dir": "run", "verbose": False}
        >>> run = o2v.fit(network | sizes, **settings)
        >>> run.metrics["rows"]
        {'train': 1}
    """
    warn_of_ignored_policy(options)
    channels = sources_by_channel(train, validation, test, auxiliary)
    with (
        kept_output(),
        joined_workers(options.get("strategy", "auto")) as members,
        open_run(model_dir, catch_sigterm) as directory,
    ):
        run = prepare_run(hyperparameters, channels, directory, FitOptions(**options))
        if members:
            members.is_preparing = False
        execute = _run_as_chief if run.strategy.is_chief else _run_as_worker
        return execute(run, callbacks)


def _run_as_chief(run: PreparedRun, callbacks: Callbacks) -> Run:
    """Trains the run, or loads it if it is finished, and writes all its files."""
    with run.strategy.detect_lost_workers():  # before an earlier run is deleted
        run.strategy.verify_same_config(run.identity)
    saved_epochs = None if run.options.overwrite else run.directory.saved_epochs()
    with (
        run.directory.claimed(run.identity, run.options.overwrite),
        run.strategy.detect_lost_workers(),
    ):
        metrics = run.directory.results(run.hyperparameters.epochs)
        run.strategy.broadcast_from_chief(metrics is not None)
        if metrics is None:
            _report_continuation(run, saved_epochs)
            model, metrics = _train_and_finish(run, callbacks)
        else:
            model = _load_finished(run, metrics)
        run.console.results(metrics, run.hidden_metrics)
        run.console.say(judge(metrics, run.hyperparameters).text)
        run.console.next_steps(next_steps_of(run))
        result = Run(model, metrics, run.directory.read_history(), run.directory.path)
        _send_to_workers(run, result)
        return result


def _train_and_finish(
    run: PreparedRun, callbacks: Callbacks
) -> tuple[Object2Vec, dict[str, Any]]:
    """Trains, measures, exports and reports; returns the best model and its metrics."""
    run.directory.write_hyperparameters(run.hyperparameters)
    if run.initial_model:
        run.directory.write_initial_model(run.initial_model.record)
    if run.hyperparameters.dropout == 1:
        warnings.warn(
            "dropout: 1 drops every activation in training, so that almost nothing is "
            "learned. Lower it.",
            stacklevel=3,
        )
    with catch_sigterm() as stop_request:
        trainer = _train(run, callbacks, stop_request)
        with _stop_recorded(run, trainer), phase("measuring the best epoch"):
            model = trainer.finished_model()
            metrics = _measure_as_chief(run, trainer, model)
        # Ends in moments, so that a stop that is requested now comes too late.
        with phase("writing the report"):
            write_report(run, trainer, model, metrics)
        _export(run, model, metrics)
        run.directory.write_metrics(metrics)
    run.console.say(f"report: {run.directory.report}")
    return model, metrics


def _measure_as_chief(
    run: PreparedRun, trainer: Trainer, model: Object2Vec
) -> dict[str, Any]:
    """Returns the results of the best epoch; other workers wait for them."""
    try:
        return measure(run, trainer, model)
    except Interrupted:
        run.strategy.broadcast_from_chief(None)
        raise


def _report_continuation(run: PreparedRun, saved_epochs: int | None) -> None:
    """Reports that the run gets more epochs than it had at first."""
    epochs = run.hyperparameters.epochs
    if saved_epochs is None or saved_epochs == epochs:
        return
    run.console.say(
        f"{run.directory.path}: continues to {epochs} epochs, instead of {saved_epochs}"
    )
    decay = run.hyperparameters.learning_rate_decay
    if decay != "none":
        warnings.warn(
            f"learning_rate_decay={decay} depends on the number of epochs. The "
            f"remaining epochs follow the schedule of {epochs} epochs, but earlier "
            f"ones followed that of {saved_epochs}, so the weights differ from those "
            "of a run that starts with the new number.",
            stacklevel=4,
        )


def _load_finished(run: PreparedRun, metrics: Mapping[str, Any]) -> Object2Vec:
    """Loads the model of a run that is already finished."""
    run.console.say(
        f"{run.directory.path}: this run is finished; --overwrite repeats it"
    )
    if metrics["epochs_run"] < run.hyperparameters.epochs:
        run.console.say(
            f"It stopped after epoch {metrics['epochs_run']} ({metrics['stopped']}), "
            "and would do so with any larger number of epochs"
        )
    model = load_object2vec(run.directory.model)
    if run.options.export_dir:
        _export(run, model, metrics)
    return model


def _export(run: PreparedRun, model: Object2Vec, metrics: Mapping[str, Any]) -> None:
    path = run.export(
        model,
        run.export_dir,
        metrics=metrics,
        # Rows were assigned one by one: reading a whole table would copy it.
        tables=variable_readers(model) if run.is_sharded else None,
        table_limit=run.options.table_limit,
    )
    run.console.say(f"exported to {path}")


def _train(
    run: PreparedRun, callbacks: Callbacks, stop_request: StopRequest
) -> Trainer:
    """Trains to the last epoch, from the newest checkpoint if there is one."""
    trainer = Trainer(run, stop_request)
    with _stop_recorded(run, trainer):
        try:
            trainer.run(callbacks)
        except Interrupted:
            run.strategy.barrier()
            raise
    return trainer


@contextmanager
def _stop_recorded(run: PreparedRun, trainer: Trainer) -> Iterator[None]:
    """Records in metrics.json that the run was interrupted."""
    try:
        yield
    except Interrupted as error:
        if run.strategy.is_chief:
            run.directory.write_metrics(trainer.unfinished_metrics())
        raise _resumable(run, error) from None


def _resumable(run: PreparedRun, reason: object) -> Interrupted:
    return Interrupted(
        f"{run.directory.path}: {reason}. The same command resumes the run."
    )


def _run_as_worker(run: PreparedRun, callbacks: Callbacks) -> Run:
    """Takes part in a run as a worker other than the chief."""
    strategy = run.strategy
    with catch_sigterm() as stop_request, strategy.detect_lost_workers():
        strategy.verify_same_config(run.identity)
        is_finished = strategy.broadcast_from_chief(None)
        if not is_finished:
            _train(run, callbacks, stop_request).release()
        result = strategy.broadcast_from_chief(None)
        if result is None:
            raise _resumable(run, "stopped while the best epoch was measured")
        metrics, history = result
        if run.is_sharded:
            strategy.barrier()
            return SharedRun(metrics, history, run.directory.path)
        model = Object2Vec(
            run.hyperparameters,
            tokenizers=run.text_assets.tokenizers,
            frozen=run.options.freeze,
            id_words=run.text_assets.id_words,
            dtype=policy_of(run.options.precision),
        )
        copy_weights_from_chief(strategy, model)
        strategy.barrier()
        return Run(model, metrics, history, run.directory.path)


def _send_to_workers(run: PreparedRun, result: Run) -> None:
    """Sends the chief's result to the other workers, if there are any."""
    strategy = run.strategy
    if strategy.workers > 1:
        strategy.broadcast_from_chief([result.metrics, result.history])
        if not run.is_sharded:
            copy_weights_from_chief(strategy, result.model)
        strategy.barrier()
