"""The directory of a study: its trials' runs, what is known of them, and the best.

study.json        what makes the study this one: settings, ranges, data
study.db          Optuna's storage: the trials and their epochs
trials.jsonl      a line for each trial
trials/0007/      the run directory of a trial
best/             the whole run of the best one
tensorboard/      which hyperparameters TensorBoard's HParams shows
cache/            what was read of the channels
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from object2vec_tf.errors import RunDirectoryError
from object2vec_tf.files.atomic import atomic_directory, write_atomic
from object2vec_tf.runs.run_directory import (
    CHECKPOINT_NAMES,
    PROJECTOR_FILES,
    Record,
    RunDirectory,
    differences,
)

_TRIAL_NAMES = 4 * "[0-9]"
# A process that was killed leaves its lock when its children are gone, which see to it.
_LOCK_SECONDS = 10.0


@dataclasses.dataclass(frozen=True)
class StudyDirectory:
    """The files of a study, each written whole or not at all.

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
        """A line for each trial."""
        return self.path / "trials.jsonl"

    @property
    def best(self) -> Path:
        """The run of the best trial."""
        return self.path / "best"

    @property
    def tensorboard(self) -> Path:
        """What TensorBoard is told of the study as a whole."""
        return self.path / "tensorboard"

    @property
    def cache(self) -> Path:
        """Where what was read of the channels is kept by default."""
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
        """Makes the directory this study's alone while the context lasts.

        Yields:
            The file descriptor that locks it: processes that inherit it keep it locked.

        Raises:
            RunDirectoryError: Another process is at work here, or the directory cannot
                be written.
        """
        try:
            self._trials.mkdir(parents=True, exist_ok=True)
            lock = (self.path / ".lock").open("a")
        except OSError as error:
            raise RunDirectoryError(
                f"{self.path}: model_dir cannot be written: {error.filename}: "
                f"{error.strerror}; mend it, or give another --model_dir"
            ) from error
        with lock:
            deadline = time.monotonic() + _LOCK_SECONDS
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError as error:
                    if time.monotonic() > deadline:
                        raise RunDirectoryError(
                            f"{self.path}: another study is at work in this model_dir; "
                            "wait for it, or give another --model_dir"
                        ) from error
                    time.sleep(0.1)
                else:
                    break
            yield lock.fileno()

    def take(self, identity: Mapping[str, Any], overwrite: bool) -> None:
        """Makes the directory that of a study, or finds that it is.

        Args:
            identity: What makes the study this one.
            overwrite: Whether another study's files may be removed.

        Raises:
            RunDirectoryError: It holds another study, or a run.
        """
        if overwrite and self._identity.exists():
            self._clear()
        found = self._found(identity)
        if found:
            raise RunDirectoryError(
                f"{self.path}: holds another study, which differs in:\n  "
                + "\n  ".join(found)
                + "\ngive another --model_dir"
                + ("" if overwrite else ", or --overwrite to start afresh")
            )
        write_atomic(self._identity, json.dumps(identity, indent=2) + "\n")

    def _found(self, identity: Mapping[str, Any]) -> list[str]:
        if self._identity.exists():
            try:
                held = json.loads(self._identity.read_text(encoding="utf-8"))
                return differences(dict(held), identity)
            except (OSError, ValueError, TypeError) as error:
                raise RunDirectoryError(
                    f"{self._identity}: cannot be read: {error}; put it back, or give "
                    "--overwrite to start afresh"
                ) from error
        run = RunDirectory(self.path)
        if any(entry.exists() for entry in (run.metrics, run.model, run.history)):
            raise RunDirectoryError(
                f"{self.path}: holds the run of a fit; give another --model_dir"
            )
        return [
            f"{entry.name}: of a study that is not known here"
            for entry in (self.storage, self.best)
            if entry.exists()
        ]

    def _clear(self) -> None:
        """Removes what a study wrote and nothing else."""
        for left in (self.storage, self.summary):
            left.unlink(missing_ok=True)
        for directory in (*self._trials.glob(_TRIAL_NAMES), self.best):
            shutil.rmtree(directory, ignore_errors=True)
        for events in self.tensorboard.glob("events.out.tfevents.*"):
            events.unlink()
        self._identity.unlink(missing_ok=True)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keeps the study's other processes waiting while the context lasts."""
        with (self._trials / ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def write_summary(self, records: Sequence[Record]) -> None:
        """Writes trials.jsonl."""
        lines = "".join(json.dumps(record) + "\n" for record in records)
        write_atomic(self.summary, lines)

    def slim(self, number: int) -> None:
        """Removes the model of a trial that cannot be the best; what it told stays."""
        run = self.trial(number)
        self.drop_checkpoints(number)
        run.model.unlink(missing_ok=True)
        shutil.rmtree(run.export, ignore_errors=True)
        for names in PROJECTOR_FILES:
            for entry in run.tensorboard.glob(names):
                entry.unlink()

    def drop_checkpoints(self, number: int) -> None:
        """Removes the checkpoints of a trial that has ended."""
        for names in CHECKPOINT_NAMES:
            for entry in self.trial(number).checkpoints.glob(names):
                shutil.rmtree(entry, ignore_errors=True)

    def put_best(self, number: int) -> None:
        """Makes ``best`` the whole run of a trial, by links to its files."""
        run, best = self.trial(number), RunDirectory(self.best)
        if _content(best.metrics) == _content(run.metrics):
            return
        new, old = self.path / ".best.new", self.path / ".best.old"
        for left in (new, old):
            shutil.rmtree(left, ignore_errors=True)
        with atomic_directory(new) as temporary:
            shutil.copytree(
                run.path,
                temporary,
                copy_function=_link,
                dirs_exist_ok=True,
                ignore=shutil.ignore_patterns("lock"),
            )
        if self.best.exists():
            self.best.rename(old)
        new.rename(self.best)
        shutil.rmtree(old, ignore_errors=True)


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _link(source: str, destination: str) -> None:
    try:
        os.link(source, destination)
    except OSError:  # a file system without links
        shutil.copy2(source, destination)
