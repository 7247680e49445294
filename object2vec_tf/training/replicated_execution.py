"""Execution of steps on batches in the static layout by several replicas."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import tensorflow as tf

from object2vec_tf.data.static_groups import StaticGroup
from object2vec_tf.distributed.replicas import Replicas
from object2vec_tf.distributed.strategies import MirroredDevices
from object2vec_tf.model.replicated_step import ReplicatedStep
from object2vec_tf.training.static_execution import (
    Group,
    ProgramKey,
    StaticExecution,
    on_device,
)


class ReplicatedExecution(StaticExecution):
    """Runs several steps per call on several devices of this process.

    XLA compiles the parts of a step between the exchanges of the replicas.

    Args:
        replicas: The copies of the model.
        strategy: Their strategy.
        report: Shows a line about a compilation that takes long.
    """

    def __init__(
        self,
        replicas: Replicas,
        strategy: MirroredDevices,
        report: Callable[[str], None] = lambda line: None,
    ) -> None:
        super().__init__(replicas, report)
        self._compiles_ahead = False  # the vectors of several replicas are a list
        self._strategy = strategy

    def _copied(self, group: StaticGroup) -> list[tf.Tensor]:
        """Returns the vectors of each replica on its device."""
        devices = self._strategy.devices
        return [
            on_device(group.vectors[replica :: len(devices)], device)
            for replica, device in enumerate(devices)
        ]

    def _run(self, key: ProgramKey, group: Group) -> None:
        """Runs the steps of a group, the first one of a program by itself."""
        run = self.program(key)
        if key not in self._compile_seconds:
            start = time.perf_counter()
            first, group = group.split(1)
            run(first.vectors, tf.constant(first.start), tf.constant(first.stop))
            seconds = time.perf_counter() - start
            self._compile_seconds[key] = self._report_compilation(key, seconds)
        run(group.vectors, tf.constant(group.start), tf.constant(group.stop))

    def _new_program(self, key: ProgramKey) -> Callable[..., None]:
        models = self.replicas.models
        steps = [
            ReplicatedStep(model, key.shape, replica)
            for replica, model in enumerate(models)
        ]

        def repeat(vectors: list[tf.Tensor], start: tf.Tensor, stop: tf.Tensor) -> None:
            def run(replica: int, done: tf.Tensor) -> None:
                step = steps[replica]
                make = step.train if key.training else step.evaluate
                make(vectors[replica][done])

            def once(done: tf.Tensor) -> list[tf.Tensor]:
                self._strategy.run_on_devices(
                    [partial(run, replica, done) for replica in range(len(steps))]
                )
                return [done + 1]

            tf.while_loop(lambda done: done < stop, once, [start])

        function: Callable[..., None] = tf.function(repeat, autograph=False)
        return function
