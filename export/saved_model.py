"""Exports a model as a SavedModel: versions that are written atomically and checked."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from export.item_catalog import Items, item_files
from export.signatures import Signatures
from export.top_items import HIGHEST, LOWEST
from export.warmup import golden_requests, write_warm_up
from object2vec_tf.devices import gpu_is_visible, in_full_precision
from object2vec_tf.errors import UserError
from object2vec_tf.files.tensorflow_paths import tensorflow_path
from object2vec_tf.inference.catalog import RECOMMEND
from object2vec_tf.inference.exported_files import ASSETS, write_saved_model_digests
from object2vec_tf.inference.model_store import next_version
from object2vec_tf.inference.ragged_inputs import output_name
from object2vec_tf.inference.text_inputs import signature_inputs
from object2vec_tf.inference.warmup_requests import (
    HYPERPARAMETERS,
    SIGNATURE_INPUTS,
    read_warm_up,
)
from object2vec_tf.layers.precision import check_precision
from object2vec_tf.layers.substitute_tables import UnsizedTables
from object2vec_tf.metrics.ranking import scorer
from object2vec_tf.model.assembly import with_placement
from object2vec_tf.model.object2vec import Object2Vec
from object2vec_tf.model.precision import computing_in
from object2vec_tf.model.table_names import named_tables
from object2vec_tf.progress import phase
from object2vec_tf.tables.saved_model_tables import write_tables
from object2vec_tf.tables.table_reader import TableReader

METRICS = f"{ASSETS}/metrics.json"
GOLDEN = f"{ASSETS}/golden.jsonl"

# Largest relative and absolute differences of predictions to those of the Keras model.
# A graph rounds to 16 bits at other places than its ops do one by one.
_TOLERANCES = {
    "float32": (1e-5, 1e-6),
    "bfloat16": (2**-5, 2**-5),
    "float16": (2**-8, 2**-8),
}


def export_saved_model(
    model: Object2Vec,
    directory: str | os.PathLike[str],
    *,
    metrics: Mapping[str, Any] | None = None,
    items: str | os.PathLike[str] | None = None,
    labels: str | os.PathLike[str] | None = None,
    k: int | None = None,
    similarity: str | None = None,
    precision: str = "float32",
    tables: Mapping[str, TableReader] | None = None,
) -> Path:
    """Writes a SavedModel for TF Serving.

    Signatures: ``embed_enc0`` (in0 -> embeddings), ``embed_enc1`` (in1 -> embeddings),
    ``predict_pair`` (in0, in1 -> scores; also ``serving_default``). Inputs are int64
    ``[batch, time]``; -1 is dropped at any position. Embeddings are float32
    ``[batch, enc_dim]``, scores float32 ``[batch, num_classes]`` or ``[batch, 1]``.
    ``classify_pair`` (softmax) or ``regress_pair`` takes ``tf.Example`` with in0 and
    in1 as lists, for TF Serving's Classify or Regress. ``describe`` (rows, int64
    ``[batch]``) returns the hyperparameters as JSON, once per row.

    A model that was trained on text also has ``embed_enc0_text``, ``embed_enc1_text``
    and ``predict_pair_text``. They take texts ``[batch]``, or lists of strings
    ``[batch, items]`` padded with empty strings. ``tokenize_in0`` and ``tokenize_in1``
    return their token ids ``[batch, time]``, padded with -1, and counts ``[batch]``:
    unknown tokens, all tokens, and known tokens among the ids.

    With items, ``recommend`` finds the items with the highest similarity: in0 and
    exclude (int64 ``[batch, n]``, positions of items that are not wanted) -> items
    (int64 ``[batch, k]``, positions) and scores (float32 ``[batch, k]``). A position is
    the number of an item's line, from 0, without blank lines. Equal scores are in the
    order of positions. Where fewer than k items remain, the position is -1 and the
    score is the lowest float32. The search is exact. ``recommend_text`` takes text in
    in0. ``score_items`` (in0 and items -> scores, ``[batch, n, num_classes]``) returns
    what ``predict_pair`` does for positions of items. ``describe_items`` (items ->
    lines and labels, strings ``[batch, n]``) and ``describe_catalog`` (rows -> JSON)
    describe the items. In all of them, numbers that are not positions are ignored, and
    -1 is padding.

    ``assets.extra`` contains warm-up requests, ``hyperparameters.json`` (including
    vocabulary sizes), ``metrics.json`` if given, and ``golden.jsonl``: requests with
    the model's predictions. Before the version appears, all these requests are run on
    the written SavedModel. ``digests.json`` has the checksums of all files.

    Args:
        model: The model.
        directory: The directory of versions; the next free number is used. The version
            is written atomically.
        metrics: The metrics of the model's run.
        items: JSON Lines of objects, ``{"in1": [172]}``. They are embedded now, with
            encoder 1, and stored in the SavedModel.
        labels: A text file with one line per item.
        k: The number of items that ``recommend`` returns; default 100.
        similarity: cosine or inner_product. The default is that of the in-batch softmax
            if the model was trained with it, else cosine.
        precision: The type in which the SavedModel computes convolutions, the products
            of LSTMs and the MLP: float32, bfloat16 or float16, whatever the model was
            trained in. Weights, embeddings and scores are float32 in all.
        tables: The rows of all token tables, by the names of
            `object2vec_tf.model.table_names.named_tables`. They are written in chunks.
            None takes them from the model's variables.

    Returns:
        The path of the version.

    Raises:
        DataError: A line of an item is invalid.
        UserError: A setting is invalid, or the numbers of labels and items differ.
        RuntimeError: The SavedModel's predictions differ from the model's.

    Example:
        >>> import object2vec_tf as o2v
        >>> import tensorflow as tf
        >>> from export import export_saved_model
        >>> hyperparameters = o2v.Hyperparameters(
        ...     enc0_network="pooled_embedding",
        ...     enc0_max_seq_len=3,
        ...     enc0_vocab_size=10,
        ...     enc_dim=4,
        ... )
        >>> model = o2v.Object2Vec(hyperparameters, seed=1)
        >>> path = export_saved_model(model, "serving/movies")
        >>> embed = tf.saved_model.load(str(path)).signatures["embed_enc0"]
        >>> embed(in0=tf.constant([[3, 7, -1]], tf.int64))["embeddings"].shape
        TensorShape([1, 4])
    """
    if not isinstance(model, Object2Vec):
        raise UserError(
            f"model: expected an Object2Vec model, got {type(model).__name__}. "
            "object2vec_tf.load returns that of a run."
        )
    if not isinstance(metrics, Mapping | None):
        raise UserError(f"metrics: expected a mapping of names, got {metrics!r:.60}.")
    if items is not None and tables is not None:
        raise ValueError("items: expected none, since their tables are not in memory")
    files = item_files(items, labels, k, similarity)
    check_precision("precision", precision)
    # A CPU must be able to repeat the predictions in golden.jsonl.
    with next_version(directory) as (temporary, path), in_full_precision():
        graph = model if tables is None else with_placement(model, UnsizedTables())
        with (
            computing_in(model, precision),
            computing_in(graph, precision),
            phase("exporting: writing the model"),
        ):
            signatures = Signatures(graph, files)
            _write_graph(signatures, temporary)
            if tables is not None:
                _write_tables(graph, temporary, tables)
            _write_requests(model, temporary, metrics, signatures)
        with phase("exporting: checking its answers"):
            _replay(temporary, *_TOLERANCES[precision])
    return path


def _write_graph(signatures: Signatures, directory: Path) -> None:
    with tensorflow_path(directory) as path:
        tf.saved_model.save(signatures, path, signatures=signatures.by_name)
        _set_method_names(path, signatures.methods)


def _write_tables(
    graph: Object2Vec, directory: Path, tables: Mapping[str, TableReader]
) -> None:
    """Writes token tables into a SavedModel whose graph has none."""
    readers = {}
    for name, table in named_tables(graph).items():
        assert table.variable is not None
        readers[table.variable.value.name.partition(":")[0]] = tables[name]
    write_tables(directory, readers)


def _write_requests(
    model: Object2Vec,
    directory: Path,
    metrics: Mapping[str, Any] | None,
    signatures: Signatures,
) -> None:
    """Writes requests with the model's predictions, and all other files."""
    hyperparameters = model.hyperparameters
    golden = [_golden_request(model, name) for name in SIGNATURE_INPUTS]
    text_golden = [
        _golden_request(model, name, text=True)
        for name in SIGNATURE_INPUTS
        if f"{name}_text" in signatures.by_name
    ]
    example_texts = {request["signature"]: request["inputs"] for request in text_golden}
    write_warm_up(
        directory,
        hyperparameters,
        signatures.methods,
        example_texts,
        catalog=signatures.items.catalog if signatures.items else None,
    )
    if signatures.items:
        golden.append(_golden_recommendation(model, signatures.items))
    files = {HYPERPARAMETERS: json.dumps(hyperparameters.to_dict(), indent=2) + "\n"}
    if metrics is not None:
        files[METRICS] = json.dumps(metrics, indent=2) + "\n"
    files[GOLDEN] = "".join(
        json.dumps(request) + "\n" for request in golden + text_golden
    )
    for name, text in files.items():
        (directory / name).write_text(text, encoding="utf-8")
    write_saved_model_digests(directory)


def _set_method_names(directory: str, methods: Mapping[str, str]) -> None:
    """Sets the method names that TF Serving expects; TensorFlow 2 only sets Predict."""
    updater = tf.compat.v1.saved_model.signature_def_utils.MethodNameUpdater(directory)
    for name, method in methods.items():
        updater.replace_method_name(signature_key=name, method_name=method)
    updater.save()


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
    rows: dict[str, Any] = golden_requests(model.hyperparameters, names)
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
    rows = golden_requests(model.hyperparameters, ("in0",))["in0"]
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


def _replay(directory: Path, relative: float, absolute: float) -> None:
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
        inputs = signature_inputs(golden["inputs"])
        tensors = {name: tf.constant(values) for name, values in inputs.items()}
        outputs = signatures[golden["signature"]](**tensors)
        for name, expected in golden["outputs"].items():
            if not np.allclose(
                outputs[name], expected, factor * relative, factor * absolute
            ):
                difference = np.abs(outputs[name] - np.array(expected)).max()
                raise RuntimeError(
                    f"{directory}: {golden['signature']}: expected the {name} of the "
                    f"Keras model, got {name} that differ by {difference}"
                )
