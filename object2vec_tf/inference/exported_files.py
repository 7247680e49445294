"""The files of an exported model: their checksums, and their errors as user errors."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from object2vec_tf.errors import UserError
from object2vec_tf.files.digests import DIGESTS, verify_digests, write_digests

# TF Serving ignores the files in this directory of a SavedModel.
ASSETS = "assets.extra"
SAVED_MODEL_DIGESTS = f"{ASSETS}/{DIGESTS}"
ONNX_DIGESTS = DIGESTS
# The weights of a SavedModel; a large table has several files.
_VARIABLES = "variables/variables.*"

_COPY_AGAIN = "Copy the version again from where it is intact, or export it again with "
EXPORT_AGAIN = f"{_COPY_AGAIN}python -m export."
EXPORT_ONNX_AGAIN = f"{_COPY_AGAIN}python -m export --format=onnx."


def write_saved_model_digests(directory: Path) -> None:
    """Writes the digests of all files of a SavedModel, after these files.

    Args:
        directory: The SavedModel.
    """
    write_digests(directory, file=SAVED_MODEL_DIGESTS)


def weight_files(directory: Path) -> list[str]:
    """Returns the names of the files of a SavedModel's weights.

    Args:
        directory: The SavedModel.
    """
    files = directory.glob(_VARIABLES)
    return sorted(file.relative_to(directory).as_posix() for file in files)


def verify_saved_model(directory: Path, names: Collection[str] | None = None) -> None:
    """Checks the files of a SavedModel before TensorFlow reads them.

    A damaged graph can end the process. Files that were added later, and versions
    without digests, which older versions exported, are not checked.

    Args:
        directory: The SavedModel.
        names: The files to check; None for all.

    Raises:
        UserError: A file is missing or damaged.
    """
    verify_digests(directory, EXPORT_AGAIN, names=names, file=SAVED_MODEL_DIGESTS)


def verify_onnx(directory: Path) -> None:
    """Checks the graphs and weights of an ONNX model before onnxruntime reads them.

    Args:
        directory: The version.

    Raises:
        UserError: A file is missing or damaged.
    """
    verify_digests(directory, EXPORT_ONNX_AGAIN, file=ONNX_DIGESTS)


def verify_exported(directory: Path, runtime: str) -> None:
    """Checks the files of an exported model.

    Args:
        directory: The version.
        runtime: tensorflow for a SavedModel, or onnx.

    Raises:
        UserError: A file is missing or damaged.
    """
    if runtime == "onnx":
        verify_onnx(directory)
    else:
        verify_saved_model(directory)


@contextmanager
def report_damage(path: Path, fix: str = EXPORT_AGAIN) -> Iterator[None]:
    """Turns all errors of a library that reads a model into user errors.

    TensorFlow and onnxruntime raise errors of many classes for files that are missing
    or damaged.

    Args:
        path: The model, or a file of it.
        fix: The sentence that says what to do.

    Raises:
        UserError: There was an error.
    """
    try:
        yield
    except (UserError, MemoryError):
        raise
    except Exception as error:
        lines = str(error).splitlines() or [type(error).__name__]
        raise UserError(
            f"{path}: cannot be loaded, since a file is missing or damaged: "
            f"{lines[0]:.300}. {fix}"
        ) from error
