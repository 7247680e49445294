"""The directory of a study: the runs of its trials, their results, and the best run.

study.json        the study's identity: settings, ranges, data
study.db          Optuna's storage: the trials and their epochs
trials.jsonl      one line per trial
trials/0007/      the run directory of a trial; only the best trial keeps its model
best/             the complete run directory of the best trial
tensorboard/      the columns of TensorBoard's HParams tab
cache/            the converted channels
"""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from object2vec_tf.errors import RunDirectoryError
from object2vec_tf.files.atomic import atomic_directory, write_atomic
from object2vec_tf.files.locks import locked
from object2vec_tf.files.sealed_json import read_sealed, sealed_text
from object2vec_tf.files.writable import report_unwritable
from object2vec_tf.runs.identity import differences
from object2vec_tf.runs.result_files import RESTORE, Record
from object2vec_tf.runs.run_directory import PROJECTOR_FILES, RunDirectory

_TRIAL_NAMES = 4 * "[0-9]"
# The lock of a killed process is released when its worker processes end. They end by
# themselves soon after it.
_LOCK_SECONDS = 10.0


@dataclasses.dataclass(frozen=True)
class StudyDirectory:
    """The files of a study, each of which is written atomically.

    Attributes:
        path: The directory (``model_dir``).
    """

    path: Path

    @property
    def storage(self) -> Path:
        """Optuna's storage."""
        return self.path / "study.db"

    @property
    def summary(self) -> Path:
        """The records of all trials, one line each."""
        return self.path / "trials.jsonl"

    @property
    def best(self) -> Path:
        """The run of the best trial."""
        return self.path / "best"

    @property
    def tensorboard(self) -> Path:
        """TensorBoard's configuration of the whole study."""
        return self.path / "tensorboard"

    @property
    def cache(self) -> Path:
        """The default directory of the converted channels."""
        return self.path / "cache"

    @property
    def _identity(self) -> Path:
        return self.path / "study.json"

    @property
    def _trials(self) -> Path:
        return self.path / "trials"

    def trial(self, number: int) -> RunDirectory:
        """Returns the run directory of a trial."""
        return RunDirectory(self._trials / f"{number:04d}")

    @contextmanager
    def claimed(self) -> Iterator[int]:
        """Locks the directory for this study while the context lasts.

        Yields:
            The file descriptor of the lock. A process that inherits it keeps the
            directory locked.

        Raises:
            RunDirectoryError: Another study uses the directory, or it cannot be
                written.
        """
        with ExitStack() as stack:
            with report_unwritable(self.path, "model_dir", RunDirectoryError):
                self._trials.mkdir(parents=True, exist_ok=True)
                lock = locked(self.path / ".lock", timeout=_LOCK_SECONDS)
                try:
                    descriptor = stack.enter_context(lock)
                except BlockingIOError as error:
                    raise RunDirectoryError(
                        f"{self.path}: another study uses this model_dir. Wait for "
                        "it to end, or give another --model_dir."
                    ) from error
            yield descriptor

    def prepare(self, identity: Mapping[str, Any], overwrite: bool) -> None:
        """Prepares the directory for a study: a new one, or one that is resumed.

        Args:
            identity: The settings, ranges and data that identify the study.
            overwrite: Whether another study's files may be removed.

        Raises:
            RunDirectoryError: The directory contains another study, or a run.
        """
        if overwrite and self._identity.exists():
            self._clear()
        conflicts = self._conflicts(identity)
        if conflicts:
            raise RunDirectoryError(
                f"{self.path}: contains another study, which differs in:\n  "
                + "\n  ".join(conflicts)
                + "\nGive another --model_dir"
                + ("." if overwrite else ", or --overwrite to start again.")
            )
        write_atomic(self._identity, sealed_text(identity))

    def _conflicts(self, identity: Mapping[str, Any]) -> list[str]:
        """Returns the differences from the study that is in the directory."""
        if self._identity.exists():
            saved = read_sealed(self._identity, RESTORE, error_class=RunDirectoryError)
            return differences(saved, identity)
        run = RunDirectory(self.path)
        if any(entry.exists() for entry in (run.metrics, run.model, run.history)):
            raise RunDirectoryError(
                f"{self.path}: contains a run of fit. Give another --model_dir."
            )
        return [
            f"{entry.name}: belongs to a study without {self._identity.name}"
            for entry in (self.storage, self.best)
            if entry.exists()
        ]

    def _clear(self) -> None:
        """Removes the files that a study wrote, and nothing else."""
        for file in (self.storage, self.summary):
            file.unlink(missing_ok=True)
        for directory in (*self._trials.glob(_TRIAL_NAMES), self.best):
            shutil.rmtree(directory, ignore_errors=True)
        for events in self.tensorboard.glob("events.out.tfevents.*"):
            events.unlink()
        self._identity.unlink(missing_ok=True)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Makes the study's other processes wait while the context lasts."""
        with locked(self._trials / ".lock"):
            yield

    def write_summary(self, records: Sequence[Record]) -> None:
        """Writes trials.jsonl."""
        lines = "".join(json.dumps(record) + "\n" for record in records)
        write_atomic(self.summary, lines)

    def drop_model(self, number: int) -> None:
        """Removes the model, export and checkpoints of a trial that is not the best.

        Its settings, metrics, history, report and logs stay.
        """
        run = self.trial(number)
        self.drop_checkpoints(number)
        run.model.unlink(missing_ok=True)
        shutil.rmtree(run.export, ignore_errors=True)
        for pattern in PROJECTOR_FILES:
            for entry in run.tensorboard.glob(pattern):
                entry.unlink()

    def drop_checkpoints(self, number: int) -> None:
        """Removes the checkpoints of a trial that has ended."""
        self.trial(number).delete_checkpoints()

    def best_results(self) -> Record:
        """Returns the results of the best run.

        Raises:
            RunDirectoryError: They are missing or damaged.
        """
        results = RunDirectory(self.best).results()
        if results is None:
            raise RunDirectoryError(
                f"{self.best}: expected a finished run, found none: the directory is "
                "half copied. Remove it: the same command makes it again."
            )
        return results

    def link_best(self, number: int) -> None:
        """Replaces ``best`` by hard links to all files of a trial's run."""
        run, best = self.trial(number), RunDirectory(self.best)
        if not run.metrics.exists():
            raise RunDirectoryError(
                f"{run.path}: expected the complete run of the best trial, found no "
                f"{run.metrics.name}: the directory is half copied. Restore it, or "
                "give --overwrite to start the study again."
            )
        new, old = self.path / ".best.new", self.path / ".best.old"
        for leftover in (new, old):  # of a process that was killed here
            shutil.rmtree(leftover, ignore_errors=True)
        if _read_if_file(best.metrics) == _read_if_file(run.metrics):
            return
        with atomic_directory(new) as temporary:
            _copy(run.path, temporary)
        if self.best.exists():
            self.best.rename(old)
        new.rename(self.best)
        shutil.rmtree(old, ignore_errors=True)


def _read_if_file(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _copy(source: Path, destination: Path) -> None:
    """Copies a run by hard links.

    Raises:
        OSError: A file cannot be copied, for example since the disk is full.
    """
    try:
        shutil.copytree(
            source,
            destination,
            copy_function=_link,
            dirs_exist_ok=True,
            ignore=shutil.ignore_patterns("lock"),
        )
    except shutil.Error as error:
        _, path, reason = error.args[0][0]
        is_full = os.strerror(errno.ENOSPC) in reason
        code = errno.ENOSPC if is_full else errno.EIO
        raise OSError(code, os.strerror(code) if is_full else reason, path) from error


def _link(source: str, destination: str) -> None:
    try:
        os.link(source, destination)
    except OSError:  # the file system has no hard links
        shutil.copy2(source, destination)
