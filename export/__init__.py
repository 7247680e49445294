"""Exports a trained model as a SavedModel for TF Serving or as ONNX graphs."""

import object2vec_tf.native_logging  # noqa: F401  (silences TensorFlow, if it is first)
from export.saved_model import export_saved_model

__all__ = ["export_saved_model"]
