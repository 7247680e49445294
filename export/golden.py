"""Golden requests: requests with the predictions of the Keras model.

An exported version has them in ``assets.extra/golden.jsonl``, and every version answers
them before it appears.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from export.item_catalog import Items
from export.top_items import HIGHEST, LOWEST
from object2vec_tf.devices import gpu_is_visible
from object2vec_tf.files.tensorflow_paths import tensorflow_path
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.inference.catalog import RECOMMEND
from object2vec_tf.inference.exported_files import ASSETS
from object2vec_tf.inference.ragged_inputs import input_limits, output_name
from object2vec_tf.inference.table_rows import ROWS, with_rows
from object2vec_tf.inference.text_inputs import signature_inputs
from object2vec_tf.inference.warmup_requests import SIGNATURE_INPUTS, read_warm_up
from object2vec_tf.metrics.ranking import scorer
from object2vec_tf.model.object2vec import Object2Vec
from object2vec_tf.tables.outside_tables import RowTable

GOLDEN = f"{ASSETS}/golden.jsonl"

# A signature, its inputs, and the outputs of the Keras model.
GoldenRequest = dict[str, Any]


def golden_requests(
    model: Object2Vec,
    signatures: Collection[str],
    items: Items | None,
    tables: Mapping[int, RowTable],
) -> list[GoldenRequest]:
    """Returns requests to the signatures of a model.

    Args:
        model: The model.
        signatures: The names of the exported signatures.
        items: The items that the model recommends, if it does.
        tables: The table of each side, if the signatures take rows; else empty.
    """
    requests = [_golden_request(model, name) for name in SIGNATURE_INPUTS]
    if tables:
        return [_with_rows(request, tables) for request in requests]
    if items:
        requests.append(_golden_recommendation(model, items))
    return requests + [
        _golden_request(model, name, text=True)
        for name in SIGNATURE_INPUTS
        if f"{name}_text" in signatures
    ]


def _with_rows(request: GoldenRequest, tables: Mapping[int, RowTable]) -> GoldenRequest:
    """Returns the request for signatures that take rows."""
    inputs = with_rows(signature_inputs(request["inputs"]), tables)
    return request | {"inputs": {name: x.tolist() for name, x in inputs.items()}}


def _id_rows(
    hyperparameters: Hyperparameters, names: tuple[str, ...]
) -> dict[str, list[list[int]]]:
    """Returns three rows per input: the first id, up to five ids, and an empty row."""
    rows = {}
    for name in names:
        size, max_len, _ = input_limits(hyperparameters)[name]
        several_ids = [(size - 1 - i) % size for i in range(min(max_len, 5))]
        rows[name] = [[0], several_ids, []]
    return rows


def _golden_request(
    model: Object2Vec, signature: str, text: bool = False
) -> dict[str, Any]:
    """Returns a request to a signature, with the Keras model's predictions.

    Args:
        model: The model.
        signature: embed_enc0, embed_enc1 or predict_pair.
        text: Whether to use the signature's variant for text, with text for each input
            that has a tokenizer.
    """
    names = SIGNATURE_INPUTS[signature]
    rows: dict[str, Any] = _id_rows(model.hyperparameters, names)
    ids = {}
    for name in names:
        tokenizer = model.tokenizers[int(name[-1])]
        if text and tokenizer:
            rows[name] = tokenizer.examples
            ids[name], _ = tokenizer.of_texts(tf.constant(rows[name]))
        else:
            ids[name] = tf.ragged.constant(rows[name], dtype=tf.int64, ragged_rank=1)
    if signature == "predict_pair":
        predictions = model(ids, training=False)
    else:
        encoder = model.enc0 if signature == "embed_enc0" else model.enc1
        predictions = encoder(ids[names[0]], training=False)
    return {
        "signature": f"{signature}_text" if text else signature,
        "inputs": rows,
        "outputs": {output_name(rows): predictions.numpy().tolist()},
    }


def _golden_recommendation(model: Object2Vec, items: Items) -> dict[str, Any]:
    """Returns a request to ``recommend``, with the scores that numpy computes."""
    rows = _id_rows(model.hyperparameters, ("in0",))["in0"]
    exclude = [[0], [items.catalog.items - 1, 0], []]
    ids = tf.ragged.constant(rows, dtype=tf.int64, ragged_rank=1)
    queries = np.asarray(model.enc0(ids, training=False))
    scores = scorer(items.embeddings, items.catalog.similarity)(queries)
    scores = np.clip(scores, LOWEST, HIGHEST)
    for row, positions in zip(scores, exclude, strict=True):
        row[positions] = LOWEST
    missing = [(0, 0), (0, items.catalog.k)]
    padded = np.pad(scores, missing, constant_values=LOWEST)
    best = -np.sort(-padded, axis=1)[:, : items.catalog.k]
    return {
        "signature": RECOMMEND,
        "inputs": {"in0": rows, "exclude": exclude},
        "outputs": {"scores": best.tolist()},
    }


def replay(directory: Path, relative: float, absolute: float) -> None:
    """Loads the SavedModel and runs its warm-up and golden requests.

    Args:
        directory: The SavedModel.
        relative: Largest relative difference of a prediction.
        absolute: Absolute difference that is added to it.

    Raises:
        RuntimeError: A prediction differs from the model's.
    """
    # GPUs add numbers in another order in each call.
    factor = 10 if gpu_is_visible() else 1
    with tensorflow_path(directory) as path:
        model = tf.saved_model.load(path)  # its variables live only as long as it does
    signatures = model.signatures
    for name, inputs in read_warm_up(directory):
        signatures[name](**inputs)
    for line in (directory / GOLDEN).read_text(encoding="utf-8").splitlines():
        golden = json.loads(line)
        outputs = signatures[golden["signature"]](**_tensors(golden["inputs"]))
        for name, expected in golden["outputs"].items():
            if not np.allclose(
                outputs[name], expected, factor * relative, factor * absolute
            ):
                difference = np.abs(outputs[name] - np.array(expected)).max()
                raise RuntimeError(
                    f"{directory}: {golden['signature']}: expected the {name} of the "
                    f"Keras model, got {name} that differ by {difference}"
                )


def _tensors(inputs: Mapping[str, Any]) -> dict[str, tf.Tensor]:
    """Returns the inputs of a golden request as tensors."""
    rows = {
        name: np.array(values, np.float32)
        for name, values in inputs.items()
        if name in ROWS
    }
    objects = {name: values for name, values in inputs.items() if name not in rows}
    arrays = signature_inputs(objects) | rows
    return {name: tf.constant(array) for name, array in arrays.items()}
