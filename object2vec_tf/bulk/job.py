"""Running file jobs in this process, and skipping those that are done."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import xxhash
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from object2vec_tf.bulk.answer_options import PLAIN, AnswerOptions
from object2vec_tf.bulk.file_jobs import FileJob
from object2vec_tf.bulk.predict_split import write_predictions
from object2vec_tf.bulk.row_counts import RowCounts
from object2vec_tf.errors import UserError
from object2vec_tf.files.atomic import atomic_file, reject_input_paths, write_atomic
from object2vec_tf.files.fingerprints import verify_unchanged
from object2vec_tf.inference.file_splits import FileSplit
from object2vec_tf.inference.predictor import Predictor
from object2vec_tf.progress import phase
from object2vec_tf.terminal import can_redraw

# A hidden file, so that programs that read all output files skip it.
RECORD = ".transform.json"
_CHUNK_BYTES = 1 << 22


def record_model(directory: Path, model: Path, options: AnswerOptions = PLAIN) -> None:
    """Records in an output directory the model and the options of its answers.

    Args:
        directory: The output directory.
        model: An exported model, or a ``.keras`` file.
        options: The options of the answers.

    Raises:
        UserError: The directory has answers of another model or with other options.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / RECORD
    record = {"model": f"{model.resolve()}", "digest": _digest(model)}
    record |= options.to_dict()
    if not path.exists():
        write_atomic(path, json.dumps(record, indent=2) + "\n")
        return
    try:
        existing = json.loads(path.read_text(encoding="utf-8"))
        is_same, name = existing["digest"] == record["digest"], existing["model"]
        other_options = AnswerOptions.from_dict(existing)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(
            f"{path}: expected the model of these predictions, got {error!r}. Give "
            "another --output, or delete this one."
        ) from error
    if not is_same:
        raise UserError(
            f"{directory}: contains predictions of another model, {name}. Give another "
            "--output, or delete this one."
        )
    if other_options != options:
        raise UserError(
            f"{directory}: expected answers with {options.flags}, contains answers "
            f"with {other_options.flags}. Give another --output, or delete this one."
        )


def _digest(model: Path) -> str:
    """Returns a digest of all files of an exported model, or of a single file."""
    digest = xxhash.xxh3_128()
    for path in [model] if model.is_file() else sorted(model.rglob("*")):
        if path.is_file():
            digest.update(f"{path.relative_to(model)}\0".encode())
            with path.open("rb") as file:
                while chunk := file.read(_CHUNK_BYTES):
                    digest.update(chunk)
    return digest.hexdigest()


def split_done(jobs: Sequence[FileJob]) -> tuple[list[FileJob], list[FileJob]]:
    """Returns the jobs that are not done, and those that are."""
    done = [job for job in jobs if job.is_done]
    return [job for job in jobs if not job.is_done], done


@contextmanager
def atomic_output(job: FileJob, signature: list[int] | None = None) -> Iterator[Path]:
    """Yields a temporary path, whose file becomes the output file at the end.

    Args:
        job: The file job.
        signature: An earlier `file_signature` of the input file; None takes it now.

    Raises:
        UserError: The output file is the input file.
        DataError: The input file has changed since its signature was taken.
    """
    reject_input_paths(job.output, [job.path])
    job.output.parent.mkdir(parents=True, exist_ok=True)
    with (
        atomic_file(job.output) as temporary,
        verify_unchanged(job.path, signature),
    ):
        yield temporary


def predict_file(
    model: Predictor, job: FileJob, console: Console | None = None
) -> RowCounts:
    """Runs a file job in this process, in constant memory.

    Args:
        model: The model.
        job: The file job. Its output file is written atomically.
        console: Shows the progress; None shows nothing.

    Returns:
        The counts of the rows.

    Raises:
        DataError: A line or row is wrong. The message has file, line, field and value.
    """
    counts = RowCounts()
    with (
        atomic_output(job) as temporary,
        progress_bar(TextColumn("{task.completed:,.0f} lines"), console) as progress,
        phase(
            f"{job.path}", lambda: f"{counts.rows:,} lines", silent=not progress.disable
        ),
    ):
        task = progress.add_task("", total=None)
        whole_file = FileSplit(job.path)
        for counts in write_predictions(
            model, whole_file, temporary, job.writer, job.options
        ):
            progress.update(task, completed=counts.rows)
    return counts


def progress_bar(first: TextColumn, console: Console | None) -> Progress:
    """Returns a progress bar, which is shown only on a terminal.

    Args:
        first: The column before the bar.
        console: Where the bar is shown; None shows nothing.
    """
    return Progress(
        first,
        BarColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=console is None or not can_redraw(console.file),
    )
