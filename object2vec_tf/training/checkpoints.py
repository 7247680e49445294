"""Checkpoints: everything that a run needs to resume with the same results."""

from __future__ import annotations

import dataclasses
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from object2vec_tf.errors import RunDirectoryError, UserError
from object2vec_tf.files.atomic import atomic_directory, copy_by_link, remove
from object2vec_tf.files.digests import FILES
from object2vec_tf.files.tensorflow_paths import tensorflow_path
from object2vec_tf.runs.result_files import Record
from object2vec_tf.runs.run_directory import BEST_MODELS
from object2vec_tf.training.checkpoint_files import (
    best_model,
    best_model_path,
    check_complete,
    checkpoint_paths,
    read_state,
    verify_content,
    write_state,
)

_KEPT = 2


@dataclasses.dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of a run, one directory each.

    A checkpoint holds the model's weights and random state, the optimizer's slots and
    step, and a JSON state. It is written atomically. The state names the best epoch,
    whose model is a file beside the checkpoint. So a copy of the directory is enough to
    resume the run, even one that was made, file by file, while the run continued.

    Attributes:
        directory: The directory of the checkpoints.
        model: The compiled model.
    """

    directory: Path
    model: keras.Model
    # Checkpoints that `restore` could not read.
    _damaged: set[Path] = dataclasses.field(default_factory=set, init=False)

    def keep_best(self, epoch: int, file: Path) -> None:
        """Keeps the model of the best epoch so far, for the checkpoints after it.

        Args:
            epoch: The epoch.
            file: The ``.keras`` file. It must be replaced, not changed, later.
        """
        copy_by_link(file, best_model_path(self.directory, epoch))

    def save(self, epochs: int, state: Mapping[str, Any], batches: int = 0) -> None:
        """Writes a checkpoint and deletes old ones.

        Args:
            epochs: Number of finished epochs.
            state: Further state, which JSON can represent. ``best_epoch``, if it has
                one, was given to `keep_best`.
            batches: Number of finished batches of the next epoch.

        Raises:
            RunDirectoryError: It cannot be written; earlier checkpoints are unchanged.
        """
        name = f"epoch-{epochs:04d}" + (f"-batch-{batches:09d}" if batches else "")
        path = self.directory / name
        remove(path)
        try:
            with atomic_directory(path) as temporary:
                with tensorflow_path(temporary / "variables") as prefix:
                    self._variables().write(prefix)
                write_state(temporary, state)
        except (OSError, tf.errors.OpError) as error:
            reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
            raise RunDirectoryError(
                f"{path}: the checkpoint cannot be written: {reason}. Fix the cause "
                "and start the run again: it resumes from the checkpoint before."
            ) from error
        # Damaged ones may be newer, because the run resumed from one before them.
        paths = checkpoint_paths(self.directory)
        intact = [other for other in paths if other not in self._damaged - {path}]
        for old in {*paths} - {*intact[-_KEPT:]}:
            remove(old)
        self._damaged.clear()
        self._delete_former_best()

    def _delete_former_best(self) -> None:
        """Deletes the models that no checkpoint refers to."""
        files = set(self.directory.glob(BEST_MODELS))
        if len(files) > 1:
            for path in checkpoint_paths(self.directory):
                with suppress(UserError):  # `restore` reports the damage
                    files.discard(best_model(path, read_state(path)) or path)
            for file in files:
                remove(file)

    def restore(
        self,
        best_file: Path | None = None,
        monitored_loss: Callable[[Record], float] | None = None,
    ) -> dict[str, Any] | None:
        """Restores the model from the newest checkpoint that is intact.

        Args:
            best_file: The file that becomes the model of the checkpoint's best epoch.
            monitored_loss: See `checkpoint_files.read_state`.

        Returns:
            The state saved with it; None if there is no checkpoint.

        Raises:
            RunDirectoryError: There are checkpoints, but all of them are damaged.
        """
        # Left by a process that was killed while it wrote them.
        for pattern in (".epoch-*", ".best-epoch-*"):
            for incomplete in self.directory.glob(pattern):
                remove(incomplete)
        paths = checkpoint_paths(self.directory)
        for path in reversed(paths):
            try:
                state = self._restore_from(path, best_file, monitored_loss)
            except MemoryError:  # a checkpoint that is skipped is deleted later
                raise
            except Exception as error:  # TensorFlow raises errors of many classes
                reason = str(error).removeprefix(f"{path}/") or type(error).__name__
                reason = reason.splitlines()[0]
                warnings.warn(
                    f"{path}: damaged checkpoint skipped: {reason}", stacklevel=2
                )
                self._damaged.add(path)
            else:
                return state
        if paths:
            raise RunDirectoryError(
                f"{self.directory}: all checkpoints are damaged. Restore one of them, "
                "or use --overwrite to start from scratch."
            )
        return None

    def _restore_from(
        self,
        path: Path,
        best_file: Path | None,
        monitored_loss: Callable[[Record], float] | None,
    ) -> dict[str, Any]:
        """Restores the model from a checkpoint; see `restore`.

        Raises:
            Exception: It is incomplete or damaged.
        """
        check_complete(path)
        state = read_state(path, monitored_loss)
        verify_content(path, state)
        with tensorflow_path(path / "variables") as prefix:
            self._variables().read(prefix).assert_consumed()
        if best_file and (best := best_model(path, state)):
            copy_by_link(best, best_file)
        state.pop(FILES, None)
        return state

    def _variables(self) -> tf.train.Checkpoint:
        metrics = {id(variable) for variable in self.model.metrics_variables}
        own = [v.value for v in self.model.variables if id(v) not in metrics]
        slots = [v.value for v in self.model.optimizer.variables]
        return tf.train.Checkpoint(model=own, optimizer=slots)


class SaveClock:
    """Decides when the next checkpoint is due.

    Saving takes at most a tenth of the time, however large the model is.

    Args:
        seconds: Time between checkpoints; 0 for none within an epoch.
    """

    _MIN_INTERVALS = 10

    def __init__(self, seconds: int) -> None:
        self._seconds = seconds
        self._last = time.monotonic()
        self._save_seconds = 0.0

    def is_due(self) -> bool:
        """Returns whether a checkpoint is due."""
        interval = max(self._seconds, self._MIN_INTERVALS * self._save_seconds)
        return self._seconds > 0 and time.monotonic() - self._last >= interval

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Measures how long it takes to write a checkpoint."""
        start = time.monotonic()
        yield
        self._last = time.monotonic()
        self._save_seconds = self._last - start
