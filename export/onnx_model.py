"""Exports a model as versioned ONNX graphs."""

from __future__ import annotations

import json
import os
from pathlib import Path

from object2vec_tf.errors import UserError
from object2vec_tf.extras import import_extra
from object2vec_tf.files.digests import write_digests
from object2vec_tf.inference.model_store import next_version
from object2vec_tf.inference.onnx_predictor import (
    ONNX_HYPERPARAMETERS,
    OnnxPredictor,
)
from object2vec_tf.layers.outside_tables import OutsidePlacement
from object2vec_tf.model.object2vec import Object2Vec
from object2vec_tf.progress import phase


def export_onnx(model: Object2Vec, directory: str | os.PathLike[str]) -> Path:
    """Writes embed_enc0.onnx, embed_enc1.onnx and predict_pair.onnx.

    Inputs and outputs are those of the SavedModel's signatures. The graphs share one
    file of weights. Other files of the version have the hyperparameters and the
    checksums.

    Args:
        model: The model.
        directory: The directory of versions; the next free number is used.

    Returns:
        The path of the version written.

    Raises:
        UserError: The extra ``onnx`` is not installed, or the model has subwords or
            tables in files.
    """
    for encoder in (0, 1):
        if model.hyperparameters.subwords(encoder) is not None:
            raise UserError(
                f"enc{encoder}_subword_ngrams: expected none for ONNX, whose graphs "
                "have no n-grams, got a model with them. Export a SavedModel."
            )
    if isinstance(model.placement, OutsidePlacement):
        raise UserError(
            "model: expected one that has its token tables in memory for ONNX, got one "
            "that reads them from files. Export a SavedModel."
        )
    import_extra("onnx", "onnx", "an export to ONNX")
    from export.onnx_graphs import write_onnx

    with next_version(directory) as (temporary, path), phase("exporting"):
        write_onnx(model, temporary)
        text = json.dumps(model.hyperparameters.to_dict(), indent=2) + "\n"
        (temporary / ONNX_HYPERPARAMETERS).write_text(text, encoding="utf-8")
        write_digests(temporary)
        OnnxPredictor(temporary).warm_up()
    return path
