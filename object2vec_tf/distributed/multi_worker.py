"""Several worker processes that train one run together."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow.python.eager import context

from object2vec_tf.distributed.cluster import TF_CONFIG, Cluster
from object2vec_tf.distributed.joining import current_members
from object2vec_tf.distributed.membership import Loss, Membership, worker_lost
from object2vec_tf.distributed.strategies import MirroredDevices
from object2vec_tf.errors import UserError

# Time for workers that are all running to start TensorFlow's cluster together.
_START_SECONDS = 300
_TENSORFLOW_IN_USE = (
    "strategy=multi_worker: expected a process in which TensorFlow has not run yet. "
    "Start the workers before anything else, or use the command."
)
# Errors of collective operations when another worker is missing.
_LOST_WORKER_ERRORS = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
)
# gRPC limits the size of a message: larger arrays are sent in parts of this size.
_VALUES_PER_MESSAGE = 1 << 22
# A broadcast sends this many values first; short texts fit into them.
_HEADER_VALUES = 64


class MultiWorker(MirroredDevices):
    """Replicas on the devices of several processes.

    Args:
        strategy: TensorFlow's strategy over all devices.
        members: The processes.
    """

    def __init__(self, strategy: tf.distribute.Strategy, members: Membership) -> None:
        self._members = members
        self._cluster = cluster = members.cluster
        self.workers, self.worker = len(cluster.addresses), cluster.worker
        super().__init__(strategy)
        self._sums: dict[tf.DType, Any] = {}

    def all_reduce(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """See `Strategy`."""
        flat = np.ravel(values)
        dtype = tf.as_dtype(flat.dtype)
        if dtype not in self._sums:
            signature = [tf.TensorSpec([None], dtype)]
            self._sums[dtype] = tf.function(
                self._all_reduce_tensor, signature, autograph=False
            )
        parts = [
            self._sums[dtype](flat[start : start + _VALUES_PER_MESSAGE]).numpy()
            for start in range(0, len(flat), _VALUES_PER_MESSAGE)
        ]
        return np.concatenate(parts or [flat]).reshape(np.shape(values))

    def broadcast_from_chief(self, value: Any) -> Any:
        """See `Strategy`."""
        data = json.dumps(value).encode() if self.is_chief else b""
        # The header holds the length and the first bytes.
        header = np.zeros(_HEADER_VALUES, np.int32)
        header[0] = len(data)
        header[1 : len(data) + 1] = list(data[: _HEADER_VALUES - 1])
        header = self.all_reduce(header)
        rest = np.zeros(max(int(header[0]) - _HEADER_VALUES + 1, 0), np.int32)
        rest[: len(data[_HEADER_VALUES - 1 :])] = list(data[_HEADER_VALUES - 1 :])
        codes = np.concatenate([header[1 : header[0] + 1], self.all_reduce(rest)])
        return json.loads(bytes(codes.astype(np.uint8)))

    def verify_same_config(self, identity: dict[str, Any]) -> None:
        """See `Strategy`."""
        chief = self.broadcast_from_chief(identity)
        own = json.loads(json.dumps(identity))
        differences = [
            f"{name}: {chief.get(name)!r} on {self._cluster.name(0)}, "
            f"{own.get(name)!r} on {self._cluster.name(self.worker)}"
            for name in sorted({*own, *chief})
            if own.get(name) != chief.get(name)
        ]
        differs = np.zeros(self.workers, np.int32)
        differs[self.worker] = len(differences) > 0
        differs = self.all_reduce(differs)
        if differences:
            self.barrier()
            raise UserError(
                "this worker's configuration differs from the chief's in:\n  "
                + "\n  ".join(differences)
                + "\nGive all workers the same flags and the same data."
            )
        if differs.any():
            self.barrier()
            names = self._cluster.names([int(i) for i in np.flatnonzero(differs)])
            raise UserError(
                f"{names}: the configuration differs from this worker's. The output of "
                "that worker lists the differences."
            )

    def barrier(self) -> None:
        """See `Strategy`.

        A process that ends right after the barrier may cut off the last message to
        another worker, which has then received everything that it needs.
        """
        with suppress(tf.errors.OpError):
            self.all_reduce(np.zeros(1, np.int32))

    @contextmanager
    def detect_lost_workers(self) -> Iterator[None]:
        """See `Strategy`."""
        try:
            yield
        except _LOST_WORKER_ERRORS as error:
            if loss := self._members.wait_for_loss():
                raise self._members.error_of(loss) from error
            raise worker_lost(self._lost_worker(str(error))) from error

    def _lost_worker(self, message: str) -> str:
        """Returns the name of the worker that an error message names last."""
        tasks = re.findall(r"/job:(\w+)/replica:\d+/task:(\d+)", message)
        workers = [self._cluster.index(job, int(task)) for job, task in tasks]
        others = [worker for worker in workers if worker != self.worker]
        return self._cluster.name(others[-1]) if others else "another worker"


def start_workers(cluster: Cluster) -> MultiWorker:
    """Waits for all workers of a cluster and connects them.

    Must be called before TensorFlow executes anything in the process.

    Raises:
        UserError: TensorFlow is already in use, or a worker cannot start.
        WorkerLost: A worker ended.
        Interrupted: A worker was stopped.
    """
    if context.context()._context_handle is not None:
        raise UserError(_TENSORFLOW_IN_USE)
    members = current_members(cluster)
    members.wait()
    with _start_limit(cluster):
        try:
            strategy = tf.distribute.MultiWorkerMirroredStrategy()
        except RuntimeError as error:
            raise UserError(_TENSORFLOW_IN_USE) from error
        except tf.errors.OpError as error:
            reason = str(error).splitlines()[0]
            raise UserError(
                f"{TF_CONFIG}: {cluster.name(cluster.worker)} cannot start: {reason}"
            ) from error
        members.on_loss(_abort_collectives)
        workers = MultiWorker(strategy, members)
        with workers.detect_lost_workers():
            workers.all_reduce(np.zeros(1, np.int32))
    if threading.current_thread() is threading.main_thread():
        # TensorFlow installed a native handler that hides the signal from Python:
        # install Python's handler again.
        handler = signal.getsignal(signal.SIGTERM)
        signal.signal(signal.SIGTERM, handler or signal.SIG_DFL)
    return workers


def _abort_collectives(loss: Loss) -> None:
    """Ends the collective operation that waits for a lost worker, and later ones."""
    context.context().abort_collective_ops(
        tf.errors.UNAVAILABLE, f"worker {loss.worker} ended"
    )


@contextmanager
def _start_limit(cluster: Cluster) -> Iterator[None]:
    """Ends the process if running workers do not connect within a time limit.

    TensorFlow's constructor would wait for an hour and ignore signals.
    """
    done = threading.Event()

    def watch() -> None:
        if not done.wait(_START_SECONDS):
            print(
                f"error: {cluster.name(cluster.worker)}: the other workers were "
                f"reachable but did not connect within {_START_SECONDS} seconds. See "
                "their output and start all workers again.",
                file=sys.stderr,
                flush=True,
            )
            os._exit(2)

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        done.set()
