"""Checksums of the trials in a study's storage, which SQLite itself does not have.

A trial gets its checksum right before it ends, as a user attribute. Trials that older
versions recorded have none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from object2vec_tf.errors import UserError
from object2vec_tf.files.sealed_json import SEAL, seal
from object2vec_tf.runs.result_files import Record

_FIX = "Restore the file, or give --overwrite to start the study again."
# The parts of a distribution that optuna has had in all of its versions.
_RANGE = ("low", "high", "log", "step", "choices")


def add_checksum(
    study: optuna.Study, trial: optuna.Trial, state: TrialState, value: float | None
) -> None:
    """Adds the checksum of a trial that is about to end.

    Args:
        study: The study.
        trial: The trial, with all of its attributes.
        state: Its final state.
        value: Its value of the objective, if it is complete.
    """
    frozen = study.get_trials(deepcopy=False)[trial.number]
    trial.set_user_attr(SEAL, _checksum(frozen, state, value))


def verify_trials(study: optuna.Study, path: Path, first: Mapping[str, Any]) -> None:
    """Checks the trials of a study.

    Args:
        study: The study.
        path: Its storage, for messages.
        first: The values of the first trial, which waits until it is drawn.

    Raises:
        UserError: A trial is damaged or missing.
    """
    for number, trial in enumerate(study.get_trials(deepcopy=False)):
        if trial.number != number:
            raise UserError(f"{path}: is damaged: trial {number} is missing. {_FIX}")
        expected = trial.user_attrs.get(SEAL)
        if trial.state.is_finished() and expected is not None:
            is_intact = expected == _checksum(trial, trial.state, trial.value)
        elif trial.state == TrialState.WAITING:
            is_intact = trial.system_attrs.get("fixed_params") == dict(first)
        else:
            is_intact = True
        if not is_intact:
            raise _damaged(path, number)


def verify_running(
    trial: FrozenTrial,
    path: Path,
    values: Mapping[str, Any],
    epochs: Mapping[int, float | None],
) -> None:
    """Checks a trial that was stopped before it ended.

    Args:
        trial: The trial.
        path: The study's storage, for messages.
        values: The values of the searched hyperparameters that its parameters give.
        epochs: The values of the objective in the epochs that its run has saved.

    Raises:
        UserError: The trial is damaged.
    """
    reported = trial.intermediate_values
    known = {epoch: value for epoch, value in epochs.items() if epoch in reported}
    if trial.user_attrs.get("params", values) != values or any(
        value is not None and value != reported[epoch] for epoch, value in known.items()
    ):
        raise _damaged(path, trial.number)


def verify_summary(records: Sequence[Record], path: Path, storage: Path) -> None:
    """Checks that a study has all trials that its summary describes.

    Args:
        records: The records of the trials in the study's storage.
        path: The summary, trials.jsonl; it may be missing.
        storage: The storage.

    Raises:
        UserError: The summary is damaged, or has an ended trial that the storage lacks
            or describes differently.
    """
    if not path.exists():
        return
    by_number = {record["number"]: record for record in records}
    try:
        lines = path.read_bytes().decode("utf-8").splitlines()
        summary = [dict(json.loads(line)) for line in lines]
        ended = [record for record in summary if record["state"] != "running"]
        numbers = [int(record["number"]) for record in ended]
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise UserError(
            f"{path}: is damaged: {error}. Restore the file, or remove it: the study "
            "writes it again."
        ) from error
    for number, record in zip(numbers, ended, strict=True):
        stored = by_number.get(number, {})
        if any(stored.get(key) != value for key, value in record.items()):
            raise UserError(
                f"{path}: trial {number} differs from the one in {storage}: one of the "
                f"files is damaged. Restore it, or remove {path.name} if it is the "
                "damaged one: the study writes it again."
            )


def _damaged(path: Path, number: int) -> UserError:
    return UserError(
        f"{path}: is damaged: trial {number} differs from its checksum. {_FIX}"
    )


def _checksum(trial: FrozenTrial, state: TrialState, value: float | None) -> str:
    attributes = {k: v for k, v in trial.user_attrs.items() if k != SEAL}
    record = {
        "number": trial.number,
        "state": state.name,
        # Optuna gives pruned trials the value of their last epoch.
        "value": value if state == TrialState.COMPLETE else None,
        "params": trial.params,
        "ranges": {name: _range(d) for name, d in trial.distributions.items()},
        "epochs": {str(k): v for k, v in trial.intermediate_values.items()},
        "attributes": attributes,
    }
    return str(seal(record)[SEAL])


def _range(distribution: optuna.distributions.BaseDistribution) -> dict[str, Any]:
    parts = json.loads(optuna.distributions.distribution_to_json(distribution))
    return {key: parts["attributes"].get(key) for key in _RANGE}
