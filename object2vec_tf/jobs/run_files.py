"""The files of a job's run: checkpoints that SageMaker copies, and all others."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from object2vec_tf.errors import UserError
from object2vec_tf.files.atomic import copy_by_link, remove
from object2vec_tf.files.locks import locked
from object2vec_tf.files.staging import register
from object2vec_tf.files.writable import report_unwritable
from object2vec_tf.runs.run_directory import RunDirectory
from object2vec_tf.training.checkpoint_files import (
    best_model,
    check_complete,
    checkpoint_paths,
    read_state,
    verify_content,
)


@contextmanager
def job_run_directory(
    path: Path, checkpoints: Path, published: Path
) -> Iterator[RunDirectory]:
    """Yields a run directory whose checkpoints are in another folder.

    Only the checkpoints outlast the job's machine, and the run resumes from them alone.
    The best model and the history are restored from the newest one. Whatever else an
    earlier process left in the run directory is deleted.

    Args:
        path: The directory that contains the run directory. It is locked.
        checkpoints: The folder of the checkpoints.
        published: The directory that gets the results. Messages have its path, since
            the run directory is deleted at the end.

    Raises:
        UserError: A directory cannot be written, or another process trains there.
    """
    with report_unwritable(path, "prefix"):
        path.mkdir(parents=True, exist_ok=True)
    try:
        checkpoints.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{checkpoints}: the folder of the checkpoints cannot be created: "
            f"{error.strerror}. Correct LocalPath in checkpointconfig.json."
        ) from error
    try:
        with locked(path, timeout=0):
            directory = RunDirectory(
                register(path.absolute() / "model", f"{published}")
            )
            shutil.rmtree(directory.path, ignore_errors=True)
            directory.path.mkdir()
            directory.checkpoints.symlink_to(checkpoints.resolve())
            _discard_incomplete(directory)
            _restore_best(directory)
            try:
                yield directory
            finally:
                shutil.rmtree(directory.path, ignore_errors=True)
    except BlockingIOError as error:
        raise UserError(
            f"{path}: another process trains with this --prefix. Wait for it to end, "
            "or choose another --prefix."
        ) from error


def _discard_incomplete(directory: RunDirectory) -> None:
    """Deletes checkpoints whose files were not all copied.

    SageMaker copies the folder file by file while the run writes to it. Checkpoints
    that are damaged stay, and are reported when the run resumes.
    """
    for path in checkpoint_paths(directory.checkpoints):
        try:
            if not directory.is_started():
                raise OSError("the file that identifies its run is missing")
            check_complete(path)
        except OSError as error:
            warnings.warn(
                f"{path.resolve()}: checkpoint skipped: {error}", stacklevel=3
            )
            remove(path)
        except UserError:
            continue


def _restore_best(directory: RunDirectory) -> None:
    """Restores the best model and the history as of the newest intact checkpoint."""
    for path in reversed(checkpoint_paths(directory.checkpoints)):
        with suppress(UserError):
            state = read_state(path)
            verify_content(path, state)
            best = best_model(path, state)
            if best:
                if best.is_file():  # else a finished run writes the model
                    copy_by_link(best, directory.model)
                directory.write_history(state["history"])
            return
