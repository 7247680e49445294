"""Checkpoints: everything that a run needs to resume with the same results."""

from __future__ import annotations

import dataclasses
import json
import time
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from object2vec_tf.errors import RunDirectoryError
from object2vec_tf.files.atomic import atomic_directory, copy_by_link, remove
from object2vec_tf.files.tensorflow_paths import tensorflow_path
from object2vec_tf.runs.run_directory import BEST_MODELS, CHECKPOINT_NAMES

_KEPT = 2
_BEST_MODEL = "best-epoch-{:04d}.keras"  # matches BEST_MODELS
# Errors of TensorFlow for files that are missing, truncated or of another model.
_UNREADABLE = (OSError, ValueError, IndexError, AssertionError, tf.errors.OpError)


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

    def keep_best(self, epoch: int, file: Path) -> None:
        """Keeps the model of the best epoch so far, for the checkpoints after it.

        Args:
            epoch: The epoch.
            file: The ``.keras`` file. It must be replaced, not changed, later.
        """
        copy_by_link(file, self.directory / _BEST_MODEL.format(epoch))

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
                (temporary / "state.json").write_text(
                    json.dumps(state), encoding="utf-8"
                )
        except (OSError, tf.errors.OpError) as error:
            reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
            raise RunDirectoryError(
                f"{path}: the checkpoint cannot be written: {reason}. Fix the cause "
                "and start the run again: it resumes from the checkpoint before."
            ) from error
        for old in checkpoint_paths(self.directory)[:-_KEPT]:
            remove(old)
        self._delete_former_best()

    def _delete_former_best(self) -> None:
        """Deletes the models that no checkpoint refers to."""
        files = set(self.directory.glob(BEST_MODELS))
        if len(files) > 1:
            for path in checkpoint_paths(self.directory):
                with suppress(*_UNREADABLE):  # `restore` reports the damage
                    files.discard(best_model(path, read_state(path)) or path)
            for file in files:
                remove(file)

    def restore(self, best_file: Path | None = None) -> dict[str, Any] | None:
        """Restores the model from the newest checkpoint that can be read.

        Args:
            best_file: The file that becomes the model of the checkpoint's best epoch.

        Returns:
            The state saved with it; None if there is no checkpoint.

        Raises:
            RunDirectoryError: There are checkpoints, but none can be read.
        """
        # Left by a process that was killed while it wrote them.
        for pattern in (".epoch-*", ".best-epoch-*"):
            for incomplete in self.directory.glob(pattern):
                remove(incomplete)
        paths = checkpoint_paths(self.directory)
        for path in reversed(paths):
            try:
                check_complete(path)
                state = read_state(path)
                with tensorflow_path(path / "variables") as prefix:
                    self._variables().read(prefix).assert_consumed()
                if best_file and (best := best_model(path, state)):
                    copy_by_link(best, best_file)
            except _UNREADABLE as error:
                reason = str(error).splitlines()[0]
                warnings.warn(
                    f"{path}: damaged checkpoint skipped: {reason}", stacklevel=2
                )
            else:
                return state
        if paths:
            raise RunDirectoryError(
                f"{self.directory}: no checkpoint can be read. Use --overwrite to "
                "start from scratch."
            )
        return None

    def _variables(self) -> tf.train.Checkpoint:
        metrics = {id(variable) for variable in self.model.metrics_variables}
        own = [v.value for v in self.model.variables if id(v) not in metrics]
        slots = [v.value for v in self.model.optimizer.variables]
        return tf.train.Checkpoint(model=own, optimizer=slots)


def checkpoint_paths(directory: Path) -> list[Path]:
    """Returns the checkpoints in a directory, from the oldest to the newest."""
    found = [path for names in CHECKPOINT_NAMES for path in directory.glob(names)]
    return sorted(path for path in found if path.is_dir())


def read_state(checkpoint: Path) -> dict[str, Any]:
    """Returns the state that was saved with a checkpoint.

    Raises:
        OSError: It is missing.
        ValueError: It is damaged.
    """
    state = json.loads((checkpoint / "state.json").read_text(encoding="utf-8"))
    if not isinstance(state, dict):
        raise ValueError("state.json is damaged")
    return state


def best_model(checkpoint: Path, state: Mapping[str, Any]) -> Path | None:
    """Returns the model of the best epoch that a checkpoint refers to.

    Args:
        checkpoint: The directory of the checkpoint.
        state: Its state.

    Returns:
        None if no epoch had ended, or if an older version wrote the checkpoint.
    """
    epoch = state.get("best_epoch")
    return None if epoch is None else checkpoint.parent / _BEST_MODEL.format(epoch)


def check_complete(checkpoint: Path) -> None:
    """Checks that a checkpoint has all its files; their content is not checked.

    Raises:
        OSError: A file is missing or ends early. The message names it.
        ValueError: The state is damaged.
    """
    for pattern in ("state.json", "variables.index", "variables.data-*"):
        if not any(checkpoint.glob(pattern)):
            raise OSError(f"{pattern.rstrip('-*')} is missing")
    best = best_model(checkpoint, read_state(checkpoint))
    if best is not None and not zipfile.is_zipfile(best):
        raise OSError(f"{best.name}, the model of the best epoch, is incomplete")


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
