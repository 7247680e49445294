"""Checkpoints: all that a run needs to go on to the same end."""

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
# What TensorFlow raises for files that are missing, cut short or of another model.
_UNREADABLE = (OSError, ValueError, IndexError, AssertionError, tf.errors.OpError)


@dataclasses.dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of a run, a directory for each.

    A checkpoint holds the model's weights, the state of its random numbers, the
    optimizer's slots and step, and a JSON state. It is there whole or not at all.

    Attributes:
        directory: Where they are.
        model: The compiled model they are of.
    """

    directory: Path
    model: keras.Model

    def save(self, epochs: int, state: Mapping[str, Any], batches: int = 0) -> None:
        """Saves the model as it is after so many epochs, and forgets old ones.

        Args:
            epochs: Number of epochs done.
            state: What else to remember; goes through JSON.
            batches: Number of batches done of the epoch behind them.

        Raises:
            RunDirectoryError: It cannot be written; those before are as they were.
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
            what = getattr(error, "strerror", None) or str(error).splitlines()[0]
            raise RunDirectoryError(
                f"{path}: the checkpoint cannot be written: {what}; mend it and start "
                "the run again: it goes on from the checkpoint before"
            ) from error
        for old in self._found()[:-_KEPT]:
            shutil.rmtree(old)

    def restore(self) -> dict[str, Any] | None:
        """Puts the model back to the newest checkpoint that can be read.

        Returns:
            The state saved with it, or None when there is no checkpoint.

        Raises:
            RunDirectoryError: There are checkpoints, and none can be read.
        """
        for left in self.directory.glob(".epoch-*"):  # by a kill while it was written
            shutil.rmtree(left)
        found = self._found()
        for path in reversed(found):
            try:
                state = json.loads((path / "state.json").read_text(encoding="utf-8"))
                self._variables().read(str(path / "variables")).assert_consumed()
            except _UNREADABLE as error:
                what = str(error).splitlines()[0]
                warnings.warn(f"{path}: damaged, passed over: {what}", stacklevel=2)
            else:
                return dict(state)
        if found:
            raise RunDirectoryError(
                f"{self.directory}: no checkpoint can be read; "
                "--overwrite starts afresh"
            )
        return None

    def _found(self) -> list[Path]:
        return sorted(
            path for names in CHECKPOINT_NAMES for path in self.directory.glob(names)
        )

    def _variables(self) -> tf.train.Checkpoint:
        metrics = {id(variable) for variable in self.model.metrics_variables}
        own = [v.value for v in self.model.variables if id(v) not in metrics]
        slots = [v.value for v in self.model.optimizer.variables]
        return tf.train.Checkpoint(model=own, optimizer=slots)


class SaveClock:
    """Tells when a checkpoint is due.

    Saving takes at most a tenth of the time, however large the model is.

    Args:
        seconds: From one to the next; 0 for none but those at the end of epochs.
    """

    _SHARE = 10

    def __init__(self, seconds: int) -> None:
        self._seconds = seconds
        self._last = time.monotonic()
        self._took = 0.0

    def is_due(self) -> bool:
        """Returns whether the time has come."""
        wait = max(self._seconds, self._SHARE * self._took)
        return self._seconds > 0 and time.monotonic() - self._last >= wait

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Measures a checkpoint while it is written."""
        start = time.monotonic()
        yield
        self._last = time.monotonic()
        self._took = self._last - start
