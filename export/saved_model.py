"""Exports a model as a SavedModel: versions that are written atomically and checked."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from export.golden import GOLDEN, GoldenRequest, golden_requests, replay
from export.item_catalog import item_files
from export.signatures import Signatures
from export.table_files import Readers, readers_of_files, write_table_files
from export.tower_signatures import TowerSignatures
from export.warmup import write_warm_up
from object2vec_tf.devices import in_full_precision
from object2vec_tf.errors import UserError
from object2vec_tf.files.tensorflow_paths import tensorflow_path
from object2vec_tf.inference.exported_files import ASSETS, write_saved_model_digests
from object2vec_tf.inference.model_store import next_version
from object2vec_tf.inference.warmup_requests import HYPERPARAMETERS
from object2vec_tf.layers.precision import check_precision
from object2vec_tf.layers.substitute_tables import UnsizedTables
from object2vec_tf.model.assembly import with_placement
from object2vec_tf.model.object2vec import Object2Vec
from object2vec_tf.model.precision import computing_in
from object2vec_tf.model.table_names import named_tables
from object2vec_tf.native_logging import tensorflow_warnings_only
from object2vec_tf.progress import phase
from object2vec_tf.tables.limit import TABLE_LIMIT, check_table_limit
from object2vec_tf.tables.outside_tables import RowTable, are_outside
from object2vec_tf.tables.saved_model_tables import write_saved_model_tables

METRICS = f"{ASSETS}/metrics.json"

_NO_ITEMS = (
    "items: expected none for a model whose token tables are not in memory, got items. "
    "Raise table_limit if memory permits, or build an index of the items with "
    "python -m object2vec_tf.neighbors."
)

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
    tables: Readers | None = None,
    table_limit: float = TABLE_LIMIT,
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

    Token tables that are larger than ``table_limit`` are written as Parquet files in
    ``tables``, and not into the SavedModel. ``embed_enc0`` then takes in0, positions of
    rows, and rows0, rows of the table; ``embed_enc1`` takes in1 and rows1,
    ``predict_pair`` all four. Signatures of ``tf.Example`` and of text other than
    ``tokenize_in0`` and ``tokenize_in1`` do not exist, and there can be no items.

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
            None takes them from the model.
        table_limit: The largest size of the token tables, all together, that are
            written into the SavedModel, in GB; 0 for no table.

    Returns:
        The path of the version.

    Raises:
        DataError: A line of an item is invalid.
        UserError: A setting is invalid, the numbers of labels and items differ, or the
            tables are larger than ``table_limit`` and there are items or subwords.
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
    files = item_files(items, labels, k, similarity)
    check_precision("precision", precision)
    outside = are_outside(model.hyperparameters, check_table_limit(table_limit))
    tables = tables or readers_of_files(model)
    if files is not None and (outside or tables):
        raise UserError(_NO_ITEMS)
    # A CPU must be able to repeat the predictions in golden.jsonl.
    with (
        next_version(directory) as (temporary, path),
        in_full_precision(),
        phase("exporting"),
    ):
        with computing_in(model, precision):
            if outside:
                with phase("writing token tables"):
                    rows = write_table_files(model, temporary, tables)
                towers = TowerSignatures(model)
                _write_graph(towers, temporary)
                _write_requests(model, temporary, metrics, towers, rows)
            else:
                graph = with_placement(model, UnsizedTables()) if tables else model
                signatures = Signatures(graph, files)
                _write_graph(signatures, temporary)
                if tables:
                    with phase("writing token tables"):
                        _write_tables(graph, temporary, tables)
                _write_requests(model, temporary, metrics, signatures)
        with phase("checking its answers"):
            replay(temporary, *_TOLERANCES[precision])
    return path


def _write_graph(signatures: Signatures | TowerSignatures, directory: Path) -> None:
    with (
        phase("writing the signatures"),
        tensorflow_path(directory) as path,
        tensorflow_warnings_only(),
    ):
        tf.saved_model.save(signatures, path, signatures=signatures.by_name)
        _set_method_names(path, signatures.methods)


def _write_tables(graph: Object2Vec, directory: Path, tables: Readers) -> None:
    """Writes token tables into a SavedModel whose graph has none."""
    readers = {}
    for name, table in named_tables(graph).items():
        assert table.variable is not None
        readers[table.variable.value.name.partition(":")[0]] = tables[name]
    write_saved_model_tables(directory, readers)


def _write_requests(
    model: Object2Vec,
    directory: Path,
    metrics: Mapping[str, Any] | None,
    signatures: Signatures | TowerSignatures,
    tables: Mapping[int, RowTable] | None = None,
) -> None:
    """Writes requests with the model's predictions, and all other files.

    Args:
        model: The model.
        directory: The directory of the SavedModel.
        metrics: The metrics of the model's run.
        signatures: Its signatures.
        tables: The table of each side, if the signatures take rows.
    """
    hyperparameters = model.hyperparameters
    with phase("predicting for its check and warm-up"):
        requests = golden_requests(
            model, signatures.by_name, signatures.items, tables or {}
        )
    write_warm_up(
        directory,
        hyperparameters,
        signatures.methods,
        _example_texts(model, signatures.by_name, requests),
        catalog=signatures.items.catalog if signatures.items else None,
        tables=tables,
    )
    files = {HYPERPARAMETERS: json.dumps(hyperparameters.to_dict(), indent=2) + "\n"}
    if metrics is not None:
        files[METRICS] = json.dumps(metrics, indent=2) + "\n"
    files[GOLDEN] = "".join(json.dumps(request) + "\n" for request in requests)
    for name, text in files.items():
        (directory / name).write_text(text, encoding="utf-8")
    write_saved_model_digests(directory)


def _example_texts(
    model: Object2Vec, signatures: Mapping[str, Any], requests: Sequence[GoldenRequest]
) -> dict[str, Any]:
    """Returns the inputs of requests with text, by signature."""
    texts = {
        request["signature"]: request["inputs"]
        for request in requests
        if request["signature"].endswith("_text")
    }
    if texts:
        return texts
    return {
        name: {name.removeprefix("tokenize_"): tokenizer.examples}
        for side, tokenizer in enumerate(model.tokenizers)
        if tokenizer and (name := f"tokenize_in{side}") in signatures
    }


def _set_method_names(directory: str, methods: Mapping[str, str]) -> None:
    """Sets the method names that TF Serving expects; TensorFlow 2 only sets Predict."""
    updater = tf.compat.v1.saved_model.signature_def_utils.MethodNameUpdater(directory)
    for name, method in methods.items():
        updater.replace_method_name(signature_key=name, method_name=method)
    updater.save()
