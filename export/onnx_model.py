"""ONNX graphs of a model: their versions, and answers from them in this process."""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from export.warmup import INPUTS, requests
from object2vec_tf.errors import UserError
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.inference.model_store import next_version
from object2vec_tf.inference.ragged_inputs import Answers, Objects, Rows, joined
from object2vec_tf.model.object2vec import Object2Vec

_HYPERPARAMETERS = "hyperparameters.json"


def export_onnx(model: Object2Vec, directory: str | os.PathLike[str]) -> Path:
    """Writes embed_enc0.onnx, embed_enc1.onnx and predict_pair.onnx.

    Inputs and outputs are those of the SavedModel's signatures. The weights stand once,
    in a file beside the graphs, and the hyperparameters in another.

    Args:
        model: The model.
        directory: Where versions are kept; the next free number is taken.

    Returns:
        The path of the version written.

    Raises:
        UserError: The extra ``onnx`` is not installed.
    """
    _import("onnx")
    from export.onnx_graphs import write_onnx

    with next_version(Path(directory)) as (temporary, path):
        write_onnx(model, temporary)
        text = json.dumps(model.hyperparameters.to_dict(), indent=2) + "\n"
        (temporary / _HYPERPARAMETERS).write_text(text, encoding="utf-8")
        OnnxModel(temporary).warm_up()
    return path


class OnnxModel:
    """ONNX graphs in this process, run by onnxruntime; a `Model`.

    Args:
        path: A version that `export_onnx` wrote.

    Raises:
        UserError: It cannot be loaded, or onnxruntime is not installed.
    """

    # The tokenizers' ops are TensorFlow's alone.
    texts: Collection[str] = ()

    def __init__(self, path: Path) -> None:
        runtime = _import("onnxruntime")
        options = runtime.SessionOptions()
        options.log_severity_level = 4  # an error is raised, and told by who catches it
        try:
            text = (path / _HYPERPARAMETERS).read_text(encoding="utf-8")
            self.hyperparameters = Hyperparameters.from_mapping(json.loads(text))
            self._sessions: dict[str, Any] = {
                name: runtime.InferenceSession(
                    path / f"{name}.onnx", options, providers=["CPUExecutionProvider"]
                )
                for name in INPUTS
            }
        except Exception as error:  # onnxruntime's own are no subclass of anything
            raise UserError(
                f"{path}: cannot be loaded: {error}; write it again with "
                "python -m export --format=onnx"
            ) from error

    def warm_up(self, first: str = "") -> None:
        """See `Model`."""
        for names in sorted(INPUTS.values(), key=lambda names: len(names) > 1):
            for objects in requests(self.hyperparameters, names):
                self(objects)

    def tokenized(self, rows: Rows) -> tuple[Rows, int]:
        """See `Model`; there is never any text."""
        return rows, 0

    def __call__(self, objects: Objects) -> Answers:
        """See `Model`."""
        batches = list(objects.batches())
        return joined(batches, [self._ask(objects.take(rows)) for rows in batches])

    def _ask(self, objects: Objects) -> Answers:
        session = self._sessions[objects.signature]
        return np.asarray(session.run(None, objects.padded())[0])


def _import(name: str) -> Any:
    try:
        return __import__(name)
    except ImportError as error:
        raise UserError(
            f"{name} is not installed; pip install 'object2vec_tf[onnx]'"
        ) from error
