"""From a trained model to a SavedModel that TF Serving loads."""

import object2vec_tf  # noqa: F401  (before TensorFlow: it knows how to be quiet)
from export.saved_model import export_saved_model

__all__ = ["export_saved_model"]
