"""Checkpoints of a run whose token tables are sharded over its replicas.

All processes write at the same time, into a directory that the chief creates: each
replica the rows of its shards, and the chief everything that all replicas have in
common, in TensorFlow's format. When all files are on the disk, the chief writes their
checksums and renames the directory.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from object2vec_tf.distributed.replicas import Replicas
from object2vec_tf.errors import RunDirectoryError, UserError
from object2vec_tf.files.atomic import atomic_directory, link_or_copy, remove
from object2vec_tf.files.digests import (
    DIGESTS,
    FILES,
    FileDigest,
    digests_of_files,
    typed_digests,
    verify_files,
)
from object2vec_tf.files.leftovers import temporary_directory
from object2vec_tf.files.sealed_json import read_sealed, sealed_text
from object2vec_tf.runs.result_files import Record
from object2vec_tf.training.checkpoint_files import (
    SHARDS,
    best_model,
    best_model_path,
    check_complete,
    checkpoint_paths,
    digests_of_state,
    read_state,
    write_state,
)
from object2vec_tf.training.checkpoints import (
    Checkpoints,
    all_damaged,
    checkpoint_name,
    first_line,
    read_variables,
    reported_unwritten,
    state_variables,
    write_variables,
)
from object2vec_tf.training.table_shards import ShardedVariables, sharded_variables

_FIX = "Restore the file, or remove this checkpoint."
# The checksums of what a replica wrote, until the chief has read them.
_WRITTEN = ".written-{:05d}.json"

Digests = Mapping[str, FileDigest]


@dataclasses.dataclass
class KeptTables:
    """The tables of a best epoch, which the checkpoint of that epoch has too.

    Attributes:
        epoch: The epoch.
        directory: The directory that `ShardedCheckpoints.keep_best` wrote.
        digests: The digests of the files of each replica of this process.
    """

    epoch: int
    directory: Path
    digests: dict[int, Digests] = dataclasses.field(default_factory=dict)

    def link(self, directory: Path, replica: int) -> Digests:
        """Copies the files of a replica, as hard links where possible.

        Several processes do so at the same time. A link that has a temporary name first
        could be taken for a leftover by another process, since its file is not locked.
        """
        for name in self.digests[replica]:
            link_or_copy(self.directory / name, directory / name)
        return self.digests[replica]


class ShardedCheckpoints:
    """The checkpoints of a run with sharded tables; a `RunCheckpoints`.

    Args:
        directory: The directory of the checkpoints, in a file system that all
            processes share.
        replicas: The replicas of the model.

    Raises:
        UserError: The processes do not share the directory.
    """

    def __init__(self, directory: Path, replicas: Replicas) -> None:
        self._directory = directory
        self._strategy = replicas.strategy
        self._replicas = replicas
        self._model = replicas.model
        count = self._strategy.replicas
        self._shards = [
            sharded_variables(model, replica, count)
            for replica, model in zip(
                self._strategy.local_replicas, replicas.models, strict=True
            )
        ]
        # Names, retention and damage of checkpoints.
        self._files = Checkpoints(directory, replicas.model)
        self._kept: KeptTables | None = None
        self._check_is_shared()

    def save(self, epochs: int, state: Mapping[str, Any], batches: int = 0) -> None:
        """Writes a checkpoint and deletes old ones.

        Args:
            epochs: Number of finished epochs.
            state: As for `Checkpoints.save`.
            batches: Number of finished batches of the next epoch.

        Raises:
            RunDirectoryError: It cannot be written; earlier checkpoints are unchanged.
        """
        path = self._directory / checkpoint_name(epochs, batches)
        kept = self._kept
        if kept is not None and (batches or kept.epoch + 1 != epochs):
            kept = None

        def write(directory: Path, shards: ShardedVariables) -> Digests:
            tables = (
                kept.link(directory, shards.replica)
                if kept is not None
                else shards.write_tables(directory)
            )
            return {**tables, **shards.write_slots(directory)}

        with self._written(path, write) as (temporary, digests):
            if self._strategy.is_chief:
                write_variables(temporary, self._replicated())
                shards = {SHARDS: self._strategy.replicas}
                write_state(temporary, {**state, **shards}, digests)
        if self._strategy.is_chief:
            self._files.delete_old(path)

    def keep_best(self, epoch: int) -> None:
        """Keeps the weights of the best epoch so far, for the checkpoints after it.

        Args:
            epoch: The epoch.

        Raises:
            RunDirectoryError: They cannot be written.
        """
        path = self.best_of(epoch)
        kept = KeptTables(epoch, path)

        def write(directory: Path, shards: ShardedVariables) -> Digests:
            kept.digests[shards.replica] = shards.write_tables(directory)
            return kept.digests[shards.replica]

        with self._written(path, write) as (temporary, digests):
            if self._strategy.is_chief:
                weights = self._replicated()["model"]
                write_variables(temporary, {"model": weights})
                names = {file.name for file in temporary.iterdir()} - {*digests}
                files = {**digests, **digests_of_files(temporary, names)}
                text = sealed_text({FILES: files})
                (temporary / DIGESTS).write_text(text, encoding="utf-8")
        self._kept = kept

    def best_of(self, epoch: int) -> Path:
        """Returns the directory that `keep_best` wrote for an epoch."""
        return best_model_path(self._directory, epoch, is_sharded=True)

    def release(self) -> None:
        """Frees the memory of tables and slots, when training has ended."""
        for shards in self._shards:
            shards.release()

    def restore(
        self, monitored_loss: Callable[[Record], float] | None = None
    ) -> dict[str, Any] | None:
        """Restores all replicas from the newest checkpoint that is intact.

        Args:
            monitored_loss: See `checkpoint_files.read_state`.

        Returns:
            The state saved with it; None if there is no checkpoint.

        Raises:
            RunDirectoryError: There are checkpoints, but all of them are damaged.
        """
        names: list[str] = []
        if self._strategy.is_chief:
            self._files.delete_incomplete()
            names = [path.name for path in checkpoint_paths(self._directory)]
        names = self._strategy.broadcast_from_chief(names)
        for name in reversed(names):
            path = self._directory / name
            state, problem = self._read_state(path, monitored_loss)
            if not problem:
                problem = self._first_problem(self._restore_from(path, state))
            if not problem:
                self._replicas.copy_from_chief()
                del state[FILES], state[SHARDS]
                return state
            if self._strategy.is_chief:
                self._files.skip(path, problem)
        if names:
            raise all_damaged(self._directory)
        return None

    def _read_state(
        self, path: Path, monitored_loss: Callable[[Record], float] | None
    ) -> tuple[dict[str, Any], str]:
        """Returns the chief's state of a checkpoint, or what is wrong with it."""
        state, problem = {}, ""
        if self._strategy.is_chief:
            try:
                check_complete(path)
                state = read_state(path, monitored_loss)
                if type(state.get(SHARDS)) is not int:
                    raise UserError(f"expected {SHARDS}, got {state.get(SHARDS)!r}")
            except (OSError, UserError) as error:
                problem = first_line(path, error)
        state, problem = self._strategy.broadcast_from_chief([state, problem])
        return state, problem

    def _restore_from(self, path: Path, state: dict[str, Any]) -> str:
        """Restores this process's replicas; returns what is wrong with the files."""
        try:
            self._verify_own_part(path, state)
            if self._strategy.is_chief:
                read_variables(path, self._replicated())
            for shards in self._shards:
                shards.read(path)
        except MemoryError:
            raise
        except Exception as error:  # TensorFlow raises errors of many classes
            return first_line(path, error)
        return ""

    def _verify_own_part(self, path: Path, state: dict[str, Any]) -> None:
        """Checks the content of the files that this process has to read.

        Raises:
            UserError: A file is missing or damaged.
        """
        verify_files(path, self._own_part(digests_of_state(path, state)), _FIX)
        best = best_model(path, state)
        if best is not None:
            record = read_sealed(best / DIGESTS, _FIX, is_sealed=True)
            files = typed_digests(record, best / DIGESTS, _FIX)
            verify_files(best, self._own_part(files), _FIX)

    def _own_part(self, files: Digests) -> dict[str, FileDigest]:
        """Returns this process's part of files, which all together verify all."""
        names = sorted(files)[self._strategy.worker :: self._strategy.workers]
        return {name: files[name] for name in names}

    def _first_problem(self, problem: str) -> str:
        """Returns the problem of the first process that has one."""
        strategy = self._strategy
        text = problem.encode()
        sizes = np.zeros(strategy.workers, np.int32)
        sizes[strategy.worker] = len(text)
        sizes = strategy.all_reduce(sizes)
        if not sizes.any():
            return ""
        first = int(np.flatnonzero(sizes)[0])
        data = np.zeros(sizes[first], np.int32)
        if strategy.worker == first:
            data[:] = list(text)
        data = strategy.all_reduce(data)
        return bytes(data.astype(np.uint8)).decode()

    def _replicated(self) -> dict[str, list[Any]]:
        """Returns the variables that all replicas have in common."""
        shards = self._shards[0]
        return state_variables(self._model, lambda variable: variable in shards)

    @contextmanager
    def _written(
        self, path: Path, write: Callable[[Path, ShardedVariables], Digests]
    ) -> Iterator[tuple[Path, dict[str, FileDigest]]]:
        """Writes the shards of all replicas into a directory, which then appears.

        Args:
            path: The directory.
            write: Writes the shards of a replica; returns the digests of its files.

        Yields:
            The temporary directory with the shards, to which the chief may add files,
            and in the chief the digests of all shards.

        Raises:
            RunDirectoryError: It cannot be written.
        """
        with reported_unwritten(path), ExitStack() as stack:
            temporary = None
            if self._strategy.is_chief:
                remove(path)
                temporary = stack.enter_context(atomic_directory(path))
            name = temporary.name if temporary else None
            directory = path.with_name(self._strategy.broadcast_from_chief(name))
            for shards in self._shards:
                digests = write(directory, shards)
                written = directory / _WRITTEN.format(shards.replica)
                written.write_text(sealed_text({FILES: digests}), encoding="utf-8")
            # An error of another process ends this one here.
            self._strategy.all_reduce(np.zeros(1, np.int32))
            yield directory, self._collected(directory) if temporary else {}

    def _collected(self, directory: Path) -> dict[str, FileDigest]:
        """Returns the digests of all replicas, and removes their files."""
        files: dict[str, FileDigest] = {}
        for replica in range(self._strategy.replicas):
            path = directory / _WRITTEN.format(replica)
            record = read_sealed(
                path, "Start the run again.", error_class=RunDirectoryError
            )
            files |= typed_digests(record, path, "Start the run again.")
            path.unlink()
        return files

    def _check_is_shared(self) -> None:
        """Checks that all processes see the files of the others.

        Raises:
            UserError: They do not.
        """
        strategy = self._strategy
        if strategy.workers == 1:
            return
        with ExitStack() as stack:
            temporary = None
            if strategy.is_chief:
                path = self._directory / "shared"
                temporary = stack.enter_context(temporary_directory(path))
            name = strategy.broadcast_from_chief(temporary.name if temporary else None)
            missing = not (self._directory / name).is_dir()
            absent = np.zeros(strategy.workers, np.int32)
            absent[strategy.worker] = missing
            absent = strategy.all_reduce(absent)
        if absent.any():
            workers = ", ".join(map(str, np.flatnonzero(absent)))
            raise UserError(
                f"{self._directory}: expected a directory that all workers share, "
                f"which sharded tables need; of worker {workers} it is another one. "
                "Give all workers a --model_dir in the same file system."
            )
