"""The file hyperparameters.json, as SageMaker or a run writes it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from object2vec_tf.errors import HyperparameterError, UserError

# Entries that SageMaker adds for its own use start with this.
_PLATFORM_PREFIX = "_"
_NUM_GPUS = "_num_gpus"
_MAX_DIGITS = 9


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Returns the object in a hyperparameters file.

    Raises:
        UserError: The file cannot be read or is not a JSON object.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            values = json.load(file)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read: {error.strerror}. Check the path."
        ) from error
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{path}: expected JSON, got invalid text: {error}. Fix the file."
        ) from error
    if not isinstance(values, dict):
        raise UserError(
            f"{path}: expected a JSON object of names and values, "
            f"got {type(values).__name__}."
        )
    return values


def without_platform_entries(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the entries that are hyperparameters and are not None."""
    return {
        name: value
        for name, value in values.items()
        if value is not None and not name.startswith(_PLATFORM_PREFIX)
    }


def max_gpus(values: Mapping[str, Any]) -> int | None:
    """Returns the number of GPUs that SageMaker's ``_num_gpus`` allows.

    Args:
        values: Contents of a hyperparameters file.

    Returns:
        The maximum; None for all GPUs of the machine.

    Raises:
        HyperparameterError: It is neither ``auto`` nor a number.
    """
    given = str(values.get(_NUM_GPUS, "auto")).strip()
    if given == "auto":
        return None
    if not given.isdecimal() or len(given) > _MAX_DIGITS:
        raise HyperparameterError(
            f"{_NUM_GPUS}: expected auto or an integer of 0 or more, got {given!r}"
        )
    return int(given)
