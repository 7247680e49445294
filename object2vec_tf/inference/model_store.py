"""Exported models on disk: their versions, and the one that a path refers to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from object2vec_tf.errors import UserError
from object2vec_tf.files.atomic import atomic_directory
from object2vec_tf.files.downloads import list_files, stage_below
from object2vec_tf.files.locks import locked
from object2vec_tf.files.remote import PathLike, is_remote, local_path
from object2vec_tf.files.sealed_json import parse_object
from object2vec_tf.files.uploads import next_remote_version
from object2vec_tf.hyperparameters import Hyperparameters

SAVED_MODEL = "saved_model.pb"
ONNX = "predict_pair.onnx"


@contextmanager
def next_version(root: PathLike) -> Iterator[tuple[Path, Path]]:
    """Yields a temporary directory to fill, and the path of the version it becomes.

    The version number is the next free one. The version appears under its path when the
    context ends without an error. Exports to the same root wait for each other. For a
    URL the path is that of a local copy.
    """
    if is_remote(root):
        files_of_models = (SAVED_MODEL, ONNX)
        with next_remote_version(os.fspath(root), files_of_models) as paths:
            yield paths
        return
    root = local_path(root)
    root.mkdir(parents=True, exist_ok=True)
    with locked(root):
        path = root / str(max(versions(root), default=0) + 1)
        with atomic_directory(path) as temporary:
            yield temporary, path


def versions(root: Path) -> list[int]:
    """Returns the version numbers in a directory."""
    return [int(entry.name) for entry in _numbered(root)]


def _numbered(root: Path) -> list[Path]:
    """Returns the entries of a directory that are numbers, the highest first."""
    entries = root.iterdir() if root.is_dir() else ()
    numbered = [entry for entry in entries if entry.name.isdecimal()]
    return sorted(numbered, key=lambda entry: (int(entry.name), entry.name))[::-1]


def find_exported(path: str | os.PathLike[str], model_file: str = SAVED_MODEL) -> Path:
    """Returns the directory of the exported model that a path refers to.

    Args:
        path: A version, a directory of versions (the highest one is used), or a run
            directory.
        model_file: The file that an exported model contains.

    Raises:
        UserError: There is none.
    """
    if is_remote(path):
        return _stage_exported(os.fspath(path), model_file)
    given = local_path(path)
    if not given.exists():
        raise UserError(
            f"{given}: no such model. Give a run directory or an exported model."
        )
    for candidate in exported_models(given, model_file):
        return candidate
    raise _not_exported(f"{given}", model_file)


def _not_exported(path: str, model_file: str) -> UserError:
    onnx_flag = "--format=onnx " if model_file == ONNX else ""
    return UserError(
        f"{path}: expected an exported model, found no {model_file}. Write it with "
        f"python -m export {onnx_flag}--model_dir=RUN."
    )


def _stage_exported(url: str, model_file: str) -> Path:
    """Returns the local copy of the exported model that a URL refers to.

    Raises:
        UserError: There is none, or it cannot be read.
    """
    files = list_files(url)
    if not files:
        raise UserError(
            f"{url}: no such model. Give a run directory or an exported model."
        )
    parents = {
        str(PurePosixPath(file.name).parent)
        for file in files
        if PurePosixPath(file.name).name == model_file
    }
    for root in (".", "export", "onnx"):
        numbered = [x for x in parents if _is_version(PurePosixPath(x), root)]
        numbered.sort(key=lambda x: int(PurePosixPath(x).name))
        for directory in (*numbered[-1:], root) if root not in parents else (root,):
            if directory in parents:
                return stage_below(url, files, directory)
    raise _not_exported(url, model_file)


def _is_version(path: PurePosixPath, root: str) -> bool:
    return path.name.isdecimal() and str(path.parent) == root


def staged_model(path: PathLike, model_file: str = SAVED_MODEL) -> Path:
    """Returns a local path as it is, and the local copy of a remote exported model.

    Raises:
        UserError: There is no remote model, or it cannot be read.
    """
    if is_remote(path):
        return _stage_exported(os.fspath(path), model_file)
    return local_path(path)


def exported_models(path: Path, model_file: str = SAVED_MODEL) -> list[Path]:
    """Returns the exported models that a path refers to, the preferred one first.

    Args:
        path: A version, a directory of versions, or a run directory.
        model_file: The file that an exported model contains.

    Returns:
        The path itself if it is a version, or the versions in descending order.
    """
    for root in (path, path / "export", path / "onnx"):
        models = [x for x in (root, *_numbered(root)) if (x / model_file).is_file()]
        if models:
            return models
    return []


def version_number(path: Path) -> int | None:
    """Returns the number of the version in a directory; None if it has no number."""
    return int(path.name) if path.name.isdecimal() else None


def parse_description(text: bytes | str, name: str) -> Hyperparameters:
    """Returns the hyperparameters of a model.

    Args:
        text: The output of the signature ``describe``, or hyperparameters.json.
        name: The name of the model, for error messages.

    Raises:
        UserError: The text is not a JSON object of valid hyperparameters.
    """
    try:
        return Hyperparameters.from_saved(parse_object(text))
    except (ValueError, RecursionError, TypeError) as error:
        raise UserError(
            f"{name}: expected the hyperparameters of a model, got an invalid "
            f"description: {error}. Export the model again."
        ) from error
