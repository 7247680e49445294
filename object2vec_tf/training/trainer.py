"""The trainer: the epochs of a run, its checkpoints and its history."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from object2vec_tf.commands.signals import StopRequest
from object2vec_tf.data.batch_negatives import (
    NO_NEGATIVES_YET,
    NegativeTally,
    sum_negatives,
)
from object2vec_tf.distributed.replicas import Replicas
from object2vec_tf.errors import DivergedError, Interrupted
from object2vec_tf.layers.precision import policy_of
from object2vec_tf.model.loading import load_object2vec
from object2vec_tf.model.object2vec import Object2Vec
from object2vec_tf.progress import phase
from object2vec_tf.report.baselines import class_shares
from object2vec_tf.runs.result_files import Record
from object2vec_tf.runs.run_directory import STOPPED
from object2vec_tf.training.batch_layout import make_execution
from object2vec_tf.training.checkpoints import SaveClock
from object2vec_tf.training.console import TrainingProgress
from object2vec_tf.training.early_stopping import EarlyStopping
from object2vec_tf.training.loop import TrainingLoop, evaluate
from object2vec_tf.training.preparation import PreparedRun
from object2vec_tf.training.retrieval import RetrievalTask
from object2vec_tf.training.run_checkpoints import run_checkpoints
from object2vec_tf.training.sharded_checkpoints import ShardedCheckpoints
from object2vec_tf.training.sharded_model import assemble_model
from object2vec_tf.training.tensorboard import TensorBoardLogs


class Trainer:
    """Trains a prepared run, epoch by epoch, and can resume it.

    Args:
        run: The prepared run.
        stop_request: Whether the run must stop.

    Attributes:
        history: One record per finished epoch.
        seconds: Training time of the finished epochs.
        start: ``time.perf_counter()`` when the run, or a run that it resumes, started.
        logs: The TensorBoard logs.
    """

    def __init__(self, run: PreparedRun, stop_request: StopRequest) -> None:
        self.history: list[Record] = []
        self.seconds = 0.0
        self.start = run.start
        self.logs = TensorBoardLogs(run.directory.tensorboard, run.hyperparameters)
        self._run = run
        self._strategy = run.strategy
        self._stop_request = stop_request
        self._clock = SaveClock(run.options.checkpoint_seconds)
        # Position of a checkpoint within an epoch: finished batches, and their seconds.
        self._batches, self._epoch_seconds = 0, 0.0
        # The negatives of the epoch, and of its batches before a checkpoint.
        self._tally, self._earlier_negatives = NegativeTally(), NO_NEGATIVES_YET
        with phase("building the model"):
            self._replicas = Replicas(run.strategy, self._build, run.batch_layout)
        if run.initial_model:
            run.initial_model.release()
        self._model = self._replicas.model
        self._execution = make_execution(
            run.batch_layout, self._replicas, run.console.say
        )
        self._checkpoints = run_checkpoints(run, self._replicas)
        self._stopping = EarlyStopping(
            run.hyperparameters.early_stopping_patience,
            run.hyperparameters.early_stopping_tolerance,
        )
        self._progress = TrainingProgress(
            len(run.channels["train"]), run.hidden_metrics
        )
        self._stopped = False

    @property
    def best_epoch(self) -> int:
        """Index of the epoch whose model is kept."""
        return self._stopping.best_epoch

    @property
    def _best(self) -> Record:
        """The record of the best epoch."""
        return self.history[self.best_epoch]

    def _build(self) -> Object2Vec:
        """Returns the compiled, untrained model."""
        hyperparameters, pairs = self._run.hyperparameters, self._run.channels["train"]
        text_assets = self._run.text_assets
        model = Object2Vec(
            hyperparameters,
            seed=self._run.options.seed,
            tokenizers=text_assets.tokenizers,
            frozen=self._run.options.freeze,
            id_words=text_assets.id_words,
            placement=self._run.placement,
            dtype=policy_of(self._run.options.precision),
        )
        for encoder, vectors in text_assets.vectors.items():
            model.set_token_vectors(encoder, vectors.rows)
        if hyperparameters.output_layer == "mean_squared_error":
            model.set_output_bias(pairs.mean_label())
        elif hyperparameters.negative_sampling_rate:
            model.set_output_bias(np.log(class_shares(hyperparameters, pairs)))
        model.set_log_weights(self._run.log_weights)
        if self._run.initial_model:
            self._run.initial_model.apply(model)
        model.compile(steps_per_epoch=len(pairs.dataset(shuffle=True)))
        model.optimizer.build(model.trainable_variables)
        return model

    def run(self, callbacks: Sequence[keras.callbacks.Callback]) -> None:
        """Trains from the newest checkpoint to the last epoch.

        Args:
            callbacks: Keras callbacks.

        Raises:
            Interrupted: The run must stop; a checkpoint was saved.
            DivergedError: The loss is not finite.
        """
        self._resume()
        epochs = self._run.hyperparameters.epochs
        callback_list = keras.callbacks.CallbackList(
            [
                self._progress,
                *callbacks,
            ],
            model=self._model,
            epochs=epochs,
            steps=len(self._run.channels["train"].dataset(shuffle=True)),
            verbose=0,
        )
        loop = TrainingLoop(self._execution, callback_list)
        self._model.stop_training = False
        callback_list.on_train_begin()
        try:
            for epoch in range(len(self.history), epochs):
                if self._stopped:
                    break
                with phase(f"epoch {epoch + 1}/{epochs}"):
                    callback_list.on_epoch_begin(epoch)
                    record = self._train_epoch(epoch, loop)
                    callback_list.on_epoch_end(epoch, _keras_logs(record))
                    self._stopped |= self._any_worker(self._model.stop_training)
                    self._finish_epoch(record)
        finally:
            callback_list.on_train_end()

    def _resume(self) -> None:
        """Restores the newest checkpoint, if there is one."""
        state = self._checkpoints.restore(self._monitored_loss)
        if state is None:
            return
        self.history, self.seconds = state["history"], state["seconds"]
        self.start -= state["elapsed"]
        for record in self.history:
            self._stopped = self._stopping.update(self._monitored_loss(record))
        self._batches = state.get("batches", 0)
        self._epoch_seconds = state.get("epoch_seconds", 0.0)
        self._earlier_negatives = state.get("negatives", NO_NEGATIVES_YET)
        position = f"epoch {len(self.history)}"
        if self._batches:
            position = f"batch {self._batches:,} of epoch {len(self.history) + 1}"
            self._replicas.set_metric_states(np.array(state["metrics"]))
        self._run.console.say(f"resumed after {position}")

    def _train_epoch(self, epoch: int, loop: TrainingLoop) -> Record:
        pairs = self._run.channels["train"]
        self._tally = NegativeTally()
        batches = loop.execution.batches(
            pairs,
            shuffle=True,
            seed=self._run.options.seed,
            epoch=epoch,
            first_batch=self._batches,
            tally=self._tally,
        )
        progress = self._progress
        with phase("training", progress.state, share=progress.share):
            result = loop.train(
                batches,
                done=self._batches,
                seconds=self._epoch_seconds,
                after_call=self._after_call,
            )
        record: Record = {"epoch": epoch, "train": result.metrics}
        if self._run.hyperparameters.negative_sampling_rate:
            record["negatives"] = self._negatives()
        if "validation" in self._run.channels:
            record["validation"] = self._validate(loop, len(batches), result.seconds)
        self._batches, self._epoch_seconds = 0, 0.0
        self._earlier_negatives = NO_NEGATIVES_YET
        record["seconds"] = result.seconds
        record["records_per_second"] = len(pairs) / result.seconds
        loss = self._monitored_loss(record)
        if not math.isfinite(loss):
            raise DivergedError(
                f"epoch {epoch + 1}: {self._run.hyperparameters.loss_name} is {loss}: "
                "training diverged. Lower learning_rate, or weight_decay if it is "
                "large."
            )
        if self._run.validation_task:
            record["validation"] |= self._measure_retrieval(self._run.validation_task)
        return record

    def _validate(
        self, loop: TrainingLoop, batches: int, seconds: float
    ) -> dict[str, float]:
        """Returns the validation metrics of an epoch after its training.

        Args:
            loop: The loop that trained it.
            batches: Number of the batches that it trained on since it was resumed.
            seconds: Training time of the epoch.

        Raises:
            Interrupted: The run must stop; a checkpoint was saved.
        """
        batches += self._batches
        metrics = self._replicas.metric_states().tolist()

        def between_calls() -> None:
            if self._any_worker(self._stop_request.asked):
                self._save_in_epoch(batches, seconds, metrics)
                raise Interrupted(
                    f"stopped in the evaluation of epoch {len(self.history) + 1}"
                )

        pairs = self._run.channels["validation"]
        with phase("validation"):
            return evaluate(loop, pairs, self._run.hyperparameters, between_calls)

    def _measure_retrieval(self, task: RetrievalTask) -> dict[str, float]:
        """Ranks the true validation pairs; all workers get the chief's result."""
        with phase("retrieval"):
            measures = task.measure(self._model) if self._strategy.is_chief else None
        return dict(self._strategy.broadcast_from_chief(measures))

    def _after_call(self, batches: int, seconds: float) -> None:
        """Saves a checkpoint if one is due, and stops if that was requested."""
        must_stop = self._any_worker(self._stop_request.asked)
        if must_stop or self._strategy.broadcast_from_chief(self._clock.is_due()):
            metrics = self._replicas.metric_states().tolist()
            self._save_in_epoch(batches, seconds, metrics)
        if must_stop:
            epoch = len(self.history) + 1
            raise Interrupted(f"stopped after batch {batches:,} of epoch {epoch}")

    def check_stop(self) -> None:
        """Ends the chief's measurement of the trained model if the run must stop.

        Raises:
            Interrupted: The run must stop.
        """
        if self._stop_request.asked:
            raise Interrupted("stopped while the best epoch was measured")

    def _save_in_epoch(self, batches: int, seconds: float, metrics: Any) -> None:
        """Saves a checkpoint within an epoch.

        Args:
            batches: Number of the epoch's finished batches.
            seconds: Their training time.
            metrics: States of the training metrics, as a list.
        """
        self._save(
            batches=batches,
            epoch_seconds=seconds,
            metrics=metrics,
            negatives=self._negatives(batches),
        )

    def _negatives(self, batches: int | None = None) -> dict[str, Any]:
        """Returns the negatives of the epoch's batches, or of those before a number."""
        return sum_negatives([self._earlier_negatives, self._tally.totals(batches)])

    def _any_worker(self, condition: bool) -> bool:
        """Returns whether a condition holds on any worker; all must call it."""
        return bool(self._strategy.all_reduce(np.array([condition], np.int32)).any())

    def _save(self, batches: int = 0, **position: Any) -> None:
        state = {
            "history": self.history,
            "seconds": self.seconds,
            "elapsed": time.perf_counter() - self.start,
            "batches": batches,
            **({"best_epoch": self._best["epoch"]} if self.history else {}),
            **position,
        }
        with self._clock.saving(), phase("saving a checkpoint"):
            self._checkpoints.save(len(self.history), state, batches)
        if self._strategy.is_chief:
            self._run.directory.upload()

    def _monitored_loss(self, record: Record) -> float:
        """Returns the loss that decides early stopping and the best epoch."""
        channel = "validation" if "validation" in self._run.channels else "train"
        return float(record[channel][self._run.hyperparameters.loss_name])

    def _finish_epoch(self, record: Record) -> None:
        """Adds an epoch to the history, and writes its files."""
        self.history.append(record)
        self._stopped |= self._stopping.update(self._monitored_loss(record))
        self.seconds += record["seconds"]
        epochs = self._run.hyperparameters.epochs
        remaining = epochs - len(self.history)
        mean_seconds = self.seconds / len(self.history)
        self._run.console.epoch(
            record,
            epochs,
            0 if self._stopped else remaining * mean_seconds,
            self._run.hidden_metrics,
        )
        if self._strategy.is_chief:
            self.logs.epoch(record)
        if self.best_epoch == record["epoch"]:
            self._checkpoints.keep_best(record["epoch"])
        if self._strategy.is_chief:
            self._run.directory.write_history(self.history)
        self._save()
        must_stop = self._any_worker(self._stop_request.asked)
        if must_stop and remaining and not self._stopped:
            raise Interrupted(f"stopped after epoch {len(self.history)}")

    def release(self) -> None:
        """Frees the memory of sharded tables and of their slots, after training."""
        if isinstance(self._checkpoints, ShardedCheckpoints):
            self._checkpoints.release()

    def finished_model(self) -> Object2Vec:
        """Returns the model of the best epoch, in the chief, after training.

        Sharded tables are assembled in `RunDirectory.model` first.
        """
        if not isinstance(self._checkpoints, ShardedCheckpoints):
            return load_object2vec(self._run.directory.model)
        self.release()
        best = self._checkpoints.best_of(self._best["epoch"])
        return assemble_model(self._run, best)

    def loop_of_best(self, model: Object2Vec) -> TrainingLoop:
        """Returns a loop that evaluates a model, after training.

        In the static layout it is evaluated by the programs that are compiled already,
        with its weights in the model that was trained, and in all its copies.

        Args:
            model: The model of the best epoch.
        """
        if self._run.batch_layout != "static" or self._run.is_sharded:
            return TrainingLoop(model, keras.callbacks.CallbackList([], model=model))
        for replica in self._replicas.models:
            for variable, best in zip(replica.weights, model.weights, strict=True):
                variable.assign(best.value)
        callbacks = keras.callbacks.CallbackList([], model=self._model)
        return TrainingLoop(self._execution, callbacks)

    def unfinished_metrics(self) -> dict[str, Any]:
        """Returns the content of metrics.json of an interrupted run."""
        channels = self._run.channels
        best = self._best if self.history else {}
        return {
            "epochs_run": len(self.history),
            **STOPPED,
            **({"best_epoch": best["epoch"]} if best else {}),
            **{name: best[name] for name in ("train", "validation") if name in best},
            "rows": {name: len(pairs) for name, pairs in channels.items()},
            "seed": self._run.options.seed,
            "seconds": time.perf_counter() - self.start,
        }


def _keras_logs(record: Record) -> dict[str, float]:
    """Returns an epoch's metrics as Keras callbacks expect them."""
    logs = dict(record["train"])
    logs |= {f"val_{name}": v for name, v in record.get("validation", {}).items()}
    return logs
