"""Where a run's steps are done: one device, several, or several workers.

The copies of a model are plain models, one on each device, which every step changes
alike: TensorFlow's strategies give the processes, the devices and the sums over them.
Keras 3.15's own way of mirrored variables has no place for gradients of rows.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from object2vec_tf.data.pairs import Pairs
from object2vec_tf.distributed.cluster import TF_CONFIG, Cluster, cluster_of
from object2vec_tf.distributed.collectives import Collectives
from object2vec_tf.errors import UserError, WorkerLost

STRATEGIES = ("auto", "one", "mirrored", "multi_worker")

# How long workers that are all there may take to start together.
_TOGETHER_SECONDS = 300
# What the operations that workers meet in raise when one of them is not there.
_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
)
# A message of gRPC is bounded; what is larger is sent in parts of so many numbers.
_PART = 1 << 22
_HEAD = 64

Step = Callable[[Any], object]
Reals = npt.NDArray[np.float64]


class SingleDevice:
    """Everything is done by this process, on the device TensorFlow chooses.

    Attributes:
        workers: The number of processes.
        worker: The number of this one.
        replicas: The copies of the model that learn, in all processes.
        local: Their numbers in this one.
    """

    workers, worker = 1, 0
    replicas = 1
    local: Sequence[int] = (0,)

    @property
    def is_chief(self) -> bool:
        """Whether this process writes what the run leaves."""
        return self.worker == 0

    def built(self, build: Callable[[], Any]) -> list[Any]:
        """Returns what ``build`` makes on each device of this process."""
        return [build()]

    def dataset(self, pairs: Pairs, *given: Any, **more: Any) -> tf.data.Dataset:
        """Returns ``pairs.dataset`` of what `stepped` takes."""
        return pairs.dataset(*given, **more)

    def stepped(self, steps: Sequence[Step]) -> Step:
        """Returns what does a step of every copy here, inside a tf.function.

        Args:
            steps: What each copy does with its share of a batch.
        """
        return steps[0]

    def summed(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Returns the sum of what all processes give; all must come here."""
        return values

    def from_chief(self, value: Any) -> Any:
        """Returns what the chief gives, which goes through JSON; all must come here."""
        return value

    def agree(self, identity: dict[str, Any]) -> None:
        """Makes sure that all processes are at work on the same run.

        Raises:
            UserError: They are not: the message tells what differs.
        """

    def part(self) -> None:
        """Waits until no process needs another one any more."""

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Tells of a worker that is lost while the context lasts.

        Raises:
            WorkerLost: One is.
        """
        yield


class MirroredDevices(SingleDevice):
    """Copies of the model on several devices of this process.

    Args:
        strategy: What joins the devices.
    """

    def __init__(self, strategy: tf.distribute.Strategy) -> None:
        self._strategy = strategy
        self.devices = strategy.extended.worker_devices
        self.replicas = strategy.num_replicas_in_sync
        first = self.worker * len(self.devices)
        self.local = range(first, first + len(self.devices))
        self._exchanges = [
            Collectives(replica, self.replicas, device)
            for replica, device in zip(self.local, self.devices, strict=True)
        ]

    def built(self, build: Callable[[], Any]) -> list[Any]:
        """See `SingleDevice`."""
        made = []
        for device in self.devices:
            with tf.device(device):
                made.append(build())
        return made

    def dataset(self, pairs: Pairs, *given: Any, **more: Any) -> tf.data.Dataset:
        """See `SingleDevice`."""
        shards = [
            pairs.dataset(*given, **more, shard=(replica, self.replicas))
            for replica in self.local
        ]
        return tf.data.Dataset.zip(tuple(shards))

    def stepped(self, steps: Sequence[Step]) -> Step:
        """See `SingleDevice`."""

        def here(shares: Sequence[Any]) -> None:
            place = self._place()
            with self._exchanges[place].used():
                steps[place](shares[place])

        return lambda shares: self._strategy.run(here, args=(shares,))

    def _place(self) -> int:
        """Returns which of the local replicas is being traced."""
        context = tf.distribute.get_replica_context()
        number = tf.get_static_value(context.replica_id_in_sync_group)
        return int(number) - self.local[0]


class MultiWorker(MirroredDevices):
    """Copies of the model on the devices of several processes.

    Args:
        strategy: What joins the devices.
        cluster: The processes.
    """

    def __init__(self, strategy: tf.distribute.Strategy, cluster: Cluster) -> None:
        self._cluster = cluster
        self.workers, self.worker = len(cluster.addresses), cluster.worker
        super().__init__(strategy)
        self._sums: dict[tf.DType, Any] = {}

    def _total(self, values: tf.Tensor) -> tf.Tensor:
        def here() -> tf.Tensor:
            place = self._place()
            mine = values if place == 0 else tf.zeros_like(values)
            return self._exchanges[place].gathered(mine, 0, tf.size(mine))

        totals = self._strategy.run(here)
        return self._strategy.experimental_local_results(totals)[0]

    def summed(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """See `SingleDevice`."""
        flat = np.ravel(values)
        kind = tf.as_dtype(flat.dtype)
        if kind not in self._sums:
            signature = [tf.TensorSpec([None], kind)]
            self._sums[kind] = tf.function(self._total, signature, autograph=False)
        starts = range(0, len(flat), _PART)
        parts = [self._sums[kind](flat[i : i + _PART]).numpy() for i in starts]
        return np.concatenate(parts or [flat]).reshape(np.shape(values))

    def from_chief(self, value: Any) -> Any:
        """See `SingleDevice`."""
        data = json.dumps(value).encode() if self.is_chief else b""
        # What is short goes in one message, behind its length.
        head = np.zeros(_HEAD, np.int32)
        head[0] = len(data)
        head[1 : len(data) + 1] = list(data[: _HEAD - 1])
        head = self.summed(head)
        rest = np.zeros(max(int(head[0]) - _HEAD + 1, 0), np.int32)
        rest[: len(data[_HEAD - 1 :])] = list(data[_HEAD - 1 :])
        codes = np.concatenate([head[1 : head[0] + 1], self.summed(rest)])
        return json.loads(bytes(codes.astype(np.uint8)))

    def agree(self, identity: dict[str, Any]) -> None:
        """See `SingleDevice`."""
        chiefs = self.from_chief(identity)
        own = json.loads(json.dumps(identity))
        differing = [
            f"{name}: {chiefs.get(name)!r} of {self._cluster.name(0)}, "
            f"{own.get(name)!r} of {self._cluster.name(self.worker)}"
            for name in sorted({*own, *chiefs})
            if own.get(name) != chiefs.get(name)
        ]
        bad = np.zeros(self.workers, np.int32)
        bad[self.worker] = len(differing) > 0
        bad = self.summed(bad)
        if differing:
            self.part()
            raise UserError(
                "this worker is at work on another run than the chief, which differs "
                "in:\n  "
                + "\n  ".join(differing)
                + "\ngive all workers the same flags and the same data"
            )
        if bad.any():
            self.part()
            names = ", ".join(self._cluster.name(int(i)) for i in np.flatnonzero(bad))
            raise UserError(
                f"{names}: at work on another run than this worker; its own message "
                "tells what differs"
            )

    def part(self) -> None:
        """See `SingleDevice`.

        A process that leaves here may cut off the last words of another, which then
        has heard from all what matters.
        """
        with suppress(tf.errors.OpError):
            self.summed(np.zeros(1, np.int32))

    @contextmanager
    def watched(self) -> Iterator[None]:
        """See `SingleDevice`."""
        try:
            yield
        except _LOST as error:
            raise WorkerLost(
                f"{self._lost(str(error))} has ended, or cannot be reached any more: "
                "its own output tells why. Start all workers again with the same "
                "command: the run goes on from its last checkpoint"
            ) from error

    def _lost(self, message: str) -> str:
        """Returns the name of the worker that an error tells of, the deepest cause."""
        found = re.findall(r"/job:(\w+)/replica:\d+/task:(\d+)", message)
        numbers = [self._cluster.number(job, int(index)) for job, index in found]
        others = [number for number in numbers if number != self.worker]
        return self._cluster.name(others[-1]) if others else "another worker"


def choose_strategy(name: str = "auto", gpus: int | None = None) -> SingleDevice:
    """Returns where a run's steps are done.

    Several workers must be chosen before TensorFlow does anything in the process.

    Args:
        name: One of `STRATEGIES`. auto is multi_worker where TF_CONFIG tells of more
            than one worker, mirrored where there is more than one GPU, else one;
            multi_worker with one worker is the same.
        gpus: The most GPUs that are used, 0 for none; None for all there are.

    Raises:
        UserError: There is no such strategy, or what it needs is missing.
    """
    if name not in STRATEGIES:
        raise UserError(f"strategy: {name!r}: expected one of {', '.join(STRATEGIES)}")
    cluster = cluster_of() if name in ("auto", "multi_worker") else None
    if name == "multi_worker" and cluster is None:
        raise UserError(
            f"strategy=multi_worker needs {TF_CONFIG}, which tells of the workers; set "
            "it for each of them, or leave --strategy out"
        )
    if gpus is not None:
        _bound_gpus(gpus)
    if cluster is not None and len(cluster.addresses) > 1:
        return _workers(cluster)
    found = len(tf.config.list_physical_devices("GPU"))
    if gpus is not None:
        found = min(found, gpus)
    if name == "mirrored" or (name != "one" and found > 1):
        return _mirrored()
    return SingleDevice()


def _bound_gpus(count: int) -> None:
    visible = tf.config.get_visible_devices("GPU")[:count]
    try:
        tf.config.set_visible_devices(visible, "GPU")
    except RuntimeError as error:
        raise UserError(
            f"_num_gpus: {count}: TensorFlow is at work with other GPUs in this "
            "process already; leave it out, or start in a process of its own"
        ) from error


def _mirrored() -> MirroredDevices:
    kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
    devices = [device.name for device in tf.config.list_logical_devices(kind)]
    if len(devices) < 2:
        raise UserError(
            f"strategy=mirrored needs two devices of a kind, and there is one {kind}; "
            "leave --strategy out"
        )
    return MirroredDevices(tf.distribute.MirroredStrategy(devices))


def _workers(cluster: Cluster) -> MultiWorker:
    cluster.wait()
    with _bounded(cluster):
        try:
            strategy = tf.distribute.MultiWorkerMirroredStrategy()
        except RuntimeError as error:
            raise UserError(
                "strategy=multi_worker: TensorFlow is at work already in this process; "
                "start the workers before anything else, or by the command"
            ) from error
        except tf.errors.OpError as error:
            what = str(error).splitlines()[0]
            raise UserError(
                f"{TF_CONFIG}: {cluster.name(cluster.worker)} cannot start: {what}"
            ) from error
        workers = MultiWorker(strategy, cluster)
        with workers.watched():
            workers.summed(np.zeros(1, np.int32))
    if threading.current_thread() is threading.main_thread():
        # TensorFlow has put a handler in front, which keeps the signal to itself.
        handler = signal.getsignal(signal.SIGTERM)
        signal.signal(signal.SIGTERM, handler or signal.SIG_DFL)
    return workers


@contextmanager
def _bounded(cluster: Cluster) -> Iterator[None]:
    """Ends the process when workers that were there do not start together.

    In TensorFlow's constructor this process would wait for an hour, deaf to signals.
    """
    done = threading.Event()

    def watch() -> None:
        if not done.wait(_TOGETHER_SECONDS):
            print(
                f"error: {cluster.name(cluster.worker)}: the others were there, and "
                "did not start; see their own output, and start all workers again",
                file=sys.stderr,
                flush=True,
            )
            os._exit(2)

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        done.set()
