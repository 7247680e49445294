"""The run directory: the files of a training run."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from object2vec_tf.errors import RunDirectoryError
from object2vec_tf.files.atomic import remove, write_atomic
from object2vec_tf.files.locks import locked
from object2vec_tf.files.mirror import Mirror
from object2vec_tf.files.sealed_json import read_sealed, sealed_text
from object2vec_tf.files.writable import report_unwritable
from object2vec_tf.hyperparameters import FORMER_VALUES, Hyperparameters, defaults
from object2vec_tf.runs.identity import differences
from object2vec_tf.runs.result_files import RESTORE, Record, ResultFiles
from object2vec_tf.tables.outside_tables import TABLES

# Glob patterns of the checkpoints of an epoch and of a batch within an epoch.
_EPOCH = "epoch-" + 4 * "[0-9]"
CHECKPOINT_NAMES = (_EPOCH, f"{_EPOCH}-batch-" + 9 * "[0-9]")
# Glob patterns of the models of the best epochs that checkpoints refer to: files, and
# directories of sharded token tables.
BEST_MODELS = (f"best-{_EPOCH}.keras", f"best-{_EPOCH}")
# The TensorBoard runs in the log directory.
LOG_NAMES = ("train", "validation", "final")
# Glob patterns of the Projector's files in the log directory.
PROJECTOR_FILES = ("final/*.tsv", "final/projector_config.pbtxt")

# The part of metrics.json that marks an interrupted run, which can be resumed.
STOPPED = {"stopped": "resumable", "resumable": True}
# The value of "stopped" in metrics.json of a run that trained all of its epochs.
ALL_EPOCHS = "all epochs done"


@dataclasses.dataclass
class RunDirectory:
    """The files of one run. Each is written atomically.

    Attributes:
        path: The directory (``model_dir``), or the local copy of a remote one.
        mirror: Uploads the files of a remote directory; None for a local one.
    """

    path: Path
    mirror: Mirror | None = None

    @property
    def hyperparameters(self) -> Path:
        """All effective hyperparameters, with their types."""
        return self.path / "hyperparameters.json"

    @property
    def metrics(self) -> Path:
        """The results. Written last, when the run finishes or is interrupted."""
        return self._results.metrics

    @property
    def history(self) -> Path:
        """The metrics of each epoch, one line per epoch."""
        return self._results.history

    @property
    def _results(self) -> ResultFiles:
        return ResultFiles(self.path)

    @property
    def model(self) -> Path:
        """The model of the best epoch."""
        return self.path / "model.keras"

    @property
    def tables(self) -> Path:
        """The token tables of the model, if they are not in its file."""
        return self.path / TABLES

    @property
    def checkpoints(self) -> Path:
        """The checkpoints from which an interrupted run resumes."""
        return self.path / "checkpoints"

    @property
    def tensorboard(self) -> Path:
        """The TensorBoard logs."""
        return self.path / "tensorboard"

    @property
    def export(self) -> Path:
        """The default directory of the SavedModel."""
        return self.path / "export"

    @property
    def report(self) -> Path:
        """The report as a web page."""
        return self.path / "report.html"

    @property
    def card(self) -> Path:
        """The report as a model card."""
        return self.path / "report.md"

    @property
    def cache(self) -> Path:
        """The default directory of the cache of converted channels."""
        return self.path / "cache"

    @property
    def initial_model(self) -> Path:
        """What was taken from the initial model, and its digest."""
        return self.checkpoints / "initial_model.json"

    @property
    def _identity(self) -> Path:
        return self.checkpoints / "run.json"

    def is_started(self) -> bool:
        """Returns whether a run, finished or not, belongs to the directory."""
        return self._identity.exists() or self.metrics.exists()

    @contextmanager
    def claimed(self, identity: Mapping[str, Any], overwrite: bool) -> Iterator[None]:
        """Locks the directory for this run while the context lasts.

        Args:
            identity: The settings, seed and data that identify the run; see
                `run_identity`.
            overwrite: Whether to remove the files of an earlier run first. Exported
                versions stay: a server may be reading them.

        Raises:
            RunDirectoryError: The directory contains another run, another process uses
                it, or it cannot be written.
        """
        with self._locked():
            if overwrite:
                self._clear()
            conflicts = self._conflicts(identity)
            if conflicts:
                raise RunDirectoryError(
                    f"{self.path}: contains another run, which differs in:\n  "
                    + "\n  ".join(conflicts)
                    + "\nGive another --model_dir, or --overwrite to start again."
                )
            if self._starts_or_continues(identity):
                write_atomic(self._identity, sealed_text(identity))
            if self.mirror is not None:
                self.mirror.claim()
            yield

    def upload(self) -> None:
        """Starts to upload what changed in the directory, if it is remote.

        Raises:
            RunDirectoryError: A run on another machine has taken over the directory.
        """
        if self.mirror is not None:
            self.mirror.push()

    def former_values(self) -> dict[str, Any]:
        """Returns the hyperparameters that are newer than the run in the directory.

        Returns:
            Their values in that run, by name, where these are not the defaults; nothing
            without a run.
        """
        if not self._identity.exists():
            return {}
        saved = self._read_identity()
        return {
            name: value
            for name, value in FORMER_VALUES.items()
            if name not in saved and value != defaults()[name]
        }

    def saved_epochs(self) -> int | None:
        """Returns the number of epochs of the run in the directory, if there is one.

        Raises:
            RunDirectoryError: Its identity is damaged.
        """
        if not self._identity.exists():
            return None
        return int(self._read_identity().get("epochs", 0))

    def _read_identity(self) -> Record:
        """Returns the identity of the run in the directory.

        Raises:
            RunDirectoryError: It is damaged.
        """
        identity = read_sealed(self._identity, RESTORE, error_class=RunDirectoryError)
        epochs = identity.get("epochs", 0)
        if type(epochs) is not int:
            raise RunDirectoryError(
                f"{self._identity}: is damaged: epochs: expected an integer, got "
                f"{epochs!r:.40}. {RESTORE}"
            )
        return identity

    def _starts_or_continues(self, identity: Mapping[str, Any]) -> bool:
        """Returns whether a run has epochs to train.

        Raises:
            RunDirectoryError: It continues a finished run whose checkpoints are gone.
        """
        if not self._identity.exists():
            return True
        if self.results(int(identity.get("epochs", 0))) is not None:
            return False
        if self.results() is not None and not self.has_checkpoint():
            raise RunDirectoryError(
                f"{self.checkpoints}: expected a checkpoint from which this finished "
                "run continues with more epochs, found none. Give --initial_model="
                f"{self.path} with another --model_dir, or --overwrite to start again."
            )
        return True

    def has_checkpoint(self) -> bool:
        """Returns whether there is a checkpoint."""
        found = (self.checkpoints.glob(name) for name in CHECKPOINT_NAMES)
        return any(path.is_dir() for paths in found for path in paths)

    def download(self, *, is_chief: bool) -> None:
        """Downloads the files of a remote directory, unless they are here already.

        Args:
            is_chief: Whether this process writes the files of the run.

        Raises:
            RunDirectoryError: A run uses the directory.
            UserError: The remote directory cannot be read or written.
        """
        if self.mirror is not None:
            if is_chief:
                self.mirror.open()
            else:
                self.mirror.use_without_remote()
            self.path = self.mirror.path

    def make(self) -> None:
        """Creates the directory where it is missing.

        Raises:
            RunDirectoryError: It cannot be created, or is an exported model.
        """
        if (self.path / "saved_model.pb").exists():
            raise RunDirectoryError(
                f"{self.path}: expected a run directory, got an exported model. Give "
                "another --model_dir."
            )
        with report_unwritable(self.path, "model_dir", RunDirectoryError):
            self.path.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with ExitStack() as stack:
            with report_unwritable(self.path, "model_dir", RunDirectoryError):
                for directory in (self.checkpoints, self.tensorboard):
                    directory.mkdir(parents=True, exist_ok=True)
                try:
                    stack.enter_context(locked(self.checkpoints / "lock", timeout=0))
                except BlockingIOError as error:
                    raise RunDirectoryError(
                        f"{self.path}: another run is using this model_dir. Wait for "
                        "it to end, or choose another --model_dir."
                    ) from error
            yield

    def _conflicts(self, identity: Mapping[str, Any]) -> list[str]:
        """Returns the differences from the run that is in the directory.

        More epochs are none: they continue the run.
        """
        if self._identity.exists():
            former = {k: v for k, v in FORMER_VALUES.items() if k in identity}
            saved = {**former, **self._read_identity()}
            if saved.get("epochs", 0) < identity.get("epochs", 0):
                saved["epochs"] = identity["epochs"]
            return differences(saved, identity)
        return [
            f"{file.name}: belongs to a run without "
            f"{self._identity.relative_to(self.path)}"
            for file in (self.model, self.metrics, self.history)
            if file.exists() and not self._is_of_unread_run(file)
        ]

    def _is_of_unread_run(self, file: Path) -> bool:
        """Returns whether `write_unread` wrote the file."""
        record = self.read_metrics() if file == self.metrics else None
        return record is not None and bool(record.get("resumable"))

    def write_unread(self, seconds: float) -> None:
        """Writes the metrics.json of a run interrupted while it reads its channels.

        The directory may contain another run, whose metrics.json stays as it is. If
        another process is using the directory, nothing is written.

        Args:
            seconds: The run's duration.
        """
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        with (
            suppress(BlockingIOError),
            locked(self.checkpoints / "lock", timeout=0),
        ):
            if not self.metrics.exists():
                self.write_metrics({**STOPPED, "seconds": seconds})

    def delete_checkpoints(self) -> None:
        """Deletes the checkpoints, and the models that they refer to."""
        for pattern in CHECKPOINT_NAMES:
            for checkpoint in self.checkpoints.glob(pattern):
                remove(checkpoint)
        for pattern in BEST_MODELS:
            for model in self.checkpoints.glob(pattern):
                remove(model)

    def _clear(self) -> None:
        """Removes the files that a run wrote, and nothing else."""
        self._results.remove()
        for path in (self.model, self.hyperparameters, self.report, self.card):
            path.unlink(missing_ok=True)
        self._identity.unlink(missing_ok=True)
        self.initial_model.unlink(missing_ok=True)
        remove(self.tables)
        self.delete_checkpoints()
        for name in LOG_NAMES:
            shutil.rmtree(self.tensorboard / name, ignore_errors=True)

    def results(self, epochs: int = 0) -> dict[str, Any] | None:
        """Returns the metrics of a finished run, or None if no run has finished.

        A run that early stopping ended is finished, however many epochs it could have
        trained.

        Args:
            epochs: Number of epochs after which a run is finished.

        Raises:
            RunDirectoryError: metrics.json is damaged.
        """
        results = self.read_metrics()
        if results is None or results.get("resumable"):
            return None
        has_more = results["stopped"] == ALL_EPOCHS and results["epochs_run"] < epochs
        return None if has_more else results

    def read_initial_model(self) -> Record | None:
        """Returns the record of the initial model of a run that has a checkpoint.

        Raises:
            RunDirectoryError: The record is damaged.
        """
        if not self.has_checkpoint() or not self.initial_model.exists():
            return None
        return read_sealed(
            self.initial_model,
            RESTORE,
            required=("path", "digest"),
            error_class=RunDirectoryError,
        )

    def write_initial_model(self, record: Mapping[str, Any]) -> None:
        """Writes the record of the initial model."""
        write_atomic(self.initial_model, sealed_text(record))

    def write_hyperparameters(self, hyperparameters: Hyperparameters) -> None:
        """Writes hyperparameters.json."""
        write_atomic(self.hyperparameters, hyperparameters.to_json())

    def write_history(self, history: Sequence[Record]) -> None:
        """Writes history.jsonl."""
        self._results.write_history(history)

    def read_history(self) -> list[Record]:
        """Returns the record of each epoch from history.jsonl.

        Raises:
            RunDirectoryError: The file is missing or damaged.
        """
        return self._results.read_history()

    def read_metrics(self) -> Record | None:
        """Returns the content of metrics.json, of a run that is finished or not.

        Raises:
            RunDirectoryError: It is damaged.
        """
        return self._results.read_metrics()

    def write_metrics(self, metrics: Mapping[str, Any]) -> None:
        """Writes metrics.json, of a run that is finished or marked as resumable."""
        self._results.write_metrics(metrics)
