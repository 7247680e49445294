"""From a trained model to a SavedModel that TF Serving loads."""

from export.saved_model import export_saved_model

__all__ = ["export_saved_model"]
