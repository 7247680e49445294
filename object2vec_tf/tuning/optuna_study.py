"""Optuna's study: its SQLite storage, and how its sampler and pruner are set up."""

from __future__ import annotations

import logging
import os
import sqlite3
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import optuna
import sqlalchemy

from object2vec_tf.errors import UserError
from object2vec_tf.files.atomic import atomic_file

PRUNERS = ("median", "none")

_STUDY_NAME = "object2vec"
# How long a process waits, in seconds, while another one writes to the storage.
_LOCK_TIMEOUT_SECONDS = 60
# The pruner starts when this many trials are complete. It prunes a trial at the end of
# its third epoch (step 2) at the earliest.
_STARTUP_TRIALS = 5
_INTEGRITY_CHECK = "PRAGMA integrity_check"
# SQLite's messages about a disk without space, or with errors.
_DISK_FULL = ("disk is full", "disk I/O error")
_STORAGE_ERRORS = (
    optuna.exceptions.OptunaError,
    sqlalchemy.exc.SQLAlchemyError,
    sqlite3.Error,
)
# What reading a damaged storage raises, where SQLite itself finds no damage.
_DAMAGE_ERRORS = (
    *_STORAGE_ERRORS,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    AssertionError,
    RuntimeError,
)
_WARMUP_STEPS = 2


def create_storage(
    path: Path,
    direction: Literal["minimize", "maximize"],
    first_trial: Mapping[str, Any],
) -> None:
    """Creates the storage of a study atomically.

    The storage is an SQLite file: SQLite rolls back what a killed process was writing.
    A journal file would be left with an incomplete line.

    Args:
        path: The file to create.
        direction: minimize or maximize.
        first_trial: Hyperparameter values of the first trial, by name.

    Raises:
        UserError: The file cannot be written.
    """
    try:
        with atomic_file(path) as temporary, _open_storage(temporary) as storage:
            study = optuna.create_study(
                storage=storage, study_name=_STUDY_NAME, direction=direction
            )
            study.enqueue_trial(dict(first_trial))
    except _STORAGE_ERRORS as error:
        raise _unreadable(path, error) from error


@contextmanager
def open_study(path: Path, pruner: str) -> Iterator[optuna.Study]:
    """Yields the study in a storage, and closes the storage afterwards.

    Args:
        path: The storage.
        pruner: One of `PRUNERS`.

    Raises:
        UserError: The storage cannot be read, or written within the context.
    """
    with ExitStack() as stack:
        try:
            _check_integrity(path)
            storage = stack.enter_context(_open_storage(path))
            study = optuna.load_study(
                storage=storage, study_name=_STUDY_NAME, pruner=_make_pruner(pruner)
            )
            study.get_trials(deepcopy=False)
        except _DAMAGE_ERRORS as error:
            raise _unreadable(path, error) from error
        try:
            yield study
        except _STORAGE_ERRORS as error:
            raise _unreadable(path, error) from error


def _check_integrity(path: Path) -> None:
    """Checks the structure of an SQLite file.

    Raises:
        sqlite3.DatabaseError: It is damaged.
    """
    # The default mode would create a missing file.
    uri = f"{path.absolute().as_uri()}?mode=rw"
    with closing(
        sqlite3.connect(uri, timeout=_LOCK_TIMEOUT_SECONDS, uri=True)
    ) as connection:
        problems = [str(row[0]) for row in connection.execute(_INTEGRITY_CHECK)]
    if problems != ["ok"]:
        raise sqlite3.DatabaseError(problems[0])


def _unreadable(path: Path, error: Exception) -> UserError:
    """Returns the error for a storage that cannot be read or written."""
    reason = str(error.__cause__ or error).partition("\n")[0].rstrip(".")
    if any(text in reason for text in _DISK_FULL):
        return UserError(
            f"{path}: cannot be written: {reason}. Free disk space. The same command "
            "resumes the study."
        )
    return UserError(
        f"{path}: the study's storage cannot be read: {reason}. Restore the file, or "
        "give --overwrite to start the study again."
    )


def seed_sampler(study: optuna.Study, seed: int, number: int) -> None:
    """Gives a study the sampler of one trial.

    The values drawn for a trial depend only on the seed, the trial's number and the
    trials before it. A study that is killed and resumed therefore draws the same values
    as one that is not.

    Args:
        study: The study.
        seed: The study's seed.
        number: The trial's number.
    """
    state = np.random.SeedSequence([seed, number]).generate_state(1)
    with warnings.catch_warnings():
        # Optuna 4 marks constant_liar as experimental. It keeps processes from drawing
        # the same values.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.sampler = optuna.samplers.TPESampler(
            seed=int(state[0]), multivariate=False, constant_liar=True
        )


@contextmanager
def _open_storage(path: Path) -> Iterator[optuna.storages.RDBStorage]:
    """Yields a storage; afterwards all its connections to the file are closed."""
    optuna.logging.set_verbosity(logging.WARNING)
    # The URL only names the file: `connect` opens it. It has to be UTF-8.
    name = os.fsencode(path).decode(errors="backslashreplace")
    url = sqlalchemy.URL.create("sqlite", database=name)
    with ExitStack() as connections:

        def connect() -> sqlite3.Connection:
            # The arguments are those of SQLAlchemy's own dialect for a file.
            connection = sqlite3.connect(
                path.absolute(), timeout=_LOCK_TIMEOUT_SECONDS, check_same_thread=False
            )
            # Disposing of the engine is not enough: where the file is damaged, the
            # constructor of RDBStorage raises an error before it returns an engine, and
            # SQLAlchemy leaves the connection open.
            return connections.enter_context(closing(connection))

        storage = optuna.storages.RDBStorage(
            url.render_as_string(hide_password=False),
            engine_kwargs={"creator": connect},
        )
        try:
            yield storage
        finally:
            storage.remove_session()
            storage.engine.dispose()


def _make_pruner(name: str) -> optuna.pruners.BasePruner:
    if name == "none":
        return optuna.pruners.NopPruner()
    return optuna.pruners.MedianPruner(_STARTUP_TRIALS, _WARMUP_STEPS)
