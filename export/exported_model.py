"""The exported model that a path refers to, or an export of a ``.keras`` file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from export.onnx_model import export_onnx
from export.saved_model import export_saved_model
from object2vec_tf.model.loading import load_object2vec

KERAS_SUFFIX = ".keras"


@contextmanager
def exported_model(
    path: str | os.PathLike[str], runtime: str = "tensorflow"
) -> Iterator[Path]:
    """Yields the path, or for a ``.keras`` file a temporary export of its model.

    Args:
        path: A ``.keras`` file, or anything else that `load_model` accepts.
        runtime: tensorflow or onnx.

    Raises:
        UserError: The file cannot be read or is not a model.
    """
    given = Path(path)
    if given.suffix != KERAS_SUFFIX or given.is_dir():
        yield given
        return
    model = load_object2vec(given, compile=False)
    with tempfile.TemporaryDirectory(prefix="object2vec-") as folder:
        export = export_onnx if runtime == "onnx" else export_saved_model
        yield export(model, folder)
