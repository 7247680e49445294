"""Checkpoints: all that a run needs to go on to the same end."""

from __future__ import annotations

import dataclasses
import json
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from object2vec_tf.errors import RunDirectoryError
from object2vec_tf.whole_files import whole_directory

CHECKPOINT_NAMES = "epoch-[0-9][0-9][0-9][0-9]"
_KEPT = 2
# What TensorFlow raises for files that are missing, cut short or of another model.
_UNREADABLE = (OSError, ValueError, IndexError, AssertionError, tf.errors.OpError)


@dataclasses.dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of a run, a directory for each epoch.

    A checkpoint holds the model's weights, the state of its random numbers, the
    optimizer's slots and step, and a JSON state. It is there whole or not at all.

    Attributes:
        directory: Where they are.
        model: The compiled model they are of.
    """

    directory: Path
    model: keras.Model

    def save(self, epochs: int, state: Mapping[str, Any]) -> None:
        """Saves the model as it is after so many epochs, and forgets old ones.

        Args:
            epochs: Number of epochs done.
            state: What else to remember; goes through JSON.
        """
        path = self.directory / f"epoch-{epochs:04d}"
        if path.exists():
            shutil.rmtree(path)
        with whole_directory(path) as temporary:
            self._variables().write(str(temporary / "variables"))
            (temporary / "state.json").write_text(json.dumps(state), encoding="utf-8")
        for old in self._found()[:-_KEPT]:
            shutil.rmtree(old)

    def restore(self) -> dict[str, Any] | None:
        """Puts the model back to the newest checkpoint that can be read.

        Returns:
            The state saved with it, or None when there is no checkpoint.

        Raises:
            RunDirectoryError: There are checkpoints, and none can be read.
        """
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
        return sorted(self.directory.glob(CHECKPOINT_NAMES))

    def _variables(self) -> tf.train.Checkpoint:
        metrics = {id(variable) for variable in self.model.metrics_variables}
        own = [v.value for v in self.model.variables if id(v) not in metrics]
        slots = [v.value for v in self.model.optimizer.variables]
        return tf.train.Checkpoint(model=own, optimizer=slots)
