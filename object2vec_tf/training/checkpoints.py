"""Checkpoints: everything that a run needs to resume with the same results."""

from __future__ import annotations

import dataclasses
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from object2vec_tf.training.checkpoint_files import (
    best_model,
    best_model_path,
    best_models,
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
        path = self.directory / checkpoint_name(epochs, batches)
        with reported_unwritten(path):
            remove(path)
            with atomic_directory(path) as temporary:
                write_variables(temporary, state_variables(self.model))
                write_state(temporary, state)
        self.delete_old(path)

    def delete_old(self, path: Path) -> None:
        """Deletes old checkpoints, and models that no checkpoint refers to.

        Args:
            path: The checkpoint that was just written.
        """
        # Damaged ones may be newer, because the run resumed from one before them.
        paths = checkpoint_paths(self.directory)
        intact = [other for other in paths if other not in self._damaged - {path}]
        for old in {*paths} - {*intact[-_KEPT:]}:
            remove(old)
        self._damaged.clear()
        self._delete_former_best()

    def _delete_former_best(self) -> None:
        """Deletes the models that no checkpoint refers to."""
        files = set(best_models(self.directory))
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
        self.delete_incomplete()
        paths = checkpoint_paths(self.directory)
        for path in reversed(paths):
            try:
                state = self._restore_from(path, best_file, monitored_loss)
            except MemoryError:  # a checkpoint that is skipped is deleted later
                raise
            except Exception as error:  # TensorFlow raises errors of many classes
                self.skip(path, first_line(path, error))
            else:
                return state
        if paths:
            raise all_damaged(self.directory)
        return None

    def delete_incomplete(self) -> None:
        """Deletes what a process left that was killed while it wrote."""
        for pattern in (".epoch-*", ".best-epoch-*"):
            for incomplete in self.directory.glob(pattern):
                remove(incomplete)

    def skip(self, path: Path, reason: str) -> None:
        """Warns of a damaged checkpoint, which the next `save` deletes."""
        warnings.warn(f"{path}: damaged checkpoint skipped: {reason}", stacklevel=3)
        self._damaged.add(path)

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
        read_variables(path, state_variables(self.model))
        if best_file and (best := best_model(path, state)):
            copy_by_link(best, best_file)
        state.pop(FILES, None)
        return state


def checkpoint_name(epochs: int, batches: int = 0) -> str:
    """Returns the name of a checkpoint.

    Args:
        epochs: Number of finished epochs.
        batches: Number of finished batches of the next epoch.
    """
    return f"epoch-{epochs:04d}" + (f"-batch-{batches:09d}" if batches else "")


def state_variables(
    model: keras.Model, is_left_out: Callable[[Any], bool] = lambda variable: False
) -> dict[str, list[tf.Variable]]:
    """Returns the variables that TensorFlow writes to a checkpoint.

    Args:
        model: The compiled model.
        is_left_out: Whether a variable of the model or of its optimizer is written by
            other means.

    Returns:
        The model's weights and random state, and the optimizer's variables.
    """
    metrics = {id(variable) for variable in model.metrics_variables}
    own = [variable for variable in model.variables if id(variable) not in metrics]
    groups = {"model": own, "optimizer": model.optimizer.variables}
    return {
        name: [each.value for each in group if not is_left_out(each)]
        for name, group in groups.items()
    }


def write_variables(
    checkpoint: Path, variables: Mapping[str, Sequence[tf.Variable]]
) -> None:
    """Writes variables in TensorFlow's format.

    Args:
        checkpoint: The directory of the checkpoint.
        variables: The variables, in groups.

    Raises:
        OSError: They cannot be written.
    """
    try:
        with tensorflow_path(checkpoint / "variables") as prefix:
            tf.train.Checkpoint(**_lists(variables)).write(prefix)
    except tf.errors.OpError as error:
        raise OSError(str(error).splitlines()[0]) from error


def read_variables(
    checkpoint: Path, variables: Mapping[str, Sequence[tf.Variable]]
) -> None:
    """Reads variables that `write_variables` wrote.

    Args:
        checkpoint: The directory of the checkpoint.
        variables: The variables, in the same groups.

    Raises:
        Exception: A file is damaged, or has other variables.
    """
    with tensorflow_path(checkpoint / "variables") as prefix:
        tf.train.Checkpoint(**_lists(variables)).read(prefix).assert_consumed()


def _lists(variables: Mapping[str, Sequence[tf.Variable]]) -> dict[str, list[Any]]:
    return {name: list(group) for name, group in variables.items()}


@contextmanager
def reported_unwritten(path: Path) -> Iterator[None]:
    """Turns errors of writing a checkpoint into errors of the run.

    Args:
        path: The checkpoint.

    Raises:
        RunDirectoryError: It cannot be written; earlier checkpoints are unchanged.
    """
    try:
        yield
    except OSError as error:
        raise RunDirectoryError(
            f"{path}: the checkpoint cannot be written: {error.strerror or error}. Fix "
            "the cause and start the run again: it resumes from the checkpoint before."
        ) from error


def first_line(path: Path, error: Exception) -> str:
    """Returns the first line of an error about a checkpoint, without its path."""
    reason = str(error).removeprefix(f"{path}/") or type(error).__name__
    return reason.splitlines()[0]


def all_damaged(directory: Path) -> RunDirectoryError:
    """Returns the error of a run without an intact checkpoint.

    Args:
        directory: The directory of the checkpoints.
    """
    return RunDirectoryError(
        f"{directory}: all checkpoints are damaged. Restore one of them, or use "
        "--overwrite to start from scratch."
    )


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
