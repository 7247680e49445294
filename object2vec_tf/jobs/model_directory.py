"""The model directory of a job: what serving needs, and the reports of the run."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import keras

from export import export_saved_model
from object2vec_tf.errors import UserError
from object2vec_tf.files.atomic import atomic_directory, copy_by_link, exchange
from object2vec_tf.model.loading import load_object2vec
from object2vec_tf.runs.run_directory import RunDirectory


def check_no_run(path: Path) -> None:
    """Checks that the model directory is not a run directory.

    Raises:
        UserError: An older version trained in the model directory itself.
    """
    if (path / "checkpoints/run.json").exists():
        raise UserError(
            f"{path}: contains the run of an earlier version, with its checkpoints. "
            f"Continue it by python -m object2vec_tf.fit --model_dir={path}, or remove "
            "it."
        )


def publish(run: RunDirectory, path: Path, trained: keras.Model | None) -> bool:
    """Writes the best model of a run, and its reports, to the model directory.

    The files appear one by one, each of them complete: first the model without the
    state of its optimizer, last the SavedModel.

    Args:
        run: The run. Its SavedModel is written unless it exists.
        path: The model directory. Other files in it stay as they are.
        trained: The model in training, which is used before the end of the first epoch.

    Returns:
        Whether there is a model.
    """
    path.mkdir(parents=True, exist_ok=True)
    _delete_temporary_files(run, path)
    source = run.model
    if not source.exists() and trained is not None:
        source = run.path / f"unfinished{run.model.suffix}"
        trained.save(source)
    for file in run.tables.rglob("*.*"):
        target = path / file.relative_to(run.path)
        target.parent.mkdir(parents=True, exist_ok=True)
        copy_by_link(file, target)
    if source.exists():
        model = load_object2vec(source, compile=False)
        uncompiled = run.path / f"uncompiled{run.model.suffix}"
        model.save(uncompiled)
        copy_by_link(uncompiled, path / run.model.name)
        run.write_hyperparameters(model.hyperparameters)
    for file in _reports(run):
        if file.exists():
            copy_by_link(file, path / file.name)
        else:
            (path / file.name).unlink(missing_ok=True)
    if not source.exists():
        return False
    if not run.export.exists():
        export_saved_model(model, run.export, metrics=run.read_metrics())
    _move_directory(run.export, path / run.export.name)
    return True


def _reports(run: RunDirectory) -> tuple[Path, ...]:
    return (run.metrics, run.hyperparameters, run.history, run.report, run.card)


def _delete_temporary_files(run: RunDirectory, path: Path) -> None:
    """Deletes what a process left that was killed while it published."""
    for file in (run.model, *_reports(run)):
        for temporary in path.glob(f".{file.stem}.*{file.suffix}"):
            temporary.unlink()
    for temporary in path.glob(f".{run.export.name}.*"):
        shutil.rmtree(temporary)


def _move_directory(source: Path, destination: Path) -> None:
    """Moves a directory to where another one may exist, which is deleted."""
    if destination.exists() and exchange(source, destination):
        return
    shutil.rmtree(destination, ignore_errors=True)
    try:
        source.rename(destination)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with atomic_directory(destination) as temporary:
            shutil.copytree(source, temporary, dirs_exist_ok=True)
