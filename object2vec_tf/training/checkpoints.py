"""Checkpoints: everything that a run needs to resume with the same results."""

from __future__ import annotations

import dataclasses
import json
import shutil
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from object2vec_tf.errors import RunDirectoryError
from object2vec_tf.files.atomic import atomic_directory
from object2vec_tf.runs.run_directory import CHECKPOINT_NAMES

_KEPT = 2
# Errors of TensorFlow for files that are missing, truncated or of another model.
_UNREADABLE = (OSError, ValueError, IndexError, AssertionError, tf.errors.OpError)


@dataclasses.dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of a run, one directory each.

    A checkpoint holds the model's weights and random state, the optimizer's slots and
    step, and a JSON state. It is written atomically.

    Attributes:
        directory: The directory of the checkpoints.
        model: The compiled model.
    """

    directory: Path
    model: keras.Model

    def save(self, epochs: int, state: Mapping[str, Any], batches: int = 0) -> None:
        """Writes a checkpoint and deletes old ones.

        Args:
            epochs: Number of finished epochs.
            state: Further state, which JSON can represent.
            batches: Number of finished batches of the next epoch.

        Raises:
            RunDirectoryError: It cannot be written; earlier checkpoints are unchanged.
        """
        name = f"epoch-{epochs:04d}" + (f"-batch-{batches:09d}" if batches else "")
        path = self.directory / name
        if path.exists():
            shutil.rmtree(path)
        try:
            with atomic_directory(path) as temporary:
                self._variables().write(str(temporary / "variables"))
                (temporary / "state.json").write_text(
                    json.dumps(state), encoding="utf-8"
                )
        except (OSError, tf.errors.OpError) as error:
            reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
            raise RunDirectoryError(
                f"{path}: the checkpoint cannot be written: {reason}. Fix the cause "
                "and start the run again: it resumes from the checkpoint before."
            ) from error
        for old in self._paths()[:-_KEPT]:
            shutil.rmtree(old)

    def restore(self) -> dict[str, Any] | None:
        """Restores the model from the newest checkpoint that can be read.

        Returns:
            The state saved with it; None if there is no checkpoint.

        Raises:
            RunDirectoryError: There are checkpoints, but none can be read.
        """
        # Left by a process that was killed while it wrote them.
        for incomplete in self.directory.glob(".epoch-*"):
            shutil.rmtree(incomplete)
        paths = self._paths()
        for path in reversed(paths):
            try:
                state = json.loads((path / "state.json").read_text(encoding="utf-8"))
                self._variables().read(str(path / "variables")).assert_consumed()
            except _UNREADABLE as error:
                reason = str(error).splitlines()[0]
                warnings.warn(
                    f"{path}: damaged checkpoint skipped: {reason}", stacklevel=2
                )
            else:
                return dict(state)
        if paths:
            raise RunDirectoryError(
                f"{self.directory}: no checkpoint can be read. Use --overwrite to "
                "start from scratch."
            )
        return None

    def _paths(self) -> list[Path]:
        """Returns the checkpoints from the oldest to the newest."""
        return sorted(
            path for names in CHECKPOINT_NAMES for path in self.directory.glob(names)
        )

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
