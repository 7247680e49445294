"""Execution strategies: where training steps run.

A strategy holds one plain copy of the model per device (a replica) and applies the same
update to all of them. TensorFlow's strategies provide processes, devices and sums.
Keras 3.15's mirrored variables are not used, since they cannot take gradients of rows.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy.typing as npt
import tensorflow as tf

from object2vec_tf.data.pairs import Pairs
from object2vec_tf.distributed.collectives import Collectives, communication_hint

Step = Callable[[Any], object]


class Strategy(abc.ABC):
    """Where the steps of a run are executed.

    Attributes:
        workers: Number of processes.
        worker: Index of this process; worker 0 is the chief.
        replicas: Number of model copies in all processes.
        local_replicas: Indices of the copies in this process.
    """

    workers = 1
    worker = 0
    replicas = 1
    local_replicas: Sequence[int] = (0,)

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the files of the run."""
        return self.worker == 0

    @property
    def local_share(self) -> float:
        """The share of the model copies that are in this process."""
        return len(self.local_replicas) / self.replicas

    @abc.abstractmethod
    def build_replicas(self, build: Callable[[], Any]) -> list[Any]:
        """Calls ``build`` once on each device of this process.

        With several devices or processes, ``current_collectives`` are those of the
        device.
        """

    @abc.abstractmethod
    def dataset(self, pairs: Pairs, *args: Any, **kwargs: Any) -> tf.data.Dataset:
        """Returns ``pairs.dataset(*args, **kwargs)`` as `distribute_step` takes it."""

    @abc.abstractmethod
    def distribute_step(self, steps: Sequence[Step]) -> Step:
        """Returns a function that runs one step on every local replica.

        The result is called inside a tf.function.

        Args:
            steps: For each local replica, a function of its part of a batch.
        """

    @abc.abstractmethod
    def all_reduce(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Returns the sum of ``values`` over all processes; all of them must call it.

        Args:
            values: An array of the same shape and type in every process.
        """

    @abc.abstractmethod
    def broadcast_from_chief(self, value: Any) -> Any:
        """Returns the chief's value in every process; all of them must call it.

        Args:
            value: Anything that JSON can represent; ignored unless this is the chief.
        """

    @abc.abstractmethod
    def verify_same_config(self, identity: dict[str, Any]) -> None:
        """Checks that all processes train the same run.

        Args:
            identity: Hyperparameters, seed and data of this process's run.

        Raises:
            UserError: They differ; the message lists the differences.
        """

    @abc.abstractmethod
    def barrier(self) -> None:
        """Waits until every process has reached this call."""

    @abc.abstractmethod
    def detect_lost_workers(self) -> AbstractContextManager[None]:
        """Turns errors of collective operations into an error that names the worker.

        Returns:
            A context manager, which raises WorkerLost if a worker ended or cannot be
            reached.
        """


class _SingleProcess(Strategy):
    """A strategy without other processes."""

    def all_reduce(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """See `Strategy`."""
        return values

    def broadcast_from_chief(self, value: Any) -> Any:
        """See `Strategy`."""
        return value

    def verify_same_config(self, identity: dict[str, Any]) -> None:
        """See `Strategy`."""

    def barrier(self) -> None:
        """See `Strategy`."""

    def detect_lost_workers(self) -> AbstractContextManager[None]:
        """See `Strategy`."""
        return nullcontext()


class SingleDevice(_SingleProcess):
    """Everything runs in this process, on the device that TensorFlow chooses."""

    def build_replicas(self, build: Callable[[], Any]) -> list[Any]:
        """See `Strategy`."""
        return [build()]

    def dataset(self, pairs: Pairs, *args: Any, **kwargs: Any) -> tf.data.Dataset:
        """See `Strategy`."""
        return pairs.dataset(*args, **kwargs)

    def distribute_step(self, steps: Sequence[Step]) -> Step:
        """See `Strategy`."""
        return steps[0]


class MirroredDevices(_SingleProcess):
    """Replicas on several devices of this process.

    Args:
        strategy: TensorFlow's strategy over the devices.
    """

    def __init__(self, strategy: tf.distribute.Strategy) -> None:
        self._strategy = strategy
        self.devices = strategy.extended.worker_devices
        self.replicas = strategy.num_replicas_in_sync
        first = self.worker * len(self.devices)
        self.local_replicas = range(first, first + len(self.devices))
        hint = communication_hint(self.devices, self.replicas)
        self._collectives = [
            Collectives(replica, self.replicas, device, hint)
            for replica, device in zip(self.local_replicas, self.devices, strict=True)
        ]

    def build_replicas(self, build: Callable[[], Any]) -> list[Any]:
        """See `Strategy`."""
        built = []
        for device, collectives in zip(self.devices, self._collectives, strict=True):
            with tf.device(device), collectives.activated():
                built.append(build())
        return built

    def dataset(self, pairs: Pairs, *args: Any, **kwargs: Any) -> tf.data.Dataset:
        """See `Strategy`."""
        shards = [
            pairs.dataset(*args, **kwargs, shard=(replica, self.replicas))
            for replica in self.local_replicas
        ]
        return tf.data.Dataset.zip(tuple(shards))

    def distribute_step(self, steps: Sequence[Step]) -> Step:
        """See `Strategy`."""

        def run_replica(shards: Sequence[Any]) -> None:
            index = self._local_index()
            with self._collectives[index].activated():
                steps[index](shards[index])

        return lambda shards: self._strategy.run(run_replica, args=(shards,))

    def run_on_devices(self, steps: Sequence[Callable[[], object]]) -> None:
        """Calls a function for each local replica, to create ops on its device.

        Nothing of TensorFlow's strategy is in effect there. It is called inside a
        tf.function.

        Args:
            steps: The functions. They make the same collective calls.
        """
        for device, collectives, step in zip(
            self.devices, self._collectives, steps, strict=True
        ):
            with tf.device(device), collectives.activated():
                step()

    def _local_index(self) -> int:
        """Returns which local replica is being traced."""
        context = tf.distribute.get_replica_context()
        replica = tf.get_static_value(context.replica_id_in_sync_group)
        return int(replica) - self.local_replicas[0]

    def _all_reduce_tensor(self, values: tf.Tensor) -> tf.Tensor:
        """Sums ``values`` over processes: the first local replica contributes them."""

        def run_replica() -> tf.Tensor:
            index = self._local_index()
            own = values if index == 0 else tf.zeros_like(values)
            return self._collectives[index].all_reduce_padded(own, 0, tf.size(own))

        sums = self._strategy.run(run_replica)
        return self._strategy.experimental_local_results(sums)[0]
