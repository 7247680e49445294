r"""Computes embeddings or scores for files of objects.

python -m object2vec_tf.transform --model=RUN --input=pairs.jsonl \
        --output=pairs.jsonl.out
python -m object2vec_tf.transform --model=RUN --input='shards/*.parquet' \
        --output=answers/ --runner=ray --workers=8
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import keras
from absl import flags
from rich.console import Console

from export.exported_model import exported_model, is_keras_file
from object2vec_tf.bulk.answer_options import FAIL, ON_ERROR, AnswerOptions
from object2vec_tf.bulk.file_jobs import FileJob, find_file_jobs, writer_for
from object2vec_tf.bulk.job import predict_file, record_model, split_done
from object2vec_tf.bulk.output_writers import FORMATS
from object2vec_tf.bulk.remote_outputs import RemoteOutputs, remote_outputs
from object2vec_tf.bulk.row_counts import RowCounts
from object2vec_tf.commands import runner
from object2vec_tf.commands.checks import required_value, summary_stream
from object2vec_tf.commands.device_flag import DEVICE, select_device_of_flag
from object2vec_tf.commands.flag_uses import FlagUses, reject_unused_flags
from object2vec_tf.commands.line_flag import (
    MAX_LINE_MEGABYTES,
    set_line_limit_of_flag,
)
from object2vec_tf.commands.table_flag import TABLE, check_table_of_flag
from object2vec_tf.errors import UserError
from object2vec_tf.files.channels import channel_files
from object2vec_tf.files.downloads import list_files, single_file, staged_file
from object2vec_tf.files.remote import is_remote, local_path
from object2vec_tf.files.special_files import is_special
from object2vec_tf.files.uploads import local_output
from object2vec_tf.inference.exported_files import verify_exported
from object2vec_tf.inference.model_store import ONNX, SAVED_MODEL, find_exported
from object2vec_tf.inference.predictor import Predictor, load_model
from object2vec_tf.inference.token_counts import warn_of_unknown_tokens

_MODEL = flags.DEFINE_string(
    "model",
    None,
    "run directory, exported model, directory of versions or .keras file",
)
_INPUT = flags.DEFINE_string(
    "input",
    None,
    "comma-separated files, directories or globs of JSON Lines (also .gz and .zst), "
    "Parquet or Arrow, with in0, in1 or both",
)
_OUTPUT = flags.DEFINE_string(
    "output",
    None,
    "output file, with one line per input line in the same order (default: INPUT.out); "
    "for several inputs or with a trailing /, a directory with one file per input, in "
    "which a restarted job skips complete files",
)
_FORMAT = flags.DEFINE_enum(
    "format", None, list(FORMATS), "output format (default: format of the input)"
)
_RUNTIME = flags.DEFINE_enum(
    "runtime", "tensorflow", ["tensorflow", "onnx"], "runtime of the model"
)
_RUNNER = flags.DEFINE_enum(
    "runner",
    "local",
    ["local", "ray"],
    "local: this process; ray: the workers of a Ray cluster, which access model, input "
    "and output under the same paths",
)
_RAY_ADDRESS = flags.DEFINE_string(
    "ray_address",
    "local",
    "address of the Ray cluster; local: start one on this machine; auto: the cluster "
    "of this machine; HOST:PORT: another cluster",
)
_WORKERS = flags.DEFINE_integer(
    "workers",
    None,
    "number of Ray workers, each of which loads the model (default: one per two cores)",
    lower_bound=1,
)
_KEEP = flags.DEFINE_list(
    "keep",
    [],
    "fields or columns of each input, such as id,label, that are copied to its answer, "
    "before embeddings or scores",
)
_ON_ERROR = flags.DEFINE_enum(
    "on_error",
    FAIL,
    ON_ERROR,
    "what an invalid line or row becomes; fail: the job fails; skip: it has no answer; "
    'mark: its answer is {"error": "..."}, so that output line i answers input line i',
)
flags.declare_key_flag("device")
flags.declare_key_flag(MAX_LINE_MEGABYTES.name)
flags.declare_key_flag(TABLE.name)
_COMMON = (
    *(_MODEL, _INPUT, _OUTPUT, _FORMAT, _RUNTIME, _RUNNER),
    *(_KEEP, _ON_ERROR, MAX_LINE_MEGABYTES, DEVICE, TABLE),
)
_FLAG_USES: FlagUses = {
    "--runner=local": _COMMON,
    "--runner=ray": (*_COMMON, _RAY_ADDRESS, _WORKERS),
}


def transform(
    model: Predictor,
    source: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    *,
    keep: Sequence[str] = (),
    on_error: str = FAIL,
    console: Console | None = None,
) -> int:
    """Writes an embedding or a score for each line of a file, in the same order.

    All lines must have the same inputs. With one input, the output lines are
    ``{"embeddings": [...]}``; with both, ``{"scores": [...]}``. Other keys, such as
    label, and blank lines are ignored. A Parquet file gets a column embeddings or
    scores. Memory use does not depend on the size of the file.

    Args:
        model: The model of `object2vec_tf.inference.predictor.load_model`.
        source: JSON Lines (also ``.gz`` and ``.zst``), Parquet or Arrow.
        destination: Output file; written atomically.
        keep: Fields of each line that are copied to its answer.
        on_error: What an invalid line becomes. fail: an error. skip: it has no answer.
            mark: its answer is ``{"error": "..."}``.
        console: Console that shows progress; None for no progress.

    Returns:
        Number of lines written.

    Warns:
        UserWarning: Lines are invalid, or lack a field of ``keep``.

    Raises:
        DataError: A line is invalid. The message says file, line, field and value.
        UserError: Fields cannot be kept, or the model is not an exported one.
    """
    if isinstance(model, keras.Model):
        raise UserError(
            f"model: expected an exported model, got {type(model).__name__}. Load it "
            "with object2vec_tf.inference.predictor.load_model."
        )
    path = staged_file(source)
    options = AnswerOptions(tuple(keep), on_error)
    job = FileJob(path, local_path(destination), writer_for(path, None), options)
    counts = predict_file(model, job, console)
    counts.warn(path)
    return counts.answers(options)


@dataclasses.dataclass(frozen=True)
class _Work:
    """What the flags ask for.

    Attributes:
        jobs: The file jobs.
        directory: The output directory; None for a single output file.
        remote: The output directory if it is remote.
    """

    jobs: list[FileJob]
    directory: Path | None = None
    remote: RemoteOutputs | None = None

    def split_done(self) -> tuple[list[FileJob], list[FileJob]]:
        """Returns the jobs that are not done, and those that are."""
        if self.remote is None:
            return split_done(self.jobs)
        done = [job for job in self.jobs if self.remote.is_done(job)]
        return [job for job in self.jobs if job not in done], done


@contextmanager
def _work(options: AnswerOptions) -> Iterator[_Work]:
    """Yields what the flags ask for; at the end, a remote output file is uploaded."""
    source, output = required_value(_INPUT), _OUTPUT.value
    path = single_file(source)
    if path is not None and not (output and _is_directory(output)):
        writer = writer_for(path, _FORMAT.value)
        with local_output(output or f"{path}{writer.suffix}") as file:
            yield _Work([FileJob(path, file, writer, options)])
        return
    channel_files(source, "input")
    if not output:
        raise UserError("--output is required for several inputs. Give a directory.")
    if is_remote(output):
        with remote_outputs(output) as remote:
            jobs = find_file_jobs(source, remote.directory, _FORMAT.value, options)
            yield _Work(jobs, remote.directory, remote)
        return
    directory = local_path(output)
    if directory.exists() and not directory.is_dir():
        raise UserError(
            f"{directory}: expected a directory for several inputs, got a file. Change "
            "--output."
        )
    yield _Work(find_file_jobs(source, directory, _FORMAT.value, options), directory)


def _is_directory(output: str) -> bool:
    if output.endswith("/"):
        return True
    if is_remote(output):
        return any(file.name for file in list_files(output))
    return local_path(output).is_dir()


def _run_jobs(
    jobs: Sequence[FileJob], exported: Path, console: Console
) -> Iterator[tuple[FileJob, RowCounts]]:
    """Yields each job after it is complete, with the counts of its lines."""
    if _RUNNER.value == "ray":
        from object2vec_tf.bulk.ray_runner import predict_on_ray

        yield from predict_on_ray(
            jobs,
            str(exported),
            _RUNTIME.value,
            table=TABLE.value,
            address=_RAY_ADDRESS.value,
            workers=_WORKERS.value,
            console=console,
        )
        return
    predictor = load_model(exported, _RUNTIME.value, table=TABLE.value)
    for job in jobs:
        yield job, predict_file(predictor, job, console)
    warn_of_unknown_tokens(predictor.token_counts, predictor.hyperparameters)


def _select_device() -> None:
    """Selects the device of the model, which only TensorFlow in this process uses."""
    for flag, needed in ((_RUNTIME, "tensorflow"), (_RUNNER, "local")):
        if DEVICE.value == "gpu" and flag.value != needed:
            raise UserError(
                f"--device=gpu: expected --{flag.name}={needed}, got {flag.value}. "
                "Remove --device."
            )
    if (_RUNTIME.value, _RUNNER.value) == ("tensorflow", "local"):
        select_device_of_flag()


def main() -> None:
    """Processes the files with the values of the flags."""
    reject_unused_flags(f"--runner={_RUNNER.value}", _FLAG_USES)
    model = required_value(_MODEL)
    if _RUNNER.value == "ray" and is_keras_file(model):
        raise UserError(
            f"--model: expected an exported model for --runner=ray, got {model}. Write "
            f"one with python -m export --model_dir={model}."
        )
    if _RUNNER.value == "ray" and _OUTPUT.value and is_special(Path(_OUTPUT.value)):
        raise UserError(
            "--output: expected a file or directory for --runner=ray, got the FIFO or "
            f"device {_OUTPUT.value}. Give --runner=local."
        )
    check_table_of_flag(_RUNTIME.value)
    _select_device()
    set_line_limit_of_flag()
    options = AnswerOptions(tuple(_KEEP.value), _ON_ERROR.value)
    _check_paths_of_workers()
    model_file = ONNX if _RUNTIME.value == "onnx" else SAVED_MODEL
    with (
        _work(options) as work,
        exported_model(model, _RUNTIME.value) as exported,
    ):
        _transform(work, find_exported(exported, model_file), options)


def _check_paths_of_workers() -> None:
    """Checks that the workers of a Ray cluster find the local copies of URLs."""
    if _RUNNER.value != "ray" or _RAY_ADDRESS.value == _RAY_ADDRESS.default:
        return
    for flag in (_MODEL, _INPUT, _OUTPUT):
        if "://" in (flag.value or "").replace("file://", ""):
            raise UserError(
                f"--{flag.name}: expected a path that all workers of the cluster can "
                f"access, got the URL {flag.value}. Mount it, or remove --ray_address."
            )


def _transform(work: _Work, exported: Path, options: AnswerOptions) -> None:
    """Runs the jobs that are not done, and reports what was done."""
    jobs, directory = work.jobs, work.directory
    done: list[FileJob] = []
    if directory:
        model, given = exported, required_value(_MODEL)
        if is_keras_file(given):  # was checked when it was exported
            model = staged_file(given)
        else:  # a damaged model must not become the model of the directory
            verify_exported(exported, _RUNTIME.value)
        record_model(directory, model, options)
        if work.remote:
            work.remote.upload_record()
        jobs, done = work.split_done()
        for job in done:
            print(f"{job.output}: already complete")
    total = RowCounts()
    if jobs:
        for job, counts in _run_jobs(jobs, exported, Console(stderr=True)):
            total += counts
            if work.remote:
                work.remote.upload(job.output)
            summary = f"{job.output}: {counts.summary(options)}"
            print(summary, file=summary_stream(job.output), flush=True)
            counts.warn(job.path)
    if directory:
        already = f", {len(done)} already complete" if done else ""
        files = "1 file" if len(jobs) == 1 else f"{len(jobs)} files"
        print(f"{directory}: {total.summary(options)} in {files}{already}")


def cli() -> None:
    """Runs the command with the flags of the command line, and exits."""
    runner.run_cli(main, modes=_FLAG_USES)


if __name__ == "__main__":
    cli()
