"""What a run writes of its training state, and reads when it resumes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from object2vec_tf.distributed.replicas import Replicas
from object2vec_tf.files.atomic import atomic_file
from object2vec_tf.runs.result_files import Record
from object2vec_tf.runs.run_directory import RunDirectory
from object2vec_tf.training.checkpoints import Checkpoints
from object2vec_tf.training.preparation import PreparedRun
from object2vec_tf.training.sharded_checkpoints import ShardedCheckpoints


class RunCheckpoints(Protocol):
    """The checkpoints of a run, and the model of its best epoch.

    All processes of the run call all methods, in the same order.
    """

    def save(self, epochs: int, state: Mapping[str, Any], batches: int = 0) -> None:
        """Writes a checkpoint and deletes old ones; see `Checkpoints.save`."""

    def keep_best(self, epoch: int) -> None:
        """Keeps the model of the best epoch so far, for the checkpoints after it.

        Args:
            epoch: The epoch.
        """

    def restore(
        self, monitored_loss: Callable[[Record], float] | None = None
    ) -> dict[str, Any] | None:
        """Restores all replicas; see `Checkpoints.restore`."""


class ReplicatedCheckpoints:
    """The checkpoints of a run whose replicas are equal; a `RunCheckpoints`.

    The chief writes and reads all files. The model of the best epoch is also that of
    the run directory.

    Args:
        directory: The run directory.
        replicas: The replicas of the model.
    """

    def __init__(self, directory: RunDirectory, replicas: Replicas) -> None:
        self._directory = directory
        self._replicas = replicas
        self._strategy = replicas.strategy
        self._checkpoints = Checkpoints(directory.checkpoints, replicas.model)

    def save(self, epochs: int, state: Mapping[str, Any], batches: int = 0) -> None:
        """See `RunCheckpoints`."""
        if self._strategy.is_chief:
            self._checkpoints.save(epochs, state, batches)

    def keep_best(self, epoch: int) -> None:
        """See `RunCheckpoints`."""
        if self._strategy.is_chief:
            with atomic_file(self._directory.model) as path:
                self._replicas.model.save(path)
            self._checkpoints.keep_best(epoch, self._directory.model)

    def restore(
        self, monitored_loss: Callable[[Record], float] | None = None
    ) -> dict[str, Any] | None:
        """See `RunCheckpoints`."""
        state = None
        if self._strategy.is_chief:
            state = self._checkpoints.restore(self._directory.model, monitored_loss)
        state = self._strategy.broadcast_from_chief(state)
        if state is not None:
            self._replicas.copy_from_chief()
        return dict(state) if state is not None else None


def run_checkpoints(run: PreparedRun, replicas: Replicas) -> RunCheckpoints:
    """Returns the checkpoints of a run.

    Args:
        run: The prepared run.
        replicas: The replicas of its model.

    Raises:
        UserError: Tables are sharded, and the workers do not share the run directory.
    """
    if run.is_sharded:
        return ShardedCheckpoints(run.directory.checkpoints, replicas)
    return ReplicatedCheckpoints(run.directory, replicas)
