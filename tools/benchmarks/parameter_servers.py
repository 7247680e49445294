"""A token table on TensorFlow's parameter servers.

The coordinator schedules a step for each worker and waits for all of them. A worker
reads and updates rows while others do, so what is learned depends on the timing.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable
from typing import Any

import tensorflow as tf

from tools.benchmarks.table_exchanges import (
    LEARNING_RATE,
    initial_rows,
    replica_batch,
    row_gradients,
    unique_ids,
)


def serve(requests: Iterable[str]) -> None:
    """Runs the server of a worker or of a parameter server.

    Args:
        requests: Those of the process, which ends with them.
    """
    config = json.loads(os.environ["TF_CONFIG"])
    workers = len(config["cluster"]["worker"])
    # With fewer threads, workers that wait for each other would block a server.
    options = tf.compat.v1.ConfigProto(
        inter_op_parallelism_threads=workers + 1, intra_op_parallelism_threads=1
    )
    server = tf.distribute.Server(
        tf.train.ClusterSpec(config["cluster"]),
        job_name=config["task"]["type"],
        task_index=config["task"]["index"],
        protocol="grpc",
        config=options,
    )
    threading.Thread(target=server.join, daemon=True).start()
    for _ in requests:
        pass


class Coordinator:
    """Directs workers and parameter servers.

    Args:
        task: The `Task` of tools/benchmarks/sharded_tables.
    """

    def __init__(self, task: Any) -> None:
        resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
        spec = resolver.cluster_spec()
        self._workers = spec.num_tasks("worker")
        owners = spec.num_tasks("ps")
        self._strategy = tf.distribute.ParameterServerStrategy(
            resolver,
            tf.distribute.experimental.partitioners.FixedShardsPartitioner(owners),
        )
        self._coordinator = tf.distribute.coordinator.ClusterCoordinator(self._strategy)
        with self._strategy.scope():
            table = tf.Variable(initial_rows(task.rows, task.dim, 0, 1))
        self._table = table
        batches = [
            [replica_batch(batch, worker, self._workers) for batch in task.batches()]
            for worker in range(self._workers)
        ]
        self._shards = [list(shard) for shard in zip(*batches, strict=True)]
        self._step = tf.function(self._train, autograph=False)

    def run(self, method: str, steps: int) -> None:
        """Runs steps, each of which is a round of one call per worker."""
        for number in range(steps):
            for shard in self._shards[number % len(self._shards)]:
                self._coordinator.schedule(self._step, args=shard)
            self._coordinator.join()

    def _train(self, in0: tf.RaggedTensor, in1: tf.RaggedTensor, shard: Any) -> None:
        unique, tokens = unique_ids(in0, in1)
        with tf.GradientTape() as tape:
            vectors = tf.nn.embedding_lookup(self._table, unique)
        upstream = row_gradients(vectors, tokens, shard[2])
        parts = self._table.variables
        gradients = tape.gradient(vectors, parts, upstream)
        for part, rows in zip(parts, gradients, strict=True):
            part.scatter_sub(
                tf.IndexedSlices(LEARNING_RATE * rows.values, rows.indices)
            )
