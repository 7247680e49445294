"""ONNX graphs of a model, run in this process by onnxruntime."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from object2vec_tf.errors import UserError
from object2vec_tf.extras import import_extra
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.inference.ragged_inputs import (
    Predictions,
    RaggedInputs,
    Rows,
    in_row_order,
)
from object2vec_tf.inference.warmup_requests import INPUTS, requests

ONNX_HYPERPARAMETERS = "hyperparameters.json"


class OnnxPredictor:
    """ONNX graphs in this process, run by onnxruntime; a `Model`.

    Args:
        path: A version that `export_onnx` wrote.

    Raises:
        UserError: It cannot be loaded, or onnxruntime is not installed.
    """

    # The tokenizers' ops are TensorFlow's alone.
    texts: Collection[str] = ()

    def __init__(self, path: Path) -> None:
        runtime = import_extra("onnxruntime", "onnx", "an ONNX model")
        options = runtime.SessionOptions()
        options.log_severity_level = 4  # an error is raised, and told by who catches it
        try:
            text = (path / ONNX_HYPERPARAMETERS).read_text(encoding="utf-8")
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

    def tokenize(self, rows: Rows) -> tuple[Rows, int]:
        """See `Model`; there is never any text."""
        return rows, 0

    def __call__(self, objects: RaggedInputs) -> Predictions:
        """See `Model`."""
        batches = list(objects.batches())
        return in_row_order(
            batches, [self._ask(objects.take(rows)) for rows in batches]
        )

    def _ask(self, objects: RaggedInputs) -> Predictions:
        session = self._sessions[objects.signature]
        return np.asarray(session.run(None, objects.padded())[0])
