"""Optuna's study: its storage, and how its sampler and pruner are seeded."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import optuna
import sqlalchemy

from object2vec_tf.errors import UserError
from object2vec_tf.files.atomic import atomic_file

PRUNERS = ("median", "none")

_NAME = "object2vec"
# Processes wait so long, in seconds, for one another to write.
_WAIT_SECONDS = 60
# Trials before the pruner has a median to go by, and epochs that each is given.
_TRIALS_UNPRUNED = 5
_EPOCHS_UNPRUNED = 2


def make_storage(
    path: Path, direction: Literal["minimize", "maximize"], first: Mapping[str, Any]
) -> None:
    """Makes a study's storage, whole or not at all.

    It is a SQLite file: what a killed process was writing is rolled back, where a
    journal file would be left with half a line.

    Args:
        path: Where it goes.
        direction: minimize or maximize.
        first: Values of the first trial, by name.
    """
    with atomic_file(path) as temporary, _opened(temporary) as storage:
        study = optuna.create_study(
            storage=storage, study_name=_NAME, direction=direction
        )
        study.enqueue_trial(dict(first))


@contextmanager
def opened_study(path: Path, pruner: str) -> Iterator[optuna.Study]:
    """Yields the study of a storage.

    Args:
        path: The storage.
        pruner: One of `PRUNERS`.

    Raises:
        UserError: It cannot be read.
    """
    with ExitStack() as opened:
        try:
            storage = opened.enter_context(_opened(path))
            study = optuna.load_study(
                storage=storage, study_name=_NAME, pruner=_pruner(pruner)
            )
        except (KeyError, sqlalchemy.exc.DatabaseError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(
                f"{path}: the study's storage cannot be read: {reason}; put it back, "
                "or give --overwrite to start afresh"
            ) from error
        yield study


def seed_sampler(study: optuna.Study, seed: int, number: int) -> None:
    """Gives a study the sampler of one trial.

    What is drawn for a trial depends on the seed, its number and the trials before it:
    a study that was killed and started again draws what it would have drawn.
    """
    state = np.random.SeedSequence([seed, number]).generate_state(1)
    with warnings.catch_warnings():
        # Optuna 4 calls constant_liar, which keeps processes apart, an experiment.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.sampler = optuna.samplers.TPESampler(
            seed=int(state[0]), multivariate=False, constant_liar=True
        )


@contextmanager
def _opened(path: Path) -> Iterator[optuna.storages.RDBStorage]:
    optuna.logging.set_verbosity(logging.WARNING)
    url = sqlalchemy.URL.create("sqlite", database=str(path))
    storage = optuna.storages.RDBStorage(
        url.render_as_string(hide_password=False),
        engine_kwargs={"connect_args": {"timeout": _WAIT_SECONDS}},
    )
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _pruner(name: str) -> optuna.pruners.BasePruner:
    if name == "none":
        return optuna.pruners.NopPruner()
    return optuna.pruners.MedianPruner(_TRIALS_UNPRUNED, _EPOCHS_UNPRUNED)
