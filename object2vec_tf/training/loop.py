"""The training loop: many steps per call, driving Keras callbacks."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import keras

from object2vec_tf.data.pairs import Pairs
from object2vec_tf.distributed.replicas import Replicas
from object2vec_tf.distributed.strategies import SingleDevice
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.training.execution import Execution, RaggedExecution

# Evaluation keeps no gradients, so its batches can be larger than those of training.
EVALUATION_BATCH = 1024


@dataclasses.dataclass(frozen=True)
class EpochResult:
    """The result of one pass over the training data.

    Attributes:
        metrics: Training metrics by name.
        seconds: Duration.
    """

    metrics: dict[str, float]
    seconds: float


class TrainingLoop:
    """Runs a compiled model's own ``train_batch`` and ``test_batch``.

    Keras 3.15's ``fit`` cannot run on several workers, cannot resume within an epoch,
    and fails with several steps per call under MirroredStrategy.

    Args:
        model: How steps are executed; or a compiled model, or replicas of one, whose
            steps are then executed on ragged batches.
        callbacks: Notified of epochs, and of batches once per call.

    Attributes:
        execution: How steps are executed.
        replicas: The copies of the model.
    """

    def __init__(
        self,
        model: Execution | keras.Model | Replicas,
        callbacks: keras.callbacks.CallbackList,
    ) -> None:
        self.execution = _execution_of(model)
        self.replicas = self.execution.replicas
        self.callbacks = callbacks

    def train(
        self,
        dataset: Any,
        *,
        done: int = 0,
        seconds: float = 0.0,
        after_call: Callable[[int, float], None] = lambda done, seconds: None,
    ) -> EpochResult:
        """Trains on the batches of an epoch, or on the rest of them.

        Args:
            dataset: The remaining batches, as `Execution.batches` returns them.
            done: Number of batches of the epoch that were trained on before; if there
                are any, the metrics continue from their current state.
            seconds: Time that those took.
            after_call: Called after each call with the number of batches of the epoch
                done so far, and the time that they took.
        """
        if not done:
            self.replicas.reset_metrics()
        start = time.perf_counter() - seconds
        steps, count, calls = done + len(dataset), 1, 0
        with self.execution.training_steps(dataset) as run:
            while done < steps:
                self.callbacks.on_train_batch_begin(done)
                called = time.perf_counter()
                made = run(min(count, steps - done))
                metrics = self.replicas.metrics()  # waits for the steps
                spent = time.perf_counter() - called
                done += made
                calls += 1
                self.callbacks.on_train_batch_end(done - 1, metrics)
                after_call(done, time.perf_counter() - start)
                if calls > 1:  # the first call includes tracing
                    count = self.execution.next_count(made, spent)
        return EpochResult(self.replicas.metrics(), time.perf_counter() - start)

    def evaluate(
        self, dataset: Any, between_calls: Callable[[], None] = lambda: None
    ) -> dict[str, float]:
        """Returns the metrics over batches, as `Execution.batches` returns them.

        Args:
            dataset: The batches.
            between_calls: See `Execution.evaluate`.
        """
        self.replicas.reset_metrics()
        self.execution.evaluate(dataset, between_calls)
        return self.replicas.metrics()


def evaluate(
    loop: TrainingLoop,
    pairs: Pairs,
    hyperparameters: Hyperparameters,
    between_calls: Callable[[], None],
) -> dict[str, float]:
    """Returns the metrics of the loop's model over a channel.

    Args:
        loop: The loop.
        pairs: The pairs of the channel.
        hyperparameters: The hyperparameters.
        between_calls: See `Execution.evaluate`.
    """
    size = max(EVALUATION_BATCH, hyperparameters.mini_batch_size)
    return loop.evaluate(loop.execution.batches(pairs, size), between_calls)


def _execution_of(model: Execution | keras.Model | Replicas) -> Execution:
    if isinstance(model, Execution):
        return model
    if isinstance(model, Replicas):
        return RaggedExecution(model)
    return RaggedExecution(Replicas(SingleDevice(), lambda: model))
