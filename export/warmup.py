"""Warm-up requests for a server.

TF Serving replays ``assets.extra/tf_serving_warmup_requests`` when it loads a version,
and rejects the version if one of them fails.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from export.signatures import CLASSIFY, REGRESS
from object2vec_tf.files.tensorflow_paths import tensorflow_path
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.inference.catalog import (
    DESCRIBE_CATALOG,
    DESCRIBE_ITEMS,
    RECOMMEND,
    SCORE_ITEMS,
    Catalog,
)
from object2vec_tf.inference.ragged_inputs import PADDING, RaggedInputs
from object2vec_tf.inference.table_rows import with_rows
from object2vec_tf.inference.text_inputs import signature_inputs
from object2vec_tf.inference.warmup_requests import (
    SIGNATURE_INPUTS,
    WARM_UP_FILE,
    warm_up_requests,
)
from object2vec_tf.tables.outside_tables import RowTable

# The number of different rows of a table in a request.
_ROWS = 16


def write_warm_up(
    directory: Path,
    hyperparameters: Hyperparameters,
    methods: Mapping[str, str],
    texts: Mapping[str, Mapping[str, Any]],
    *,
    catalog: Catalog | None = None,
    tables: Mapping[int, RowTable] | None = None,
) -> None:
    """Writes the warm-up requests of every signature in TF Serving's format.

    Args:
        directory: The directory of the SavedModel.
        hyperparameters: The model's.
        methods: TF Serving's method of each signature that takes tf.Example.
        texts: Example objects for each signature that takes text.
        catalog: Describes the items that the model recommends; None without items.
        tables: The table of each side, if the signatures take rows; else None.
    """
    path = directory / WARM_UP_FILE
    path.parent.mkdir(exist_ok=True)
    with tensorflow_path(path) as name, tf.io.TFRecordWriter(name) as writer:
        for log in _logs(hyperparameters, methods, tables or {}):
            writer.write(log.SerializeToString())
        for signature, rows in texts.items():
            log = _predict_log(signature, signature_inputs(rows))
            writer.write(log.SerializeToString())
        for log in _catalog_logs(hyperparameters, catalog, texts):
            writer.write(log.SerializeToString())


def _logs(
    hyperparameters: Hyperparameters,
    methods: Mapping[str, str],
    tables: Mapping[int, RowTable],
) -> Iterator[Any]:
    for signature, names in SIGNATURE_INPUTS.items():
        for inputs in warm_up_requests(hyperparameters, names):
            padded = inputs.padded(leading=1)
            if tables:  # only a few rows, so that the file remains small
                padded = {
                    name: np.where(ids == PADDING, PADDING, ids % _ROWS)
                    for name, ids in padded.items()
                }
            yield _predict_log(signature, with_rows(padded, tables))
    yield _predict_log("describe", {"rows": np.zeros(1, np.int64)})
    names = SIGNATURE_INPUTS["predict_pair"]
    for signature, method in methods.items():
        for inputs in warm_up_requests(hyperparameters, names):
            yield _examples_log(signature, method, inputs)


def _catalog_logs(
    hyperparameters: Hyperparameters,
    catalog: Catalog | None,
    texts: Mapping[str, Mapping[str, Any]],
) -> Iterator[Any]:
    """Yields the requests to the signatures that recommend items."""
    if catalog is None:
        return
    one = np.zeros((1, 1), np.int64)
    for inputs in warm_up_requests(hyperparameters, ("in0",)):
        rows = len(inputs)
        in0 = inputs.padded(leading=1)
        positions = np.arange(rows * min(catalog.k, 10)) % catalog.items
        items = positions.astype(np.int64).reshape(rows, -1)
        exclude = np.pad(items[:, :1], [(0, 0), (1, 0)], constant_values=-1)
        yield _predict_log(RECOMMEND, in0 | {"exclude": exclude})
        yield _predict_log(SCORE_ITEMS, in0 | {"items": items})
        yield _predict_log(DESCRIBE_ITEMS, {"items": items})
    yield _predict_log(DESCRIBE_CATALOG, {"rows": one[0]})
    if text := texts.get("embed_enc0_text"):
        in0 = signature_inputs(text)
        exclude = np.full((len(in0["in0"]), 1), -1, np.int64)
        yield _predict_log(f"{RECOMMEND}_text", in0 | {"exclude": exclude})


def _predict_log(signature: str, inputs: Mapping[str, Any]) -> Any:
    log = prediction_log_pb2.PredictionLog()
    request = log.predict_log.request
    request.model_spec.signature_name = signature
    for name, ids in inputs.items():
        tensor = request.inputs[name]
        if ids.dtype != np.int64:
            tensor.CopyFrom(tf.make_tensor_proto(ids))
            continue
        tensor.dtype = tf.int64.as_datatype_enum
        tensor.tensor_shape.CopyFrom(tf.TensorShape(ids.shape).as_proto())
        tensor.int64_val.extend(
            ids.ravel().tolist()
        )  # as varints, shorter than 8 bytes
    return log


def _examples_log(signature: str, method: str, inputs: RaggedInputs) -> Any:
    log = prediction_log_pb2.PredictionLog()
    request = {CLASSIFY: log.classify_log, REGRESS: log.regress_log}[method].request
    request.model_spec.signature_name = signature
    request.input.example_list.examples.extend(examples(inputs))
    return log


def examples(inputs: RaggedInputs) -> list[tf.train.Example]:
    """Returns inputs as ``tf.Example``, for TF Serving's Classify and Regress."""
    rows = []
    for i in range(len(inputs)):
        example = tf.train.Example()
        for name, column in inputs.columns.items():
            ids = column.values[column.row_splits[i] : column.row_splits[i + 1]]
            example.features.feature[name].int64_list.value.extend(ids.tolist())
        rows.append(example)
    return rows
