"""The training loop: many steps per call, driving Keras callbacks."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from object2vec_tf.distributed.replicas import Replicas
from object2vec_tf.distributed.strategies import SingleDevice

# Target duration of one call of the training function, in seconds: long enough to make
# the overhead of a call negligible, short enough for a smooth progress bar.
CALL_SECONDS = 0.5
MAX_STEPS_PER_CALL = 512


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
        model: A compiled model, or replicas of one.
        callbacks: Notified of epochs, and of batches once per call.
    """

    def __init__(
        self,
        model: keras.Model | Replicas,
        callbacks: keras.callbacks.CallbackList,
    ) -> None:
        if isinstance(model, Replicas):
            self.replicas = model
        else:
            self.replicas = Replicas(SingleDevice(), lambda: model)
        self.callbacks = callbacks
        self._train = self._repeat(self.replicas.distribute_step("train_batch"))
        self._test = self._repeat(self.replicas.distribute_step("test_batch"))

    def _repeat(self, step: Callable[[Any], Any]) -> Callable[..., None]:
        # An explicit while_loop: under Python 3.13, AutoGraph sometimes does not
        # convert a `for` over a tensor, which then fails.
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
        """Trains on the batches of an epoch, or on the rest of them.

        Args:
            dataset: The remaining batches.
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
                # Workers measure different times but must make the same steps.
                count = self.replicas.strategy.broadcast_from_chief(count)
        return EpochResult(self.replicas.metrics(), time.perf_counter() - start)

    def evaluate(self, dataset: tf.data.Dataset) -> dict[str, float]:
        """Returns the metrics over a dataset."""
        self.replicas.reset_metrics()
        self._test(iter(dataset), tf.constant(len(dataset)))
        return self.replicas.metrics()
