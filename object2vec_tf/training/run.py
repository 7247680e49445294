"""A whole run: channels in, a trained, measured and exported model out."""

from __future__ import annotations

import dataclasses
import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from object2vec_tf.commands.signals import StopRequest, catch_sigterm
from object2vec_tf.data.channel_reader import read_pairs
from object2vec_tf.data.pairs import Pairs
from object2vec_tf.distributed.strategies import SingleDevice, choose_strategy
from object2vec_tf.errors import Interrupted, UserError
from object2vec_tf.files.channels import Source, channel_files
from object2vec_tf.files.writable import check_writable
from object2vec_tf.hyperparameters import Hyperparameters, max_gpus
from object2vec_tf.hyperparameters.arguments import as_hyperparameters, as_integer
from object2vec_tf.model.loading import load_object2vec
from object2vec_tf.model.object2vec import Object2Vec
from object2vec_tf.report.object_names import read_object_names
from object2vec_tf.runs.run_directory import Record, RunDirectory, run_identity
from object2vec_tf.text.text_assets import TextAssets, read_text_assets
from object2vec_tf.text.tokenizer_loading import with_vocab_sizes
from object2vec_tf.training.console import RunConsole
from object2vec_tf.training.replicas import from_chief
from object2vec_tf.training.trainer import Trainer

# A training step of more pairs than this, negatives included, is a slip of the pen.
MAX_PAIRS_PER_STEP = 1_000_000


@dataclasses.dataclass(frozen=True)
class Run:
    """What a run gave.

    Attributes:
        model: The model of the best epoch.
        metrics: What ``metrics.json`` holds.
        history: What ``history.jsonl`` holds, a record for each epoch.
        model_dir: The run directory.
    """

    model: Object2Vec
    metrics: dict[str, Any]
    history: list[Record]
    model_dir: Path


def fit(
    hyperparameters: Hyperparameters | Mapping[str, Any],
    *,
    train: Source,
    model_dir: str | os.PathLike[str],
    validation: Source | None = None,
    test: Source | None = None,
    auxiliary: Source | None = None,
    items: str | os.PathLike[str] | None = None,
    labels: str | os.PathLike[str] | None = None,
    seed: int = 0,
    max_bad_lines: int = 0,
    export_dir: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    checkpoint_seconds: int = 60,
    cache_dir: str | os.PathLike[str] | None = None,
    cache_limit: float | None = None,
    strategy: str = "auto",
    num_gpus: int | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: bool = True,
) -> Run:
    """Trains, keeps the best epoch, measures it and exports it.

    The same run in the same ``model_dir`` goes on where it was stopped, and ends with
    the weights it would have had; a complete one is only loaded, and exported again
    where ``export_dir`` is given.

    Args:
        hyperparameters: The settings, or a mapping of them, in which
            ``encX_vocab_size`` may be left out where ``encX_vocab_file`` tells it.
        train: The training channel: files, directories or globs of JSON Lines.
        model_dir: The run directory.
        validation: The channel that early stopping and the best epoch go by; without
            it they go by the training loss.
        test: A channel measured once, on the model that is kept.
        auxiliary: The channel of vocabularies and pretrained embeddings.
        items: JSON Lines of objects, in0 or in1, that have names in ``labels``.
        labels: A text file with a name for each of the items, a line each, for the
            report and TensorBoard.
        seed: Decides initial weights, shuffles and negatives.
        max_bad_lines: Bad lines tolerated in a channel.
        export_dir: Where the SavedModel goes; ``model_dir/export`` by default.
        overwrite: Start afresh where ``model_dir`` holds another run.
        checkpoint_seconds: From one checkpoint to the next within an epoch, unless
            that takes more than a tenth of the time; 0 saves at epochs' ends alone.
        cache_dir: Where what was read of the channels is kept between epochs and
            runs, which several runs may share; ``model_dir/cache`` by default.
        cache_limit: Gigabytes (10**9 bytes) that it may hold.
        strategy: Where the run's steps are done: one, a device; mirrored, the GPUs of
            this process; multi_worker, the processes that TF_CONFIG tells of, each of
            which calls this function; auto, what there is. Their number changes the
            results by rounding, and dropout's random numbers. The chief alone writes
            ``model_dir``; all return the same run.
        num_gpus: The most GPUs that are used; a mapping's ``_num_gpus`` by default.
        callbacks: Keras callbacks, told of epochs and (once for several steps) batches.
        verbose: Whether to show progress and results on stdout.

    Raises:
        UserError: Settings, data or the run directory need mending; an earlier run's
            files are as they were. DivergedError is one, told while training; what
            ``overwrite`` replaces has gone then.
        Interrupted: The process got a SIGTERM; the run can be gone on with.
        WorkerLost: Another worker has ended; the run can be gone on with.
    """
    start = time.perf_counter()
    if isinstance(hyperparameters, Mapping):
        if num_gpus is None:
            num_gpus = max_gpus(hyperparameters)
        hyperparameters = with_vocab_sizes(hyperparameters, auxiliary)
    hyperparameters = as_hyperparameters(hyperparameters)
    seed = as_integer("seed", seed)
    max_bad_lines = as_integer("max_bad_lines", max_bad_lines)
    checkpoint_seconds = as_integer("checkpoint_seconds", checkpoint_seconds)
    if not os.fspath(model_dir):
        raise UserError("model_dir: is empty; name the run directory")
    _refuse_countless_negatives(hyperparameters)
    export = _exporter()
    if not train:
        raise UserError("train: no file given; give a file, directory or glob")
    if auxiliary:
        channel_files(auxiliary, "auxiliary")
    places = choose_strategy(strategy, num_gpus)
    words = read_text_assets(hyperparameters, auxiliary, seed)
    names = read_object_names(items, labels, hyperparameters)
    reporter = RunConsole(quiet=not (verbose and places.is_chief))
    reporter.words(words)
    directory = RunDirectory(Path(model_dir))
    directory.make()
    with catch_sigterm() as interruption:
        try:
            channels = read_channels(
                {"train": train, "validation": validation, "test": test},
                hyperparameters,
                reporter,
                interruption,
                tokenizers=words.tokenizers,
                max_bad_lines=max_bad_lines,
                cache_dir=cache_dir or directory.cache,
                cache_limit=cache_limit,
            )
        except Interrupted as error:
            if places.is_chief:
                directory.write_unread(time.perf_counter() - start)
            raise Interrupted(f"{directory.path}: {error}") from None
    destination = Path(export_dir) if export_dir else directory.export
    if places.is_chief and (export_dir or destination.exists()):
        check_writable(destination, "export_dir")
    fingerprints = {name: pairs.report.fingerprint for name, pairs in channels.items()}
    identity = run_identity(hyperparameters, seed, fingerprints, words.fingerprints)

    def trained() -> Trainer:
        """Trains on all workers, or goes on, to the last epoch."""
        with catch_sigterm() as interruption:
            training = Trainer(
                hyperparameters,
                channels,
                words,
                directory,
                seed,
                reporter,
                interruption,
                checkpoint_seconds,
                start,
                places,
            )
            try:
                training.run(callbacks)
            except Interrupted as error:
                if places.is_chief:
                    directory.write_metrics(training.unfinished())
                places.part()
                raise Interrupted(
                    f"{directory.path}: {error}; the same command goes on there"
                ) from None
        return training

    if not places.is_chief:
        with places.watched():
            places.agree(identity)
            if not places.from_chief(None):
                trained()
            return _chiefs_run(places, hyperparameters, words, directory)
    with places.watched():  # before an earlier run is cleared
        places.agree(identity)
    with directory.claimed(identity, overwrite), places.watched():
        metrics = directory.results()
        places.from_chief(metrics is not None)
        if metrics is None:
            directory.write_hyperparameters(hyperparameters)
            _warn_of_dropping_all(hyperparameters)
            training = trained()
            model = load_object2vec(directory.model)
            metrics = training.measured(model)
            training.describe(model, metrics, names)
            path = export(model, destination, metrics=metrics)
            reporter.say(f"exported to {path}")
            directory.write_metrics(metrics)
            reporter.say(f"report: {directory.report}")
        else:
            reporter.say(
                f"{directory.path}: this run is complete; --overwrite repeats it"
            )
            model = load_object2vec(directory.model)
            if export_dir:
                path = export(model, destination, metrics=metrics)
                reporter.say(f"exported to {path}")
        reporter.results(metrics)
        run = Run(model, metrics, directory.read_history(), directory.path)
        _tell_run(places, run)
        return run


def _tell_run(places: SingleDevice, run: Run) -> None:
    """Gives the other workers the chief's run."""
    if places.workers > 1:
        places.from_chief([run.metrics, run.history])
        from_chief(places, run.model)
        places.part()


def _chiefs_run(
    places: SingleDevice,
    hyperparameters: Hyperparameters,
    words: TextAssets,
    directory: RunDirectory,
) -> Run:
    """Returns the chief's run on another worker."""
    metrics, history = places.from_chief(None)
    model = Object2Vec(hyperparameters, tokenizers=words.tokenizers)
    from_chief(places, model)
    places.part()
    return Run(model, metrics, history, directory.path)


def _refuse_countless_negatives(hyperparameters: Hyperparameters) -> None:
    rate, batch = (
        hyperparameters.negative_sampling_rate,
        hyperparameters.mini_batch_size,
    )
    pairs = batch * (1 + rate)
    if rate and pairs > MAX_PAIRS_PER_STEP:
        raise UserError(
            f"negative_sampling_rate: {rate:,} negatives for each of "
            f"mini_batch_size={batch} pairs make {pairs:,} pairs a step, more than "
            f"{MAX_PAIRS_PER_STEP:,}; lower either of them (a batch has "
            f"{batch - 1:,} different negatives for a pair)"
        )


def _warn_of_dropping_all(hyperparameters: Hyperparameters) -> None:
    if hyperparameters.dropout == 1:
        warnings.warn(
            "dropout: 1 drops every activation in training, so that hardly anything "
            "is learnt; lower it",
            stacklevel=3,
        )


def _exporter() -> Callable[..., Path]:
    """Returns export's function; it builds on this package, so it is imported late.

    Raises:
        UserError: Another module of that name hides it, before hours of training.
    """
    try:
        from export import export_saved_model
    except ImportError as error:
        raise UserError(
            "a file or directory named export hides the package export that comes "
            "with object2vec_tf; run the command from another directory"
        ) from error
    return export_saved_model


def read_channels(
    sources: dict[str, Source | None],
    hyperparameters: Hyperparameters,
    reporter: RunConsole,
    interruption: StopRequest,
    **settings: Any,
) -> dict[str, Pairs]:
    """Reads the channels of a run.

    Args:
        sources: Where each is; None where there is none.
        hyperparameters: The settings they are checked against.
        reporter: Is told of what is read.
        interruption: Whether to stop.
        settings: Those of `read_pairs` besides.

    Raises:
        DataError: A line is wrong.
        Interrupted: The process got a SIGTERM.
    """
    channels = {}
    for name, source in sources.items():
        if not source:
            continue
        with reporter.reading(name) as told:

            def after_block(size: int, told: Callable[[int], None] = told) -> None:
                if interruption.asked:
                    raise Interrupted(
                        "stopped while data was read; the same command starts again"
                    )
                told(size)

            channels[name] = read_pairs(
                source,
                hyperparameters,
                channel=name,
                after_block=after_block,
                **settings,
            )
        reporter.channel(name, channels[name])
    return channels
