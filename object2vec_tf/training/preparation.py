"""Everything that a run does before training: checks, and reading its inputs."""

from __future__ import annotations

import dataclasses
import functools
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from object2vec_tf.commands.signals import catch_sigterm
from object2vec_tf.data.pairs import Pairs
from object2vec_tf.data.table_sources import is_given
from object2vec_tf.devices import (
    describe_devices,
    gpu_is_visible,
    make_deterministic,
    select_device,
)
from object2vec_tf.distributed.strategies import Strategy
from object2vec_tf.errors import Interrupted, UserError
from object2vec_tf.files.channels import channel_files
from object2vec_tf.files.remote import is_remote, local_path
from object2vec_tf.files.uploads import check_remote_writable
from object2vec_tf.files.writable import check_writable
from object2vec_tf.hyperparameters import Hyperparameters, max_gpus
from object2vec_tf.hyperparameters.arguments import as_hyperparameters
from object2vec_tf.layers.table_placement import TablePlacement
from object2vec_tf.model.freezing import check_something_is_trained
from object2vec_tf.model.token_tables import initial_log_weights
from object2vec_tf.progress import phase
from object2vec_tf.report.hidden_metrics import hidden_metrics
from object2vec_tf.report.object_names import ObjectNames, read_object_names
from object2vec_tf.runs.identity import run_identity
from object2vec_tf.runs.run_directory import RunDirectory
from object2vec_tf.tables.outside_tables import are_outside
from object2vec_tf.text.text_assets import TextAssets, read_text_assets
from object2vec_tf.text.tokenizer_loading import with_vocab_sizes
from object2vec_tf.training.batch_layout import layout_for
from object2vec_tf.training.channels import read_channels
from object2vec_tf.training.console import RunConsole
from object2vec_tf.training.initial_model import (
    InitialModel,
    check_other_directory,
    initial_model_lines,
    read_initial_model,
    start_identity,
)
from object2vec_tf.training.options import FitOptions, PathLike
from object2vec_tf.training.retrieval import (
    RetrievalTask,
    check_validation_task,
    retrieval_task,
)
from object2vec_tf.training.retrieval_pool import (
    RetrievalPool,
    check_retrieval_pool,
    pool_identity,
    read_retrieval_pool,
)
from object2vec_tf.training.run_strategy import strategy_and_placement
from object2vec_tf.training.step_work import small_step_message
from object2vec_tf.training.table_limit import given_limit, table_limit_for

# A training step with more pairs than this, negatives included, is taken for a typo.
MAX_PAIRS_PER_STEP = 1_000_000


@dataclasses.dataclass(frozen=True)
class PreparedRun:
    """A run whose settings are checked and whose inputs are read.

    Attributes:
        hyperparameters: The hyperparameters.
        options: The options.
        channels: The pairs of train and, if given, of validation and test.
        text_assets: Tokenizers and pretrained vectors.
        initial_model: The model whose weights the run starts with; None for a new one.
        retrieval_pool: The items of ``retrieval_pool``; None if it is not given.
        validation_task: The validation pairs and the items among which they are ranked
            after every epoch; None without ``retrieval_pool``.
        object_names: Names of objects, for the report.
        directory: The run directory.
        strategy: The execution strategy.
        placement: Where token tables are kept.
        batch_layout: How batches are laid out: ragged or static.
        console: Shows progress and results.
        export: Function that exports a model.
        start: ``time.perf_counter()`` when the run started.
    """

    hyperparameters: Hyperparameters
    options: FitOptions
    channels: dict[str, Pairs]
    text_assets: TextAssets
    initial_model: InitialModel | None
    retrieval_pool: RetrievalPool | None
    validation_task: RetrievalTask | None
    object_names: ObjectNames
    directory: RunDirectory
    strategy: Strategy
    placement: TablePlacement
    batch_layout: str
    console: RunConsole
    export: Callable[..., Path]
    start: float

    @property
    def export_dir(self) -> PathLike:
        """Directory of the SavedModel's versions."""
        return self.options.export_dir or self.directory.export

    @property
    def is_sharded(self) -> bool:
        """Whether token tables are trained and saved in shards, of one device too."""
        return self.options.table_placement == "sharded"

    @property
    def identity(self) -> dict[str, Any]:
        """Hyperparameters, seed and data, by which the run is recognized."""
        fingerprints = {
            name: pairs.report.fingerprint for name, pairs in self.channels.items()
        }
        return run_identity(
            self.hyperparameters,
            self.options.seed,
            fingerprints,
            self.text_assets.fingerprints,
            start_identity(
                self.initial_model,
                self.options.freeze,
                self.options.precision,
                self.options.table_placement,
            ),
        ) | pool_identity(self.retrieval_pool)

    @functools.cached_property
    def log_weights(self) -> dict[int, npt.NDArray[np.float32]]:
        """The logarithms of the initial token weights by encoder, if there are any."""
        return initial_log_weights(
            self.hyperparameters, self.channels["train"], self.text_assets.tokenizers
        )

    @functools.cached_property
    def hidden_metrics(self) -> frozenset[str]:
        """The metrics that say nothing about this run, which its output leaves out."""
        return hidden_metrics(self.hyperparameters, self.channels["train"])


def prepare_run(
    hyperparameters: Hyperparameters | Mapping[str, Any],
    sources: Mapping[str, Any],
    directory: RunDirectory,
    options: FitOptions,
) -> PreparedRun:
    """Checks all settings, then reads the channels.

    Args:
        hyperparameters: The hyperparameters, or a mapping of them.
        sources: The channels train, validation, test and auxiliary.
        directory: The run directory.
        options: The options.

    Raises:
        UserError: Settings or data are invalid; no file was changed.
        Interrupted: The process received SIGTERM while channels were read.
    """
    start = time.perf_counter()
    select_device(options.device)
    if options.deterministic:
        make_deterministic(options.seed)
    auxiliary = sources.get("auxiliary")
    num_gpus = options.num_gpus
    if isinstance(hyperparameters, Mapping):
        num_gpus = max_gpus(hyperparameters) if num_gpus is None else num_gpus
        hyperparameters = with_vocab_sizes(hyperparameters, auxiliary)
    hyperparameters = as_hyperparameters(hyperparameters)
    _check_arguments(hyperparameters, sources)
    # Raises an error for subwords.
    are_outside(hyperparameters, given_limit(options))
    check_something_is_trained(hyperparameters, options.freeze)
    check_retrieval_pool(options.retrieval_pool, sources)
    export = _load_exporter()
    strategy, placement = strategy_and_placement(
        hyperparameters, options, num_gpus, directory
    )
    limit = table_limit_for(options, hyperparameters, strategy, placement)
    options = options.replace(table_limit=limit)
    _check_speed(options.precision)
    with phase("reading vocabularies and pretrained vectors"):
        text_assets = read_text_assets(hyperparameters, auxiliary, options.seed)
    names = read_object_names(
        options.items, options.labels, hyperparameters, text_assets.tokenizers
    )
    console = RunConsole(quiet=not (options.verbose and strategy.is_chief))
    console.say(f"device: {describe_devices(len(strategy.local_replicas))}")
    console.words(text_assets)
    directory.download(is_chief=strategy.is_chief)
    with phase("reading the initial model"):
        initial_model = _initial_model(
            options, hyperparameters, text_assets, directory, console
        )
    with phase("reading the retrieval pool"):
        retrieval_pool = read_retrieval_pool(
            options.retrieval_pool, hyperparameters, text_assets.tokenizers
        )
    directory.make()
    if strategy.is_chief:
        _check_export_dir(options.export_dir, directory)
    hyperparameters = _with_former_values(
        hyperparameters, directory, options, strategy, console
    )
    options = options.replace(cache_dir=options.cache_dir or directory.cache)
    with catch_sigterm() as stop_request, _recorded(directory, strategy, start):
        channels = read_channels(
            sources,
            hyperparameters,
            console,
            stop_request,
            tokenizers=text_assets.tokenizers,
            options=options,
        )
    run = PreparedRun(
        hyperparameters,
        options,
        channels,
        text_assets,
        initial_model,
        retrieval_pool,
        _validation_task(channels, hyperparameters, retrieval_pool),
        names,
        directory,
        strategy,
        placement,
        "ragged"
        if placement.is_sharded
        else layout_for(options.batch_layout, strategy, channels["train"]),
        console,
        export,
        start,
    )
    if hint := small_step_message(channels["train"]):
        console.say(hint)
    return run


def _check_export_dir(export_dir: PathLike | None, directory: RunDirectory) -> None:
    """Checks that the model can be exported, before any data is read."""
    if export_dir and is_remote(export_dir):
        check_remote_writable(os.fspath(export_dir), "export_dir")
    elif export_dir or directory.export.exists():
        check_writable(local_path(export_dir or directory.export), "export_dir")


def _with_former_values(
    hyperparameters: Hyperparameters,
    directory: RunDirectory,
    options: FitOptions,
    strategy: Strategy,
    console: RunConsole,
) -> Hyperparameters:
    """Returns the hyperparameters with which an older run in the directory began.

    With ``overwrite`` there are none. The chief alone decides about that, since all
    workers have to make the same collective calls.
    """
    own = {}
    if strategy.is_chief and not options.overwrite:
        own = directory.former_values()
    with strategy.detect_lost_workers():
        former = strategy.broadcast_from_chief(own)
    for name, value in former.items():
        console.say(f"{directory.path}: an older run, with {name}={value}")
    return dataclasses.replace(hyperparameters, **former)


def _validation_task(
    channels: Mapping[str, Pairs],
    hyperparameters: Hyperparameters,
    pool: RetrievalPool | None,
) -> RetrievalTask | None:
    """Returns the retrieval task of every epoch; None without a pool."""
    if pool is None:
        return None
    task = retrieval_task(channels, "validation", hyperparameters, pool)
    check_validation_task(task)
    return task


def _initial_model(
    options: FitOptions,
    hyperparameters: Hyperparameters,
    text_assets: TextAssets,
    directory: RunDirectory,
    console: RunConsole,
) -> InitialModel | None:
    """Reads the initial model, if there is one."""
    if options.initial_model is None:
        return None
    check_other_directory(options.initial_model, directory)
    initial_model = read_initial_model(
        options.initial_model,
        hyperparameters,
        text_assets,
        None if options.overwrite else directory,
    )
    for line in initial_model_lines(initial_model.summary, options.freeze):
        console.say(line)
    return initial_model


@contextmanager
def _recorded(
    directory: RunDirectory, strategy: Strategy, start: float
) -> Iterator[None]:
    """Records in metrics.json that the run was interrupted while it read channels."""
    try:
        yield
    except Interrupted as error:
        if strategy.is_chief:
            directory.write_unread(time.perf_counter() - start)
        raise Interrupted(f"{directory.path}: {error}") from None


def _check_arguments(
    hyperparameters: Hyperparameters,
    sources: Mapping[str, Any],
) -> None:
    _check_pairs_per_step(hyperparameters)
    if not is_given(sources.get("train")):
        raise UserError("train: no file given. Give a file, directory or glob.")
    auxiliary = sources.get("auxiliary")
    if auxiliary:
        channel_files(auxiliary, "auxiliary", by_name=True)


def _check_speed(precision: str) -> None:
    """Warns of a precision that makes training slower on this machine."""
    if precision != "float32" and not gpu_is_visible():
        warnings.warn(
            f"precision: {precision} is slower than float32 on a CPU, and needs more "
            "memory. Use it on a GPU.",
            stacklevel=4,
        )


def _check_pairs_per_step(hyperparameters: Hyperparameters) -> None:
    rate = hyperparameters.negative_sampling_rate
    batch = hyperparameters.mini_batch_size
    pairs = batch * (1 + rate)
    if rate and pairs > MAX_PAIRS_PER_STEP:
        raise UserError(
            f"negative_sampling_rate: expected at most {MAX_PAIRS_PER_STEP:,} pairs "
            f"per step, got {pairs:,}: mini_batch_size={batch} pairs with {rate:,} "
            f"negatives each. Lower one of the two (a batch has {batch - 1:,} "
            "different negatives for a pair)."
        )


def _load_exporter() -> Callable[..., Path]:
    """Returns `export.export_saved_model`, before hours are spent on training.

    Raises:
        UserError: Another module named export hides the package.
    """
    try:
        from export import export_saved_model
    except ImportError as error:
        raise UserError(
            "a file or directory named export hides the package export that comes "
            "with object2vec_tf. Run the command from another directory."
        ) from error
    return export_saved_model
