"""A whole run: channels in, a trained, measured and exported model out."""

from __future__ import annotations

import dataclasses
import math
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras

from object2vec_tf.data.channels import Source
from object2vec_tf.data.pairs import Pairs, read_pairs
from object2vec_tf.errors import UserError
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.model.object2vec import Object2Vec
from object2vec_tf.training.checkpoints import Checkpoints
from object2vec_tf.training.early_stopping import EarlyStopping
from object2vec_tf.training.loop import TrainingLoop
from object2vec_tf.training.metric_lines import quality_lines
from object2vec_tf.training.reporting import ProgressBar, Reporter
from object2vec_tf.training.run_directory import Record, RunDirectory, run_identity
from object2vec_tf.training.tensorboard import TensorBoardLogs
from object2vec_tf.whole_files import whole_file

# Evaluation has no gradient to keep, so its batches can be larger than training's.
EVALUATION_BATCH = 1024


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
    hyperparameters: Hyperparameters,
    *,
    train: Source,
    model_dir: str | os.PathLike[str],
    validation: Source | None = None,
    test: Source | None = None,
    auxiliary: Source | None = None,
    seed: int = 0,
    max_bad_lines: int = 0,
    export_dir: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: bool = True,
) -> Run:
    """Trains, keeps the best epoch, measures it and exports it.

    The same run in the same ``model_dir`` goes on where it was stopped, and ends with
    the weights it would have had; a complete one is only loaded.

    Args:
        hyperparameters: The settings.
        train: The training channel: files, directories or globs of JSON Lines.
        model_dir: The run directory.
        validation: The channel that early stopping and the best epoch go by; without
            it they go by the training loss.
        test: A channel measured once, on the model that is kept.
        auxiliary: The channel of vocabularies and pretrained embeddings.
        seed: Decides initial weights, shuffles and negatives.
        max_bad_lines: Bad lines tolerated in a channel.
        export_dir: Where the SavedModel goes; ``model_dir/export`` by default.
        overwrite: Start afresh where ``model_dir`` holds another run.
        callbacks: Keras callbacks, told of epochs and (once for several steps) batches.
        verbose: Whether to show progress and results on stdout.

    Raises:
        UserError: Settings, data or the run directory need mending; an earlier run's
            files are as they were.
    """
    start = time.perf_counter()
    _refuse_unread(hyperparameters)
    export = _exporter()
    if not train:
        raise UserError("train: no file given; give a file, directory or glob")
    reporter = Reporter(quiet=not verbose)
    channels = _read_channels(
        {"train": train, "validation": validation, "test": test},
        hyperparameters,
        max_bad_lines,
        reporter,
    )
    directory = RunDirectory(Path(model_dir))
    destination = Path(export_dir) if export_dir else directory.export
    if export_dir:
        _check_writable(destination)
    fingerprints = {name: pairs.report.fingerprint for name, pairs in channels.items()}
    identity = run_identity(hyperparameters, seed, fingerprints)
    with directory.claimed(identity, overwrite):
        metrics = directory.results()
        if metrics is None:
            directory.write_hyperparameters(hyperparameters)
            training = _Training(hyperparameters, channels, directory, seed, reporter)
            training.run(callbacks)
            metrics = training.finish(start, destination, export)
        else:
            reporter.say(
                f"{directory.path}: this run is complete; --overwrite repeats it"
            )
        reporter.results(metrics)
        model = keras.models.load_model(directory.model)
        return Run(model, metrics, directory.read_history(), directory.path)


def _refuse_unread(hyperparameters: Hyperparameters) -> None:
    """Refuses what this version does not do, rather than leave it out in silence."""
    for encoder in (0, 1):
        for name in ("pretrained_embedding_file", "vocab_file"):
            value = hyperparameters.of_encoder(encoder, name)
            if value:
                raise UserError(
                    f"enc{encoder}_{name}: {value!r} is given, but this version does "
                    f"not read pretrained embeddings; leave enc{encoder}_{name} out"
                )


def _check_writable(export_dir: Path) -> None:
    """Makes the directory now, before an earlier run is cleared and hours are spent."""
    try:
        export_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{export_dir}: export_dir cannot be made: {error.strerror}; give another "
            "--export_dir"
        ) from error


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


def _read_channels(
    sources: dict[str, Source | None],
    hyperparameters: Hyperparameters,
    max_bad_lines: int,
    reporter: Reporter,
) -> dict[str, Pairs]:
    channels = {}
    for name, source in sources.items():
        if source:
            channels[name] = read_pairs(
                source, hyperparameters, channel=name, max_bad_lines=max_bad_lines
            )
            reporter.channel(name, channels[name])
    return channels


class _Training:
    """The state of a run between its epochs, and how it gets from one to the next."""

    def __init__(
        self,
        hyperparameters: Hyperparameters,
        channels: dict[str, Pairs],
        directory: RunDirectory,
        seed: int,
        reporter: Reporter,
    ) -> None:
        self.hyperparameters = hyperparameters
        self.channels = channels
        self.directory = directory
        self.seed = seed
        self.reporter = reporter
        self.history: list[Record] = []
        self.seconds = 0.0
        self.model = Object2Vec(hyperparameters, seed=seed)
        if hyperparameters.output_layer == "mean_squared_error":
            self.model.set_output_bias(float(channels["train"].labels.mean()))
        self.model.compile()
        self.model.optimizer.build(self.model.trainable_variables)
        self.checkpoints = Checkpoints(directory.checkpoints, self.model)
        self.logs = TensorBoardLogs(directory.tensorboard, hyperparameters)
        self.stopping = EarlyStopping(
            hyperparameters.early_stopping_patience,
            hyperparameters.early_stopping_tolerance,
        )
        self.stopped = False

    def run(self, callbacks: Sequence[keras.callbacks.Callback]) -> None:
        """Trains from the newest checkpoint on, to the last epoch."""
        self._resume()
        epochs, pairs = self.hyperparameters.epochs, self.channels["train"]
        told = keras.callbacks.CallbackList(
            [ProgressBar(self.reporter.console), *callbacks],
            model=self.model,
            epochs=epochs,
            steps=len(pairs.dataset(shuffle=True)),
            verbose=0,
        )
        loop = TrainingLoop(self.model, told)
        self.model.stop_training = False
        told.on_train_begin()
        try:
            for epoch in range(len(self.history), epochs):
                if self.stopped:
                    break
                told.on_epoch_begin(epoch)
                record = self._epoch(epoch, loop)
                told.on_epoch_end(epoch, _flat(record))
                self.stopped |= self.model.stop_training
                self._keep(record)
        finally:
            told.on_train_end()

    def _resume(self) -> None:
        state = self.checkpoints.restore()
        if state is None:
            return
        self.history, self.seconds = state["history"], state["seconds"]
        for record in self.history:
            self.stopped = self.stopping.update(self._watched(record))
        self.reporter.say(f"resumed behind epoch {len(self.history)}")

    def _epoch(self, epoch: int, loop: TrainingLoop) -> Record:
        pairs = self.channels["train"]
        result = loop.train(pairs.dataset(shuffle=True, seed=self.seed, epoch=epoch))
        record: Record = {"epoch": epoch, "train": result.metrics}
        if "validation" in self.channels:
            record["validation"] = self._measure(loop, "validation")
        record["seconds"] = result.seconds
        record["records_per_second"] = len(pairs) / result.seconds
        loss = self._watched(record)
        if not math.isfinite(loss):
            raise UserError(
                f"epoch {epoch + 1}: {self.hyperparameters.loss_name} is {loss}: "
                "training diverged; lower learning_rate, or weight_decay if it is large"
            )
        return record

    def _measure(self, loop: TrainingLoop, channel: str) -> dict[str, float]:
        size = max(EVALUATION_BATCH, self.hyperparameters.mini_batch_size)
        return loop.evaluate(self.channels[channel].dataset(size))

    def _watched(self, record: Record) -> float:
        """Returns the loss that early stopping and the best epoch go by."""
        channel = "validation" if "validation" in self.channels else "train"
        return float(record[channel][self.hyperparameters.loss_name])

    def _keep(self, record: Record) -> None:
        """Takes an epoch into the history, and what it gave into the run directory."""
        self.history.append(record)
        self.stopped |= self.stopping.update(self._watched(record))
        self.seconds += record["seconds"]
        left = self.hyperparameters.epochs - len(self.history)
        mean = self.seconds / len(self.history)
        self.reporter.epoch(
            record, self.hyperparameters.epochs, 0 if self.stopped else left * mean
        )
        self.logs.epoch(record)
        if self.stopping.best_epoch == record["epoch"]:
            with whole_file(self.directory.model) as path:
                self.model.save(path)
        self.directory.write_history(self.history)
        state = {"history": self.history, "seconds": self.seconds}
        self.checkpoints.save(len(self.history), state)

    def finish(
        self, start: float, export_dir: Path, export: Callable[..., Path]
    ) -> dict[str, Any]:
        """Measures and exports the model of the best epoch, and writes metrics.json."""
        best = self.history[self.stopping.best_epoch]
        model = keras.models.load_model(self.directory.model)
        trained = len(self.channels["train"]) * len(self.history)
        early = len(self.history) < self.hyperparameters.epochs
        reports = {name: pairs.report for name, pairs in self.channels.items()}
        metrics: dict[str, Any] = {
            "epochs_run": len(self.history),
            "best_epoch": best["epoch"],
            "stopped": "early stopping" if early else "all epochs done",
            **{name: best[name] for name in ("train", "validation") if name in best},
        }
        if "test" in self.channels:
            told = keras.callbacks.CallbackList([], model=model)
            metrics["test"] = self._measure(TrainingLoop(model, told), "test")
            for line in quality_lines("test", metrics["test"]):
                self.reporter.say(line)
        metrics |= {
            "rows": {name: len(pairs) for name, pairs in self.channels.items()},
            "truncated": {name: report.truncated for name, report in reports.items()},
            "empty": {name: report.empty for name, report in reports.items()},
            "bad_lines": {name: len(r.bad_lines) for name, r in reports.items()},
            "seed": self.seed,
            "seconds": time.perf_counter() - start,
            "records_per_second": trained / self.seconds,
        }
        self.logs.results(metrics)
        path = export(model, export_dir, metrics=metrics)
        self.reporter.say(f"exported to {path}")
        self.directory.write_metrics(metrics)
        return metrics


def _flat(record: Record) -> dict[str, float]:
    """Returns an epoch's metrics as Keras callbacks know them."""
    logs = dict(record["train"])
    logs |= {f"val_{name}": v for name, v in record.get("validation", {}).items()}
    return logs
