"""The signatures of an exported model, as TF Serving describes them in JSON."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from tensorflow.core.protobuf import saved_model_pb2

from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.inference.model_store import SAVED_MODEL

# The JSON of a SignatureDef by the signature's name.
SignatureDefs = Mapping[str, Any]

_PREDICT = "tensorflow/serving/predict"


def read_signature_defs(path: Path) -> SignatureDefs:
    """Returns the signatures of a SavedModel.

    Args:
        path: The directory of the SavedModel.
    """
    model = saved_model_pb2.SavedModel.FromString((path / SAVED_MODEL).read_bytes())
    return signature_defs_to_json(model.meta_graphs[0].signature_def)


def signature_defs_to_json(signatures: Mapping[str, Any]) -> SignatureDefs:
    """Returns the JSON of messages ``SignatureDef``, with the options of TF Serving.

    Args:
        signatures: The messages by name.
    """
    return {
        name: json_format.MessageToDict(
            signature,
            preserving_proto_field_name=True,
            always_print_fields_with_no_presence=True,
        )
        for name, signature in sorted(signatures.items())
    }


def onnx_signature_defs(hyperparameters: Hyperparameters) -> SignatureDefs:
    """Returns the signatures of ONNX graphs, as those of a SavedModel.

    Args:
        hyperparameters: The model's.
    """
    ids = {name: _tensor(name, "DT_INT64", -1, -1) for name in ("in0", "in1")}
    width = int(hyperparameters.enc_dim)
    embeddings = {"embeddings": _tensor("embeddings", "DT_FLOAT", -1, width)}
    scores = _tensor("scores", "DT_FLOAT", -1, hyperparameters.output_dim)
    pair = _signature(ids, {"scores": scores})
    return {
        "embed_enc0": _signature({"in0": ids["in0"]}, embeddings),
        "embed_enc1": _signature({"in1": ids["in1"]}, embeddings),
        "predict_pair": pair,
        "serving_default": pair,
    }


def _signature(inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> Any:
    return {
        "inputs": inputs,
        "outputs": outputs,
        "method_name": _PREDICT,
        "defaults": {},
    }


def _tensor(name: str, dtype: str, *shape: int) -> Any:
    dims = [{"size": str(size), "name": ""} for size in shape]
    return {
        "name": name,
        "dtype": dtype,
        "tensor_shape": {"dim": dims, "unknown_rank": False},
    }
