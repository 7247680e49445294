"""Finds the SavedModel that a path means."""

from __future__ import annotations

import os
from pathlib import Path

from object2vec_tf.errors import UserError

SAVED_MODEL = "saved_model.pb"


def versions(root: Path) -> list[int]:
    """Returns the numbers that the directory's versions have."""
    entries = root.iterdir() if root.is_dir() else ()
    return [int(entry.name) for entry in entries if entry.name.isdecimal()]


def find_saved_model(path: str | os.PathLike[str]) -> Path:
    """Returns the SavedModel at a path.

    Args:
        path: A SavedModel, a directory of versions (the highest one counts), or the
            directory of a run.

    Raises:
        UserError: There is none.
    """
    given = Path(path)
    if not given.exists():
        raise UserError(f"{given}: no such model; give a run or an exported model")
    for root in (given, given / "export"):
        numbered = (root / str(number) for number in sorted(versions(root))[::-1])
        for candidate in (root, *numbered):
            if (candidate / SAVED_MODEL).is_file():
                return candidate
    raise UserError(
        f"{given}: holds no SavedModel; export one with python -m export "
        f"--model_dir={given}"
    )
