"""ONNX graphs of a model, run in this process by onnxruntime."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from object2vec_tf.extras import import_extra
from object2vec_tf.files.tensorflow_paths import tensorflow_path
from object2vec_tf.inference.catalog import Catalog
from object2vec_tf.inference.exported_files import (
    EXPORT_ONNX_AGAIN,
    report_damage,
    verify_onnx,
)
from object2vec_tf.inference.model_store import parse_description, version_number
from object2vec_tf.inference.ragged_inputs import (
    Predictions,
    RaggedInputs,
    Rows,
    call_limits,
    predict_batches,
)
from object2vec_tf.inference.signature_defs import onnx_signature_defs
from object2vec_tf.inference.token_counts import CountsByInput
from object2vec_tf.inference.warmup_requests import SIGNATURE_INPUTS, warm_up_requests

ONNX_HYPERPARAMETERS = "hyperparameters.json"


class OnnxPredictor:
    """ONNX graphs in this process, run by onnxruntime; a `Predictor`.

    Args:
        path: A version that `export_onnx` wrote.
        threads: The number of threads of an op; 0 for onnxruntime's own choice.

    Raises:
        UserError: It cannot be loaded, or onnxruntime is not installed.
    """

    # Only TensorFlow has the ops of the tokenizers.
    texts: Collection[str] = ()
    token_counts: CountsByInput = MappingProxyType({})
    catalog: Catalog | None = None

    def __init__(self, path: Path, threads: int = 0) -> None:
        runtime = import_extra("onnxruntime", "onnx", "an ONNX model")
        self.version = version_number(path)
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4  # Errors are raised; do not log them too.
        verify_onnx(path)
        self._path = path
        file = path / ONNX_HYPERPARAMETERS
        with report_damage(path, EXPORT_ONNX_AGAIN), tensorflow_path(path) as directory:
            self.hyperparameters = parse_description(file.read_bytes(), f"{file}")
            self._sessions: dict[str, Any] = {
                name: runtime.InferenceSession(
                    f"{directory}/{name}.onnx",
                    options,
                    providers=["CPUExecutionProvider"],
                )
                for name in SIGNATURE_INPUTS
            }
        self.signature_defs = onnx_signature_defs(self.hyperparameters)

    def warm_up(self, first: str = "") -> None:
        """See `Predictor`; the order is always embeddings first."""
        for names in sorted(SIGNATURE_INPUTS.values(), key=len):
            for inputs in warm_up_requests(self.hyperparameters, names):
                self(inputs)

    def call(
        self, signature: str, inputs: RaggedInputs
    ) -> Mapping[str, npt.NDArray[Any]]:
        """See `Predictor`; there are no such signatures."""
        raise NotImplementedError(signature)

    def tokenize(self, rows: Rows) -> tuple[Rows, int]:
        """See `Predictor`; there is never any text."""
        return rows, 0

    def __call__(self, inputs: RaggedInputs) -> Predictions:
        """See `Predictor`."""
        return predict_batches(inputs, self._run, call_limits(self.hyperparameters))

    def _run(self, inputs: RaggedInputs) -> Predictions:
        session = self._sessions[inputs.signature]
        with report_damage(self._path, EXPORT_ONNX_AGAIN):
            return np.asarray(session.run(None, inputs.padded())[0])
