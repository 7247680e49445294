"""The run directory: what a run leaves behind, and whose it is."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from object2vec_tf.errors import RunDirectoryError
from object2vec_tf.files.atomic import write_atomic
from object2vec_tf.files.locks import locked
from object2vec_tf.files.writable import report_unwritable
from object2vec_tf.hyperparameters import Hyperparameters

Record = dict[str, Any]

_EPOCH = "epoch-" + 4 * "[0-9]"
CHECKPOINT_NAMES = (_EPOCH, f"{_EPOCH}-batch-" + 9 * "[0-9]")
# A run of TensorBoard each, below the log directory.
LOG_NAMES = ("train", "validation", "final")
# What the Projector is shown, in the log directory.
PROJECTOR_FILES = ("final/*.tsv", "final/projector_config.pbtxt")

# What metrics.json tells of a run that was told to stop, and can be gone on with.
STOPPED = {"stopped": "resumable", "resumable": True}
# What is shown of a complete run.
_RESULTS = (
    "epochs_run",
    "best_epoch",
    "stopped",
    "train",
    "rows",
    "seconds",
    "records_per_second",
)


@dataclasses.dataclass
class RunDirectory:
    """The files of one run, each written whole or not at all.

    Attributes:
        path: The directory (``model_dir``).
    """

    path: Path

    @property
    def hyperparameters(self) -> Path:
        """Every effective value, typed."""
        return self.path / "hyperparameters.json"

    @property
    def metrics(self) -> Path:
        """The results; written last, and by a run that was told to stop."""
        return self.path / "metrics.json"

    @property
    def history(self) -> Path:
        """A line for each epoch."""
        return self.path / "history.jsonl"

    @property
    def model(self) -> Path:
        """The model of the best epoch."""
        return self.path / "model.keras"

    @property
    def checkpoints(self) -> Path:
        """What a killed run continues from."""
        return self.path / "checkpoints"

    @property
    def tensorboard(self) -> Path:
        """The logs TensorBoard reads."""
        return self.path / "tensorboard"

    @property
    def export(self) -> Path:
        """Where the SavedModel goes by default."""
        return self.path / "export"

    @property
    def report(self) -> Path:
        """The page that tells of the run."""
        return self.path / "report.html"

    @property
    def card(self) -> Path:
        """The same as a model card."""
        return self.path / "report.md"

    @property
    def cache(self) -> Path:
        """Where what was read of the channels is kept by default."""
        return self.path / "cache"

    @property
    def _identity(self) -> Path:
        return self.checkpoints / "run.json"

    @contextmanager
    def claimed(self, identity: Mapping[str, Any], overwrite: bool) -> Iterator[None]:
        """Makes the directory this run's own while the context lasts.

        Args:
            identity: What makes the run this one: settings, seed, data.
            overwrite: Whether another run's files may be removed. Exported versions
                stay: a server may be reading them.

        Raises:
            RunDirectoryError: Another run's files are here, another process is at work
                here, or the directory cannot be written.
        """
        with self._locked():
            if overwrite:
                self._clear()
            differences = self._differences(identity)
            if differences:
                raise RunDirectoryError(
                    f"{self.path}: holds another run, which differs in:\n  "
                    + "\n  ".join(differences)
                    + "\ngive another --model_dir, or --overwrite to start afresh"
                )
            write_atomic(self._identity, json.dumps(identity, indent=2) + "\n")
            yield

    def make(self) -> None:
        """Makes the directory itself.

        Raises:
            RunDirectoryError: It cannot be made.
        """
        with report_unwritable(self.path, "model_dir", RunDirectoryError):
            self.path.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with ExitStack() as stack:
            with report_unwritable(self.path, "model_dir", RunDirectoryError):
                for needed in (self.checkpoints, self.tensorboard):
                    needed.mkdir(parents=True, exist_ok=True)
                try:
                    stack.enter_context(locked(self.checkpoints / "lock", timeout=0))
                except BlockingIOError as error:
                    raise RunDirectoryError(
                        f"{self.path}: another run is using this model_dir. Wait for "
                        "it to end, or choose another --model_dir."
                    ) from error
            yield

    def _differences(self, identity: Mapping[str, Any]) -> list[str]:
        if not self._identity.exists():
            found = [
                entry.name
                for entry in (self.model, self.metrics, self.history)
                if entry.exists() and not self._is_left_by_reading(entry)
            ]
            return [f"{name}: of a run that is not known here" for name in found]
        return differences(_read_record(self._identity), identity)

    def _is_left_by_reading(self, entry: Path) -> bool:
        """Whether a run left it that was told to stop before it had the directory."""
        return entry == self.metrics and bool(_read_record(entry).get("resumable"))

    def write_unread(self, seconds: float) -> None:
        """Tells in metrics.json, where there is none, of a run stopped while reading.

        The directory may be another run's: nothing else is looked at, or changed.
        """
        if not self.metrics.exists():
            self.path.mkdir(parents=True, exist_ok=True)
            self.write_metrics({**STOPPED, "seconds": seconds})

    def _clear(self) -> None:
        for path in (
            *(self.metrics, self.model, self.history, self.hyperparameters),
            *(self.report, self.card),
        ):
            path.unlink(missing_ok=True)
        self._identity.unlink(missing_ok=True)
        # What a run wrote and nothing else: the directory may hold files of others.
        for names in CHECKPOINT_NAMES:
            for entry in self.checkpoints.glob(names):
                shutil.rmtree(entry)
        for name in LOG_NAMES:
            shutil.rmtree(self.tensorboard / name, ignore_errors=True)

    def results(self) -> dict[str, Any] | None:
        """Returns the metrics of a complete run, None where it is not complete."""
        if not self.metrics.exists():
            return None
        held = _read_record(self.metrics)
        if held.get("resumable"):
            return None
        return _read_record(self.metrics, _RESULTS)

    def write_hyperparameters(self, hyperparameters: Hyperparameters) -> None:
        """Writes hyperparameters.json."""
        write_atomic(self.hyperparameters, hyperparameters.to_json())

    def write_history(self, history: Sequence[Record]) -> None:
        """Writes history.jsonl."""
        lines = "".join(json.dumps(record) + "\n" for record in history)
        write_atomic(self.history, lines)

    def read_history(self) -> list[Record]:
        """Returns the lines of history.jsonl."""
        with _told_if_damaged(self.history):
            lines = self.history.read_text(encoding="utf-8").splitlines()
            return [json.loads(line) for line in lines]

    def write_metrics(self, metrics: Mapping[str, Any]) -> None:
        """Writes metrics.json, which completes the run."""
        write_atomic(self.metrics, json.dumps(metrics, indent=2) + "\n")


def run_identity(
    hyperparameters: Hyperparameters,
    seed: int,
    fingerprints: Mapping[str, str],
    words: Mapping[str, str],
) -> dict[str, Any]:
    """Returns what two runs must share to be the same run, by name."""
    return {
        **hyperparameters.to_dict(),
        "seed": seed,
        **{f"data of {name}": value for name, value in fingerprints.items()},
        **words,
    }


def differences(held: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Returns what differs between what a directory holds and what is asked for."""
    return [
        f"{name}: {_shown(held.get(name))} there, {_shown(now.get(name))} now"
        for name in sorted({*held, *now})
        if held.get(name) != now.get(name)
    ]


@contextmanager
def _told_if_damaged(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, RecursionError) as error:
        raise RunDirectoryError(
            f"{path}: cannot be read: {error}; put it back, or give --overwrite to "
            "start afresh"
        ) from error


def _read_record(path: Path, needed: Collection[str] = ()) -> Record:
    with _told_if_damaged(path):
        record = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(record, dict) or not record.keys() >= set(needed):
            raise ValueError("it is JSON, but not what a run writes there")
        return record


def _shown(value: object) -> str:
    return "nothing" if value is None else repr(value)
