"""How the steps of a run are executed: two implementations of one interface.

`RaggedExecution` is the fastest on a CPU, except for small models. `StaticExecution` is
made for a GPU.
"""

from __future__ import annotations

import abc
import time
from collections.abc import Callable, Iterator, Sized
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import tensorflow as tf

from object2vec_tf.data.pairs import Pairs
from object2vec_tf.distributed.replicas import Replicas

# Target duration of one call of the training function, in seconds: long enough to make
# the overhead of a call negligible, short enough for a smooth progress bar.
CALL_SECONDS = 0.5

# Runs steps on the next batches. The argument is how many to run; the result is how
# many were run, which is at least that number.
RunSteps = Callable[[int], int]


class Execution(abc.ABC):
    """Executes the steps of a compiled model on batches that it also makes.

    Attributes:
        replicas: The copies of the model.
        max_steps: Maximum number of steps to ask for at once.
    """

    replicas: Replicas
    max_steps: int

    def next_count(self, made: int, seconds: float) -> int:
        """Returns the number of steps of the next call, which takes `CALL_SECONDS`.

        All workers must call it: they measure different times but make the same steps.

        Args:
            made: The number of steps of the last call.
            seconds: Its duration.
        """
        count = int(made * CALL_SECONDS / max(seconds, 1e-6))
        count = min(max(count, 1), self.max_steps)
        return int(self.replicas.strategy.broadcast_from_chief(count))

    @abc.abstractmethod
    def batches(self, pairs: Pairs, *args: Any, **kwargs: Any) -> Sized:
        """Returns the batches of pairs.

        Args:
            pairs: The pairs.
            *args: As for `Pairs.dataset`.
            **kwargs: As for `Pairs.dataset`.
        """

    @abc.abstractmethod
    def training_steps(self, batches: Any) -> AbstractContextManager[RunSteps]:
        """Returns a context manager for a function that trains on the next batches.

        Args:
            batches: What `batches` returned.
        """

    @abc.abstractmethod
    def evaluate(
        self, batches: Any, between_calls: Callable[[], None] = lambda: None
    ) -> None:
        """Updates the metrics by all batches.

        Args:
            batches: What `batches` returned.
            between_calls: Called between calls of the evaluation function; it ends the
                evaluation by an exception.
        """


class RaggedExecution(Execution):
    """Runs steps on ragged batches of a tf.data pipeline, on any strategy.

    Args:
        replicas: The copies of the model.
    """

    max_steps = 512

    def __init__(self, replicas: Replicas) -> None:
        self.replicas = replicas
        self._train = self._repeat(replicas.distribute_step("train_batch"))
        self._test = self._repeat(replicas.distribute_step("test_batch"))

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

    def batches(self, pairs: Pairs, *args: Any, **kwargs: Any) -> tf.data.Dataset:
        """See `Execution`."""
        return self.replicas.strategy.dataset(pairs, *args, **kwargs)

    @contextmanager
    def training_steps(self, batches: tf.data.Dataset) -> Iterator[RunSteps]:
        """See `Execution`."""
        iterator = iter(batches)

        def run(steps: int) -> int:
            self._train(iterator, tf.constant(steps))
            return steps

        yield run

    def evaluate(
        self,
        batches: tf.data.Dataset,
        between_calls: Callable[[], None] = lambda: None,
    ) -> None:
        """See `Execution`."""
        iterator, steps, done, count = iter(batches), len(batches), 0, 1
        while done < steps:
            start = time.perf_counter()
            made = min(count, steps - done)
            self._test(iterator, tf.constant(made))
            done += made
            if done < steps:
                self.replicas.metrics()  # waits for the steps
                between_calls()
                count = self.next_count(made, time.perf_counter() - start)
