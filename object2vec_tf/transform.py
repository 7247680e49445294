r"""Embeds or scores whole files of objects.

python -m object2vec_tf.transform --model=RUN --input=pairs.jsonl \
        --output=pairs.jsonl.out
python -m object2vec_tf.transform --model=RUN --input='shards/*.parquet' \
        --output=answers/ --runner=ray --workers=8
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from absl import flags
from rich.console import Console

from object2vec_tf.bulk.file_jobs import FileJob, find_file_jobs, writer_for
from object2vec_tf.bulk.job import predict_file, record_model, split_done
from object2vec_tf.bulk.output_writers import FORMATS
from object2vec_tf.commands import runner
from object2vec_tf.errors import UserError
from object2vec_tf.files.channels import channel_files
from object2vec_tf.inference.model_store import ONNX, SAVED_MODEL, find_exported
from object2vec_tf.inference.predictor import Predictor, load_model

_MODEL = flags.DEFINE_string(
    "model", None, "a run, an exported model or a directory of versions"
)
_INPUT = flags.DEFINE_string(
    "input",
    None,
    "JSON Lines (.gz and .zst are read as they are) or .parquet, with in0, in1 or "
    "both: files, directories and globs, separated by commas",
)
_OUTPUT = flags.DEFINE_string(
    "output",
    None,
    "an answer for each line of the input, in its order: a file (default: INPUT.out) "
    "or, for several inputs or with a / at its end, a directory with a file for each; "
    "there, those that are done are passed over when a job is started again",
)
_FORMAT = flags.DEFINE_enum(
    "format", None, list(FORMATS), "of the answers (default: the input's)"
)
_RUNTIME = flags.DEFINE_enum(
    "runtime", "tensorflow", ["tensorflow", "onnx"], "what runs the model"
)
_RUNNER = flags.DEFINE_enum(
    "runner",
    "local",
    ["local", "ray"],
    "this process, or the workers of a Ray cluster, to which model, input and output "
    "have the same names",
)
_RAY_ADDRESS = flags.DEFINE_string(
    "ray_address",
    "local",
    "of the cluster: local starts one of this machine, auto finds the one that this "
    "machine belongs to, HOST:PORT another",
)
_WORKERS = flags.DEFINE_integer(
    "workers",
    None,
    "of the Ray cluster, each with the model in memory (default: one for two cores)",
    lower_bound=1,
)


def transform(
    model: Predictor,
    source: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    *,
    console: Console | None = None,
) -> int:
    """Writes an embedding or a score for each line of a file, in the same order.

    Lines that have one input get ``{"embeddings": [...]}``, those that have both
    ``{"scores": [...]}``; all lines have the same inputs. Other keys, such as label,
    are passed over, as are blank lines. Memory does not grow with the file. Of Parquet,
    rows are answered, in a column embeddings or scores.

    Args:
        model: The model.
        source: JSON Lines, ``.gz`` and ``.zst`` unpacked, or ``.parquet``.
        destination: Appears when all of it is written, and not before.
        console: Where progress is shown; nowhere by default.

    Returns:
        The number of lines written.

    Raises:
        DataError: A line is wrong: the message says file, line, field and value.
    """
    path = Path(source)
    job = FileJob(path, Path(destination), writer_for(path, None))
    return predict_file(model, job, console)


def _file_jobs() -> tuple[list[FileJob], Path | None]:
    """Returns the file jobs, and the output directory if --output is a directory."""
    given, wanted = _INPUT.value or "", _OUTPUT.value
    source = Path(given)
    if source.is_file() and (
        not wanted or not (wanted.endswith("/") or Path(wanted).is_dir())
    ):
        writer = writer_for(source, _FORMAT.value)
        output = Path(wanted or f"{source}{writer.suffix}")
        return [FileJob(source, output, writer)], None
    channel_files(given, "input")
    if not wanted:
        raise UserError("--output is required: a directory, for several inputs")
    directory = Path(wanted)
    if directory.is_file():
        raise UserError(
            f"{directory}: is a file; --output is a directory for several inputs"
        )
    return find_file_jobs(given, directory, _FORMAT.value), directory


def _run_jobs(
    jobs: Sequence[FileJob], console: Console
) -> Iterator[tuple[FileJob, int]]:
    """Yields each job when it is done, and its number of lines."""
    if _RUNNER.value == "ray":
        from object2vec_tf.bulk.ray_runner import predict_on_ray

        yield from predict_on_ray(
            jobs,
            _MODEL.value or "",
            _RUNTIME.value,
            address=_RAY_ADDRESS.value,
            workers=_WORKERS.value,
            console=console,
        )
        return
    model = load_model(_MODEL.value or "", _RUNTIME.value)
    for job in jobs:
        yield job, predict_file(model, job, console)


def main() -> None:
    """Runs the command."""
    for flag in (_MODEL, _INPUT):
        if not flag.value:
            raise UserError(f"--{flag.name} is required; see --help")
    jobs, directory = _file_jobs()
    exported = find_exported(
        _MODEL.value or "", ONNX if _RUNTIME.value == "onnx" else SAVED_MODEL
    )
    done: list[FileJob] = []
    if directory:
        record_model(directory, exported)
        jobs, done = split_done(jobs)
        for job in done:
            print(f"{job.output}: is done already")
    total = 0
    if jobs:
        for job, count in _run_jobs(jobs, Console(stderr=True)):
            total += count
            print(f"{job.output}: {count:,} lines", flush=True)
    if directory:
        already = f", {len(done)} done already" if done else ""
        print(f"{directory}: {total:,} lines in {len(jobs)} files{already}")


def cli() -> None:
    """Runs the command with the flags of the command line, and exits."""
    runner.run_cli(main)


if __name__ == "__main__":
    cli()
