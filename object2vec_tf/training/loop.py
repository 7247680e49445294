"""The training loop: many steps a call, driving Keras callbacks."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from object2vec_tf.distributed.strategies import SingleDevice
from object2vec_tf.training.replicas import Replicas

# A call of the training function lasts about this long, in seconds: long enough for
# its overhead not to count, short enough for progress to move.
CALL_SECONDS = 0.5
MAX_STEPS_PER_CALL = 512


@dataclasses.dataclass(frozen=True)
class EpochResult:
    """What one pass over the training data gave.

    Attributes:
        metrics: The training metrics by name.
        seconds: How long it took.
    """

    metrics: dict[str, float]
    seconds: float


class TrainingLoop:
    """Runs a compiled model's own ``train_step`` and ``test_step``.

    Keras 3.15's ``fit`` cannot run on several workers, cannot resume within an epoch
    and fails at several steps a call under MirroredStrategy.

    Args:
        model: The compiled model, or the copies of one that learn together.
        callbacks: Told of epochs, and of batches once a call.
    """

    def __init__(
        self,
        model: keras.Model | Replicas,
        callbacks: keras.callbacks.CallbackList,
    ) -> None:
        if not isinstance(model, Replicas):
            held = model
            model = Replicas(SingleDevice(), lambda: held)
        self.replicas = model
        self.callbacks = callbacks
        self._train = self._steps(model.stepped("train_step"))
        self._test = self._steps(model.stepped("test_step"))

    def _steps(self, step: Callable[[Any], Any]) -> Callable[..., None]:
        # A while_loop by hand: under Python 3.13, AutoGraph sometimes leaves a `for`
        # over a tensor as it is, which then fails.
        @tf.function(reduce_retracing=True, autograph=False)
        def run(iterator: Any, count: tf.Tensor) -> None:
            def once(done: tf.Tensor) -> list[tf.Tensor]:
                step(iterator.get_next())
                return [done + 1]

            tf.while_loop(lambda done: done < count, once, [tf.constant(0)])

        return run

    def train(
        self,
        dataset: tf.data.Dataset,
        *,
        done: int = 0,
        seconds: float = 0.0,
        after_call: Callable[[int, float], None] = lambda done, seconds: None,
    ) -> EpochResult:
        """Goes through the training data once, or through what is left of it.

        Args:
            dataset: The batches to come.
            done: Batches of the epoch that came before; with any, the model's metrics
                are gone on with.
            seconds: How long they took.
            after_call: Is told, between two calls, how many of the epoch's batches
                are done and how long they took.
        """
        if not done:
            self.replicas.reset_metrics()
        start = time.perf_counter() - seconds
        steps, count, calls = done + len(dataset), 1, 0
        iterator = iter(dataset)
        while done < steps:
            count = min(count, steps - done)
            self.callbacks.on_train_batch_begin(done)
            called = time.perf_counter()
            self._train(iterator, tf.constant(count))
            spent = time.perf_counter() - called
            done += count
            calls += 1
            self.callbacks.on_train_batch_end(done - 1, self.replicas.metrics())
            after_call(done, time.perf_counter() - start)
            if calls > 1:  # the first call includes tracing
                count = int(count * CALL_SECONDS / max(spent, 1e-6))
                count = min(max(count, 1), MAX_STEPS_PER_CALL)
                # All workers must do as many; how long they take differs.
                count = self.replicas.strategy.from_chief(count)
        return EpochResult(self.replicas.metrics(), time.perf_counter() - start)

    def evaluate(self, dataset: tf.data.Dataset) -> dict[str, float]:
        """Returns the metrics over a dataset, every pair counted once."""
        self.replicas.reset_metrics()
        self._test(iter(dataset), tf.constant(len(dataset)))
        return self.replicas.metrics()
