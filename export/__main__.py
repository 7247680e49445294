"""Exports the model of a run.

python -m export --model_dir=RUN --export_dir=DIR
python -m export --model_dir=RUN --items=items.jsonl --labels=names.tsv --k=100
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from absl import flags

from export.item_catalog import DEFAULT_K, MAX_K, SIMILARITIES, item_files
from export.onnx_model import export_onnx
from export.saved_model import export_saved_model
from object2vec_tf.commands import runner
from object2vec_tf.commands.checks import required_value
from object2vec_tf.commands.device_flag import DEVICE, select_device_of_flag
from object2vec_tf.commands.flag_uses import FlagUses, reject_unused_flags
from object2vec_tf.commands.line_flag import (
    MAX_LINE_MEGABYTES,
    set_line_limit_of_flag,
)
from object2vec_tf.commands.table_limit_flag import (
    TABLE_LIMIT_FLAG,
    table_limit_of_flag,
)
from object2vec_tf.errors import UserError
from object2vec_tf.files.digests import DIGESTS
from object2vec_tf.files.downloads import list_files, stage_directory
from object2vec_tf.files.remote import PathLike, is_remote, join_url, local_path
from object2vec_tf.files.uploads import check_remote_writable
from object2vec_tf.layers.precision import PRECISIONS
from object2vec_tf.model.loading import load_object2vec
from object2vec_tf.model.object2vec import Object2Vec
from object2vec_tf.progress import phase
from object2vec_tf.runs.run_directory import RunDirectory
from object2vec_tf.tables.outside_tables import TABLES

MODEL_DIR = flags.DEFINE_string("model_dir", None, "run directory, or a .keras file")
EXPORT_DIR = flags.DEFINE_string(
    "export_dir",
    None,
    "directory of versions (default: model_dir/export, for onnx model_dir/onnx)",
)
FORMAT = flags.DEFINE_enum(
    "format",
    "saved_model",
    ["saved_model", "onnx"],
    "SavedModel, or ONNX graphs",
)
ITEMS = flags.DEFINE_string(
    "items",
    None,
    "items, in1, which the signature recommend searches: JSON Lines, Parquet or Arrow",
)
LABELS = flags.DEFINE_string("labels", None, "text file with one line per item")
K = flags.DEFINE_integer(
    "k",
    None,
    f"number of items that recommend returns (default: {DEFAULT_K})",
    1,
    MAX_K,
)
SIMILARITY = flags.DEFINE_enum(
    "similarity",
    None,
    SIMILARITIES,
    "similarity by which recommend ranks items (default: that of the in-batch softmax "
    "if the model was trained with it, else cosine)",
)
PRECISION = flags.DEFINE_enum(
    "precision",
    "float32",
    PRECISIONS,
    "type in which the SavedModel computes convolutions, the products of LSTMs and the "
    "MLP; weights, embeddings and scores are float32",
)

flags.declare_key_flag("device")
flags.declare_key_flag(TABLE_LIMIT_FLAG.name)
flags.declare_key_flag(MAX_LINE_MEGABYTES.name)
_COMMON = (MODEL_DIR, EXPORT_DIR, FORMAT, PRECISION, DEVICE)
_FLAG_USES: FlagUses = {
    "--format=saved_model": (
        *(*_COMMON, ITEMS, LABELS, K, SIMILARITY),
        *(TABLE_LIMIT_FLAG, MAX_LINE_MEGABYTES),
    ),
    "--format=onnx": _COMMON,
}


def main() -> None:
    """Exports with the values of the flags."""
    reject_unused_flags(f"--format={FORMAT.value}", _FLAG_USES)
    path, parent = _model_and_parent(required_value(MODEL_DIR))
    settings: dict[str, Any] = {
        "items": ITEMS.value,
        "labels": LABELS.value,
        "k": K.value,
        "similarity": SIMILARITY.value,
        "precision": PRECISION.value,
        "table_limit": table_limit_of_flag(),
    }
    select_device_of_flag()
    set_line_limit_of_flag()
    # Reports invalid settings before the model is loaded.
    item_files(ITEMS.value, LABELS.value, K.value, SIMILARITY.value)
    if FORMAT.value == "onnx":
        if PRECISION.value != PRECISION.default:
            raise UserError(
                f"--precision: expected float32 for --format=onnx, got "
                f"{PRECISION.value}. ONNX graphs compute in float32: remove "
                "--precision or --format."
            )
        directory = _export_directory(parent, "onnx")
        exported = export_onnx(_loaded(path), directory)
        print(f"{exported}")
        return
    directory = _export_directory(parent, "export")
    metrics = RunDirectory(path.parent).results()
    model = _loaded(path)
    exported = export_saved_model(model, directory, metrics=metrics, **settings)
    print(f"{exported}")


def _loaded(path: Path) -> Object2Vec:
    with phase(f"loading {path}"):
        return load_object2vec(path)


def _model_and_parent(run: str) -> tuple[Path, PathLike]:
    """Returns the ``.keras`` file of a run, and the directory that contains it.

    The file of a remote run is a local copy, next to those of metrics.json, of its
    checksum, and of token tables that are outside of the model.
    """
    is_file = run.endswith(".keras")
    if not is_remote(run):
        path = local_path(run)
        path = path if is_file else RunDirectory(path).model
        return path, path.parent
    url, _, name = run.rpartition("/") if is_file else (run, "", "model.keras")
    wanted = (name, RunDirectory(Path()).metrics.name, DIGESTS)
    files = [
        file
        for file in list_files(url)
        if file.name in wanted or file.name.startswith(f"{TABLES}/")
    ]
    return stage_directory(url, files) / name, url


def _export_directory(parent: PathLike, name: str) -> PathLike:
    """Returns the directory of versions, of which a remote one can be written."""
    directory: PathLike = EXPORT_DIR.value or ""
    if not directory and is_remote(parent):
        directory = join_url(os.fspath(parent), name)
    directory = directory or Path(parent, name)
    if is_remote(directory):
        check_remote_writable(os.fspath(directory), "export_dir")
    return directory


def cli() -> None:
    """Runs the command with the flags of the command line, and exits."""
    runner.run_cli(main, modes=_FLAG_USES)


if __name__ == "__main__":
    cli()
