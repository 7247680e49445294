"""Opens the directory of a run, which may be remote."""

from __future__ import annotations

import contextlib
import fnmatch
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

from object2vec_tf.errors import UserError
from object2vec_tf.files.mirror import Mirror
from object2vec_tf.files.mirror_download import Layout
from object2vec_tf.files.remote import PathLike, is_remote, local_path
from object2vec_tf.runs.run_directory import RunDirectory

# The order in which files are uploaded. A checkpoint counts when it has a state, an
# exported model when it has its graph, and a run is finished when it has metrics. The
# identity comes first: without it, the other files would belong to no run.
_FIRST = ("checkpoints/run.json", "checkpoints/initial_model.json")
_AFTER_OTHERS = (
    *("*/saved_model.pb", "*/predict_pair.onnx"),
    "checkpoints/best-epoch-*/digests.json",
)
_AFTER_CHECKPOINT = ("checkpoints/*/state.json",)
_LAST = ("metrics.json",)
_DIRECTORIES = ("checkpoints", "export", "onnx")
# Models that the export command adds to a run.
_SHARED = ("export/*", "onnx/*")
# The files of a run. Others in the directory are left alone.
_OWN = (
    *("checkpoints/*", "tensorboard/*", *_SHARED, "model.keras", "report.html"),
    *("report.md", "hyperparameters.json", "history.jsonl", "digests.json"),
    *("metrics.json", "tables/*"),
)
_NOT_UPLOADED = ("checkpoints/lock",)


@contextmanager
def open_run(
    model_dir: PathLike,
    finishing: Callable[[], AbstractContextManager[Any]] = contextlib.nullcontext,
) -> Iterator[RunDirectory]:
    """Yields the directory of a run; a remote one is uploaded at the end.

    `RunDirectory.download` downloads the files of a remote one.

    Args:
        model_dir: The directory, or its URL.
        finishing: Returns a context for the last upload, in which SIGTERM waits.

    Raises:
        UserError: The path is empty; or, at the end, files cannot be uploaded.
    """
    if not os.fspath(model_dir):
        raise UserError("model_dir: expected the run directory, got an empty path.")
    if not is_remote(model_dir):
        yield RunDirectory(local_path(model_dir))
        return
    mirror = Mirror(os.fspath(model_dir), "model_dir", RUN_LAYOUT, finishing)
    with mirror:
        yield RunDirectory(mirror.path, mirror)


def upload_position(name: str) -> int | None:
    """Returns the position of a file of a run in the order of uploads.

    Args:
        name: The file's path relative to the run directory.

    Returns:
        A number; None for a file that is not uploaded or not of a run.

    Example:
        >>> upload_position("model.keras") < upload_position("metrics.json")
        True
        >>> upload_position("cache/0123/columns.arrow")
    """
    if any(part.startswith(".") for part in name.split("/")):  # temporary files
        return None
    if _matches(name, _NOT_UPLOADED) or not _matches(name, _OWN):
        return None
    if name in _FIRST:
        return 0
    groups = (("*",), _AFTER_OTHERS, _AFTER_CHECKPOINT, _LAST)
    return max(i for i, group in enumerate(groups, 1) if _matches(name, group))


def incomplete_files(names: Collection[str]) -> set[str]:
    """Returns the files of checkpoints and exports whose last files are missing.

    Args:
        names: The paths of the files of a run, relative to the run directory.

    Example:
        >>> incomplete_files({"model.keras", "export/1/fingerprint.pb"})
        {'export/1/fingerprint.pb'}
    """
    complete = {
        name.rpartition("/")[0]
        for name in names
        if _matches(name, _AFTER_OTHERS + _AFTER_CHECKPOINT)
    }
    result = set()
    for name in names:
        parts = name.split("/")
        is_part = len(parts) > 2 and parts[0] in _DIRECTORIES
        if is_part and "/".join(parts[:2]) not in complete:
            result.add(name)
    return result


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


RUN_LAYOUT: Final = Layout(
    upload_position, incomplete_files, lambda name: _matches(name, _SHARED)
)
