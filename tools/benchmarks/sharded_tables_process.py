"""A process of tools/benchmarks/sharded_tables: its argument is a `Task` as JSON.

TF_CONFIG says which process it is. A request is ``STEPS METHOD``.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from object2vec_tf.distributed.collectives import Collectives
from tools.benchmarks.parameter_servers import Coordinator, serve
from tools.benchmarks.sharded_tables import Task
from tools.benchmarks.table_exchanges import (
    METHODS,
    initial_rows,
    replica_batch,
)
from tools.benchmarks.worker_processes import answer, requests, use_one_core

Run = Callable[[int], object]


class Worker:
    """A replica of the methods without servers.

    Args:
        task: What to measure.
        worker: Index of this process.
        workers: Number of processes.
    """

    def __init__(self, task: Task, worker: int, workers: int) -> None:
        self._strategy = tf.distribute.MultiWorkerMirroredStrategy()
        (self._device,) = self._strategy.extended.worker_devices
        self._collectives = Collectives(worker, workers, self._device)
        self._task = task
        self._batches = [
            replica_batch(batch, worker, workers) for batch in task.batches()
        ]
        self._runs: dict[str, Run] = {}

    def run(self, method: str, steps: int) -> None:
        """Runs steps of a method."""
        if method not in self._runs:
            self._runs[method] = self._build(method)
        self._runs[method](steps)

    def _build(self, method: str) -> Run:
        replica, replicas = self._collectives.replica, self._collectives.replicas
        if method == "replicated":
            replica, replicas = 0, 1
        rows = initial_rows(self._task.rows, self._task.dim, replica, replicas)
        with tf.device(self._device):
            exchange = METHODS[method](self._collectives, tf.Variable(rows))

            @tf.function(autograph=False)
            def step(*shard: Any) -> None:
                exchange.step(*shard)

        def run(steps: int) -> None:
            for number in range(steps):
                step(*self._batches[number % len(self._batches)])

        return run


def main(text: str) -> None:
    """Answers requests until stdin ends."""
    received = requests()
    task = Task(**json.loads(text))
    config = json.loads(os.environ["TF_CONFIG"])
    job, index = config["task"]["type"], config["task"]["index"]
    use_one_core(index)
    if "ps" in config["cluster"] and job != "chief":
        serve(received)
    worker: Coordinator | Worker
    if job == "chief":
        worker = Coordinator(task)
    else:
        worker = Worker(task, index, len(config["cluster"]["worker"]))
    for request in received:
        steps, _, method = request.partition(" ")
        worker.run(method, int(steps))
        answer(1)


if __name__ == "__main__":
    main(sys.argv[1])
