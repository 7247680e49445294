"""The exported model that a path refers to, or an export of a ``.keras`` file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from export.onnx_model import export_onnx
from export.saved_model import export_saved_model
from object2vec_tf.files.downloads import staged_file
from object2vec_tf.files.leftovers import scratch_directory
from object2vec_tf.model.loading import load_object2vec

_KERAS_SUFFIX = ".keras"
_EXPORTERS = {"tensorflow": export_saved_model, "onnx": export_onnx}


def is_keras_file(path: str | os.PathLike[str]) -> bool:
    """Returns whether a path or URL is that of a ``.keras`` file."""
    return os.fspath(path).endswith(_KERAS_SUFFIX) and not Path(path).is_dir()


@contextmanager
def exported_model(
    path: str | os.PathLike[str], runtime: str = "tensorflow"
) -> Iterator[str | os.PathLike[str]]:
    """Yields the path, or for a ``.keras`` file a temporary export of its model.

    Args:
        path: A ``.keras`` file, or anything else that `load_model` accepts.
        runtime: tensorflow or onnx.

    Raises:
        UserError: The file cannot be read or is not a model.
    """
    if not is_keras_file(path):
        yield path
        return
    model = load_object2vec(staged_file(path), compile=False)
    with scratch_directory("export") as folder:
        # The exporters lock the directory of versions, and the folder is locked here.
        exported = _EXPORTERS[runtime](model, folder / "export")
        del model  # frees its memory
        yield exported
