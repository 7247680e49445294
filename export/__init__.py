"""Exports a trained model as a SavedModel for TF Serving or as ONNX graphs."""

import object2vec_tf  # noqa: F401  (before TensorFlow: it silences native logs)
from export.saved_model import export_saved_model

__all__ = ["export_saved_model"]
