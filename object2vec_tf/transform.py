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

from object2vec_tf.bulk.job import answer_shard, record_model, split_done
from object2vec_tf.bulk.output_writers import FORMATS
from object2vec_tf.bulk.shards import Shard, find_shards, format_of
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
    shard = Shard(path, Path(destination), format_of(path, None))
    return answer_shard(model, shard, console)


def _shards() -> tuple[list[Shard], Path | None]:
    """Returns the shards, and the directory of their answers where it is one."""
    given, wanted = _INPUT.value or "", _OUTPUT.value
    source = Path(given)
    if source.is_file() and (
        not wanted or not (wanted.endswith("/") or Path(wanted).is_dir())
    ):
        answer_file = format_of(source, _FORMAT.value)
        out = Path(wanted or f"{source}{answer_file.suffix}")
        return [Shard(source, out, answer_file)], None
    channel_files(given, "input")
    if not wanted:
        raise UserError("--output is required: a directory, for several inputs")
    directory = Path(wanted)
    if directory.is_file():
        raise UserError(
            f"{directory}: is a file; --output is a directory for several inputs"
        )
    return find_shards(given, directory, _FORMAT.value), directory


def _answered(shards: Sequence[Shard], console: Console) -> Iterator[tuple[Shard, int]]:
    """Yields each shard when it is answered, and its number of lines."""
    if _RUNNER.value == "ray":
        from object2vec_tf.bulk.ray_runner import answer_over_ray

        yield from answer_over_ray(
            shards,
            _MODEL.value or "",
            _RUNTIME.value,
            address=_RAY_ADDRESS.value,
            workers=_WORKERS.value,
            console=console,
        )
        return
    model = load_model(_MODEL.value or "", _RUNTIME.value)
    for shard in shards:
        yield shard, answer_shard(model, shard, console)


def main() -> None:
    """Runs the command."""
    for flag in (_MODEL, _INPUT):
        if not flag.value:
            raise UserError(f"--{flag.name} is required; see --help")
    shards, directory = _shards()
    exported = find_exported(
        _MODEL.value or "", ONNX if _RUNTIME.value == "onnx" else SAVED_MODEL
    )
    done: list[Shard] = []
    if directory:
        record_model(directory, exported)
        shards, done = split_done(shards)
        for shard in done:
            print(f"{shard.out}: is done already")
    total = 0
    if shards:
        for shard, count in _answered(shards, Console(stderr=True)):
            total += count
            print(f"{shard.out}: {count:,} lines", flush=True)
    if directory:
        already = f", {len(done)} done already" if done else ""
        print(f"{directory}: {total:,} lines in {len(shards)} files{already}")


def cli() -> None:
    """Runs the command with the flags of the command line, and exits."""
    runner.run_cli(main)


if __name__ == "__main__":
    cli()
