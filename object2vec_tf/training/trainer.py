"""A run between its epochs: where it stands, and how it gets to the next one."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from object2vec_tf.commands.signals import StopRequest
from object2vec_tf.data.pairs import Pairs
from object2vec_tf.distributed.strategies import SingleDevice
from object2vec_tf.errors import DivergedError, Interrupted
from object2vec_tf.files.atomic import atomic_file, write_atomic
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.model.object2vec import Object2Vec
from object2vec_tf.report.baselines import baselines
from object2vec_tf.report.embedding_sample import sample_embeddings
from object2vec_tf.report.object_names import ObjectNames
from object2vec_tf.report.report import Report
from object2vec_tf.runs.run_directory import STOPPED, Record, RunDirectory
from object2vec_tf.text.text_assets import TextAssets
from object2vec_tf.training.checkpoints import Checkpoints, SaveClock
from object2vec_tf.training.console import ProgressBar, RunConsole
from object2vec_tf.training.early_stopping import EarlyStopping
from object2vec_tf.training.loop import TrainingLoop
from object2vec_tf.training.replicas import Replicas
from object2vec_tf.training.sagemaker_metrics import quality_lines
from object2vec_tf.training.tensorboard import TensorBoardLogs

# Evaluation has no gradient to keep, so its batches can be larger than training's.
EVALUATION_BATCH = 1024


class Trainer:
    """The state of a run between its epochs, and how it gets from one to the next.

    Args:
        hyperparameters: The settings.
        channels: The pairs of train and, where given, validation and test.
        words: Tokenizers and pretrained vectors.
        directory: Where the run leaves its files.
        seed: Decides initial weights, shuffles and negatives.
        reporter: Is told of each epoch.
        interruption: Whether the run is to stop.
        checkpoint_seconds: From one checkpoint to the next; 0 for epochs' ends alone.
        start: ``time.perf_counter()`` as the run, or what resumes it, began.
        strategy: Where steps are done; the chief alone writes to the directory.
    """

    def __init__(
        self,
        hyperparameters: Hyperparameters,
        channels: dict[str, Pairs],
        words: TextAssets,
        directory: RunDirectory,
        seed: int,
        reporter: RunConsole,
        interruption: StopRequest,
        checkpoint_seconds: int,
        start: float,
        strategy: SingleDevice,
    ) -> None:
        self.hyperparameters = hyperparameters
        self.channels = channels
        self.words = words
        self.directory = directory
        self.seed = seed
        self.reporter = reporter
        self.interruption = interruption
        self.clock = SaveClock(checkpoint_seconds)
        self.start = start
        self.history: list[Record] = []
        self.seconds = 0.0
        # Of the epoch that a checkpoint was taken in: batches done, and their seconds.
        self.batches, self.epoch_seconds = 0, 0.0
        self.strategy = strategy
        self.replicas = Replicas(strategy, self._built)
        self.model = self.replicas.model
        self.checkpoints = Checkpoints(directory.checkpoints, self.model)
        self.logs = TensorBoardLogs(directory.tensorboard, hyperparameters)
        self.stopping = EarlyStopping(
            hyperparameters.early_stopping_patience,
            hyperparameters.early_stopping_tolerance,
        )
        self.stopped = False

    def _built(self) -> Object2Vec:
        """Returns a model as training starts from it."""
        hyperparameters, pairs = self.hyperparameters, self.channels["train"]
        model = Object2Vec(
            hyperparameters, seed=self.seed, tokenizers=self.words.tokenizers
        )
        for encoder, vectors in self.words.vectors.items():
            model.set_token_vectors(encoder, vectors.rows)
        if hyperparameters.output_layer == "mean_squared_error":
            model.set_output_bias(pairs.mean_label())
        model.compile(steps_per_epoch=len(pairs.dataset(shuffle=True)))
        model.optimizer.build(model.trainable_variables)
        return model

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
        loop = TrainingLoop(self.replicas, told)
        self.model.stop_training = False
        told.on_train_begin()
        try:
            for epoch in range(len(self.history), epochs):
                if self.stopped:
                    break
                told.on_epoch_begin(epoch)
                record = self._epoch(epoch, loop)
                told.on_epoch_end(epoch, _flat(record))
                self.stopped |= self._anywhere(self.model.stop_training)
                self._keep(record)
        finally:
            told.on_train_end()

    def _resume(self) -> None:
        chief = self.strategy.is_chief
        state = self.strategy.from_chief(self.checkpoints.restore() if chief else None)
        if state is None:
            return
        self.replicas.follow_chief()
        self.history, self.seconds = state["history"], state["seconds"]
        self.start -= state["elapsed"]
        for record in self.history:
            self.stopped = self.stopping.update(self._watched(record))
        self.batches = state.get("batches", 0)
        self.epoch_seconds = state.get("epoch_seconds", 0.0)
        where = f"behind epoch {len(self.history)}"
        if self.batches:
            where = f"behind batch {self.batches:,} of epoch {len(self.history) + 1}"
            self.replicas.set_metric_states(np.array(state["metrics"]))
        self.reporter.say(f"resumed {where}")

    def _epoch(self, epoch: int, loop: TrainingLoop) -> Record:
        pairs = self.channels["train"]
        left = self.strategy.dataset(
            pairs,
            shuffle=True,
            seed=self.seed,
            epoch=epoch,
            first_batch=self.batches,
        )
        result = loop.train(
            left,
            done=self.batches,
            seconds=self.epoch_seconds,
            after_call=self._after_call,
        )
        self.batches, self.epoch_seconds = 0, 0.0
        record: Record = {"epoch": epoch, "train": result.metrics}
        if "validation" in self.channels:
            record["validation"] = self._measure(loop, "validation")
        record["seconds"] = result.seconds
        record["records_per_second"] = len(pairs) / result.seconds
        loss = self._watched(record)
        if not math.isfinite(loss):
            raise DivergedError(
                f"epoch {epoch + 1}: {self.hyperparameters.loss_name} is {loss}: "
                "training diverged; lower learning_rate, or weight_decay if it is large"
            )
        return record

    def _after_call(self, batches: int, seconds: float) -> None:
        asked = self._anywhere(self.interruption.asked)
        if asked or self.strategy.from_chief(self.clock.is_due()):
            metrics = self.replicas.metric_states().tolist()
            self._save(batches=batches, epoch_seconds=seconds, metrics=metrics)
        if asked:
            epoch = len(self.history) + 1
            raise Interrupted(f"stopped behind batch {batches:,} of epoch {epoch}")

    def _anywhere(self, asked: bool) -> bool:
        """Returns whether any worker is asked for something; all must come here."""
        return bool(self.strategy.summed(np.array([asked], np.int32)).any())

    def _save(self, batches: int = 0, **position: Any) -> None:
        if not self.strategy.is_chief:
            return
        state = {
            "history": self.history,
            "seconds": self.seconds,
            "elapsed": time.perf_counter() - self.start,
            "batches": batches,
            **position,
        }
        with self.clock.saving():
            self.checkpoints.save(len(self.history), state, batches)

    def _measure(self, loop: TrainingLoop, channel: str) -> dict[str, float]:
        size = max(EVALUATION_BATCH, self.hyperparameters.mini_batch_size)
        strategy = loop.replicas.strategy
        return loop.evaluate(strategy.dataset(self.channels[channel], size))

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
        if self.strategy.is_chief:
            self.logs.epoch(record)
            if self.stopping.best_epoch == record["epoch"]:
                with atomic_file(self.directory.model) as path:
                    self.model.save(path)
            self.directory.write_history(self.history)
        self._save()
        if self._anywhere(self.interruption.asked) and left and not self.stopped:
            raise Interrupted(f"stopped behind epoch {len(self.history)}")

    def unfinished(self) -> dict[str, Any]:
        """Returns what metrics.json holds of a run that was stopped on its way."""
        return {
            "epochs_run": len(self.history),
            **STOPPED,
            "rows": {name: len(pairs) for name, pairs in self.channels.items()},
            "seed": self.seed,
            "seconds": time.perf_counter() - self.start,
        }

    def measured(self, model: Object2Vec) -> dict[str, Any]:
        """Measures the model of the best epoch; returns what metrics.json holds."""
        best = self.history[self.stopping.best_epoch]
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
        metrics["baselines"] = baselines(self.hyperparameters, self.channels)
        metrics |= {
            "rows": {name: len(pairs) for name, pairs in self.channels.items()},
            "truncated": {name: report.truncated for name, report in reports.items()},
            "empty": {name: report.empty for name, report in reports.items()},
            "bad_lines": {name: len(r.bad_lines) for name, r in reports.items()},
            **self._of_words(),
            "seed": self.seed,
            "seconds": time.perf_counter() - self.start,
            "records_per_second": trained / self.seconds,
        }
        self.logs.results(metrics)
        return metrics

    def describe(
        self, model: Object2Vec, metrics: dict[str, Any], names: ObjectNames
    ) -> None:
        """Writes the report of a complete run, and its embeddings for TensorBoard."""
        held = sample_embeddings(model, self.channels["train"], names)
        self.logs.embeddings(held)
        name = self.directory.path.resolve().name
        report = Report(
            name, self.hyperparameters, self.channels, metrics, self.history, held
        )
        write_atomic(self.directory.report, report.html())
        write_atomic(self.directory.card, report.markdown())

    def _of_words(self) -> dict[str, Any]:
        """Returns what metrics.json holds of words, where there are any."""
        told: dict[str, Any] = {}
        if self.hyperparameters.texts:
            told["unknown"] = {
                name: pairs.report.unknown for name, pairs in self.channels.items()
            }
        if self.words.vectors:
            told["pretrained"] = {
                f"enc{encoder}": {"found": held.found, "words": held.words}
                for encoder, held in self.words.vectors.items()
            }
        return told


def _flat(record: Record) -> dict[str, float]:
    """Returns an epoch's metrics as Keras callbacks know them."""
    logs = dict(record["train"])
    logs |= {f"val_{name}": v for name, v in record.get("validation", {}).items()}
    return logs
