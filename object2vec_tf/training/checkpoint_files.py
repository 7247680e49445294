"""The files of a checkpoint: its state, its best model, and their checksums."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from object2vec_tf.data.batch_negatives import NO_NEGATIVES_YET
from object2vec_tf.errors import UserError
from object2vec_tf.files.digests import (
    DIGESTS,
    FILES,
    FileDigest,
    digests_of_files,
    typed_digests,
    verify_digests,
    verify_files,
)
from object2vec_tf.files.sealed_json import read_sealed, sealed_text
from object2vec_tf.model.keras_archive import verify_archive
from object2vec_tf.runs.result_files import Record, check_epoch, is_number
from object2vec_tf.runs.run_directory import BEST_MODELS, CHECKPOINT_NAMES

STATE = "state.json"
# Both match BEST_MODELS. Sharded tables are in a directory.
_BEST_MODEL = "best-epoch-{:04d}.keras"
_BEST_SHARDS = "best-epoch-{:04d}"
# The number of shards of each token table; none where TensorFlow's checkpoint has them.
SHARDS = "table_shards"
_FIX = "Restore the file, or remove this checkpoint."
# The entries of the state that every run reads.
_REQUIRED = ("history", "seconds", "elapsed")


def checkpoint_paths(directory: Path) -> list[Path]:
    """Returns the checkpoints in a directory, from the oldest to the newest."""
    found = [path for names in CHECKPOINT_NAMES for path in directory.glob(names)]
    return sorted(path for path in found if path.is_dir())


def write_state(
    checkpoint: Path,
    state: Mapping[str, Any],
    digests: Mapping[str, FileDigest] = MappingProxyType({}),
) -> None:
    """Writes the state of a checkpoint, with the checksums of its other files.

    Args:
        checkpoint: The directory of the checkpoint, which has all other files.
        state: The state, which JSON can represent.
        digests: The checksums that are known already, by name.
    """
    names = {path.name for path in checkpoint.iterdir() if path.is_file()}
    files = {**digests, **digests_of_files(checkpoint, names - {*digests})}
    text = sealed_text({**state, FILES: files})
    (checkpoint / STATE).write_text(text, encoding="utf-8")


def read_state(
    checkpoint: Path, monitored_loss: Callable[[Record], float] | None = None
) -> dict[str, Any]:
    """Returns the state that was saved with a checkpoint.

    Args:
        checkpoint: The directory of the checkpoint.
        monitored_loss: Returns the loss of an epoch that decides which one is best.
            None checks no losses.

    Raises:
        UserError: It is missing or damaged.
    """
    path = checkpoint / STATE
    state = read_sealed(path, _FIX, required=_REQUIRED if monitored_loss else ())
    try:
        _check_types(state)
        for record in state.get("history", []):
            if monitored_loss and not is_number(monitored_loss(record)):
                raise ValueError("expected a loss in the record of an epoch")
    except (ValueError, TypeError, LookupError, OverflowError) as error:
        raise UserError(f"{path}: is damaged: {error}. {_FIX}") from error
    return state


def _check_types(state: Mapping[str, Any]) -> None:
    """Checks the types of the entries of a state.

    Raises:
        ValueError: An entry has another type or a wrong value.
    """
    history = state.get("history", [])
    if not isinstance(history, list):
        raise ValueError(f"history: expected a list, got {history!r:.40}")
    for number, record in enumerate(history):
        check_epoch(record)
        if record["epoch"] != number:
            raise ValueError(f"expected epoch {number}, got {record['epoch']}")
    for name in ("best_epoch", "batches"):
        value = state.get(name, 0)
        if type(value) is not int or value < 0:
            raise ValueError(f"{name}: expected a count, got {value!r:.40}")
    if history and state.get("best_epoch", 0) >= len(history):
        raise ValueError(f"best_epoch: expected an epoch, got {state['best_epoch']}")
    if state.get("batches", 0):
        np.asarray(state["metrics"], np.float64)
    for name in ("seconds", "elapsed", "epoch_seconds"):
        value = state.get(name, 0.0)
        if not is_number(value) or value < 0:
            raise ValueError(f"{name}: expected a duration, got {value!r:.40}")
    negatives = state.get("negatives", NO_NEGATIVES_YET)
    if not isinstance(negatives, dict) or not all(
        is_number(negatives.get(name)) for name in NO_NEGATIVES_YET
    ):
        raise ValueError(f"negatives: expected numbers, got {negatives!r:.80}")


def best_model(checkpoint: Path, state: Mapping[str, Any]) -> Path | None:
    """Returns the model of the best epoch that a checkpoint refers to.

    Args:
        checkpoint: The directory of the checkpoint.
        state: Its state.

    Returns:
        A file; with sharded tables a directory. None if no epoch had ended, or if an
        older version wrote the checkpoint.
    """
    epoch = state.get("best_epoch")
    if epoch is None:
        return None
    return best_model_path(checkpoint.parent, epoch, is_sharded=SHARDS in state)


def best_model_path(directory: Path, epoch: int, *, is_sharded: bool = False) -> Path:
    """Returns the model of an epoch.

    Args:
        directory: The directory of the checkpoints.
        epoch: The epoch.
        is_sharded: Whether its token tables are sharded.
    """
    return directory / (_BEST_SHARDS if is_sharded else _BEST_MODEL).format(epoch)


def best_models(directory: Path) -> list[Path]:
    """Returns the models of best epochs in a directory of checkpoints."""
    return [path for names in BEST_MODELS for path in directory.glob(names)]


def check_complete(checkpoint: Path) -> None:
    """Checks that a checkpoint has all its files, and that none of them ends early.

    Raises:
        OSError: A file is missing or ends early. The message names it.
        UserError: The state is damaged.
    """
    for pattern in (STATE, "variables.index", "variables.data-*"):
        if not any(checkpoint.glob(pattern)):
            raise OSError(f"{pattern.rstrip('-*')} is missing")
    state = read_state(checkpoint)
    for name, digest in digests_of_state(checkpoint, state).items():
        size = (checkpoint / name).stat().st_size
        if size < digest["size"]:
            raise OSError(f"{name} has only {size:,} of {digest['size']:,} bytes")
    best = best_model(checkpoint, state)
    is_complete = best is None or (
        (best / DIGESTS).is_file() if SHARDS in state else zipfile.is_zipfile(best)
    )
    if best is not None and not is_complete:
        raise OSError(f"{best.name}, the model of the best epoch, is incomplete")


def verify_content(checkpoint: Path, state: Mapping[str, Any]) -> None:
    """Checks the content of a checkpoint's files before they are used.

    Args:
        checkpoint: The directory of the checkpoint.
        state: Its state. That of an older version has no checksums.

    Raises:
        UserError: A file is missing or damaged.
    """
    verify_files(checkpoint, digests_of_state(checkpoint, state), _FIX)
    best = best_model(checkpoint, state)
    if best is None:
        return
    if SHARDS in state:
        verify_digests(best, _FIX)
    else:
        verify_archive(best, _FIX)


def digests_of_state(
    checkpoint: Path, state: Mapping[str, Any]
) -> dict[str, FileDigest]:
    """Returns the checksums of a checkpoint's files.

    Args:
        checkpoint: The directory of the checkpoint.
        state: Its state. That of an older version has none.

    Raises:
        UserError: The checksums are damaged.
    """
    if FILES not in state:
        return {}
    return typed_digests(state, checkpoint / STATE, _FIX)
