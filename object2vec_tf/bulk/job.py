"""A job: shards that are answered, once each, however often it is started."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import xxhash
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from object2vec_tf.bulk.predict_split import write_answers
from object2vec_tf.bulk.shards import Shard
from object2vec_tf.errors import DataError, UserError
from object2vec_tf.files.atomic import atomic_file, reject_input_paths, write_atomic
from object2vec_tf.files.fingerprints import file_signature
from object2vec_tf.inference.file_splits import FileSplit
from object2vec_tf.inference.predictor import Predictor

# Hidden, so that whoever reads the answers passes it over.
_RECORD = ".transform.json"
_CHUNK_BYTES = 1 << 22


def record_model(directory: Path, model: Path) -> None:
    """Notes which model answers in a directory.

    Args:
        directory: Where the answers go.
        model: An exported model.

    Raises:
        UserError: Another one has answered there.
    """
    directory.mkdir(parents=True, exist_ok=True)
    record = directory / _RECORD
    own = {"model": str(model.resolve()), "digest": _digest(model)}
    if record.exists():
        try:
            earlier = json.loads(record.read_text(encoding="utf-8"))
            is_another, name = earlier["digest"] != own["digest"], earlier["model"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{record}: does not tell which model has answered here: {error!r}; "
                "give another --output, or remove what is there"
            ) from error
        if is_another:
            raise UserError(
                f"{directory}: holds answers of another model, {name}; "
                "give another --output, or remove it"
            )
        return
    write_atomic(record, json.dumps(own, indent=2) + "\n")


def _digest(model: Path) -> str:
    """Returns what tells an exported model from others: of every byte of it."""
    digest = xxhash.xxh3_128()
    for path in sorted(model.rglob("*")):
        if path.is_file():
            digest.update(f"{path.relative_to(model)}\0".encode())
            with path.open("rb") as file:
                while chunk := file.read(_CHUNK_BYTES):
                    digest.update(chunk)
    return digest.hexdigest()


def split_done(shards: Sequence[Shard]) -> tuple[list[Shard], list[Shard]]:
    """Returns the shards that are to be answered, and those that are."""
    done = [shard for shard in shards if shard.is_done]
    return [shard for shard in shards if not shard.is_done], done


@contextmanager
def whole_answers(shard: Shard, before: list[int] | None = None) -> Iterator[Path]:
    """Yields a name to write a shard's answers to, which become its file at the end.

    Args:
        shard: The shard.
        before: Its signature when it was first looked at; now, by default.

    Raises:
        UserError: The shard would be written over.
        DataError: The shard changed meanwhile.
    """
    reject_input_paths(shard.out, [shard.path])
    shard.out.parent.mkdir(parents=True, exist_ok=True)
    before = before or file_signature(shard.path)
    with atomic_file(shard.out) as temporary:
        yield temporary
        if before != file_signature(shard.path):
            raise DataError(
                f"{shard.path}: changed while it was read; start again when it is "
                "complete"
            )


def answer_shard(model: Predictor, shard: Shard, console: Console | None = None) -> int:
    """Answers a shard in this process, in bounded memory.

    Args:
        model: The model.
        shard: What is answered; its file appears when all of it is written.
        console: Where progress is shown; nowhere by default.

    Returns:
        The number of rows.

    Raises:
        DataError: A line or row is wrong: the message says file, line, field and value.
    """
    count = 0
    with (
        whole_answers(shard) as temporary,
        progress(TextColumn("{task.completed:,.0f} lines"), console) as shown,
    ):
        task = shown.add_task("", total=None)
        piece = FileSplit(shard.path)
        for count in write_answers(model, piece, temporary, shard.answer_file):
            shown.update(task, completed=count)
    return count


def progress(first: TextColumn, console: Console | None) -> Progress:
    """Returns a bar of progress, for a terminal alone."""
    return Progress(
        first,
        BarColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=console is None or not console.is_terminal,
    )
