"""Exports the model of a run.

python -m export --model_dir=RUN --export_dir=DIR
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from export.onnx_model import export_onnx
from export.saved_model import export_saved_model
from object2vec_tf.commands import runner
from object2vec_tf.commands.checks import required_value
from object2vec_tf.model.loading import load_object2vec
from object2vec_tf.runs.run_directory import RunDirectory

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


def main() -> None:
    """Exports with the values of the flags."""
    run = Path(required_value(MODEL_DIR))
    path = run if run.suffix == ".keras" else run / "model.keras"
    if FORMAT.value == "onnx":
        print(
            export_onnx(load_object2vec(path), EXPORT_DIR.value or path.parent / "onnx")
        )
        return
    directory = EXPORT_DIR.value or path.parent / "export"
    metrics = RunDirectory(path.parent).results()
    print(export_saved_model(load_object2vec(path), directory, metrics=metrics))


def cli() -> None:
    """Runs the command with the flags of the command line, and exits."""
    runner.run_cli(main)


if __name__ == "__main__":
    cli()
