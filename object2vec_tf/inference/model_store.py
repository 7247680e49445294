"""Finds the SavedModel that a path means."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from object2vec_tf.errors import UserError
from object2vec_tf.files.atomic import atomic_directory
from object2vec_tf.files.locks import locked
from object2vec_tf.hyperparameters import Hyperparameters

SAVED_MODEL = "saved_model.pb"
ONNX = "predict_pair.onnx"


@contextmanager
def next_version(root: Path) -> Iterator[tuple[Path, Path]]:
    """Yields a directory to fill, and what it becomes: the next free version.

    Exports to the same place wait for each other.
    """
    root.mkdir(parents=True, exist_ok=True)
    with locked(root):
        path = root / str(max(versions(root), default=0) + 1)
        with atomic_directory(path) as temporary:
            yield temporary, path


def versions(root: Path) -> list[int]:
    """Returns the numbers that the directory's versions have."""
    entries = root.iterdir() if root.is_dir() else ()
    return [int(entry.name) for entry in entries if entry.name.isdecimal()]


def find_exported(path: str | os.PathLike[str], holding: str = SAVED_MODEL) -> Path:
    """Returns the exported model at a path.

    Args:
        path: A version, a directory of versions (the highest one counts), or the
            directory of a run.
        holding: The file that every version has.

    Raises:
        UserError: There is none.
    """
    given = Path(path)
    if not given.exists():
        raise UserError(f"{given}: no such model; give a run or an exported model")
    for root in (given, given / "export", given / "onnx"):
        numbered = (root / str(number) for number in sorted(versions(root))[::-1])
        for candidate in (root, *numbered):
            if (candidate / holding).is_file():
                return candidate
    what = "--format=onnx " if holding == ONNX else ""
    raise UserError(
        f"{given}: holds no {holding}; write it with python -m export "
        f"{what}--model_dir=RUN"
    )


def parse_description(text: bytes | str, name: str) -> Hyperparameters:
    """Returns what the signature ``describe`` tells.

    Raises:
        UserError: It is not what a model of ours tells.
    """
    try:
        return Hyperparameters.from_mapping(json.loads(text))
    except ValueError as error:
        raise UserError(f"{name}: tells hyperparameters that are none: {error}") from (
            error
        )
