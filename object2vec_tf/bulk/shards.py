"""Shards: the files of a job, and the file of answers that each becomes."""

from __future__ import annotations

import dataclasses
import glob
from collections.abc import Sequence
from pathlib import Path

from object2vec_tf.bulk.output_writers import FORMATS, AnswerFile
from object2vec_tf.errors import UserError
from object2vec_tf.files.channels import channel_files
from object2vec_tf.inference.file_splits import is_parquet


@dataclasses.dataclass(frozen=True)
class Shard:
    """A file of objects, and its file of answers.

    Attributes:
        path: JSON Lines or Parquet.
        out: Where the answers go.
        answer_file: What they are written as.
    """

    path: Path
    out: Path
    answer_file: type[AnswerFile]

    @property
    def is_done(self) -> bool:
        """Whether the answers are there, and are not older than the objects."""
        if not self.out.is_file():
            return False
        return self.out.stat().st_mtime_ns >= self.path.stat().st_mtime_ns


def find_shards(source: str, directory: Path, form: str | None) -> list[Shard]:
    """Returns the shards that an input means, in a fixed order.

    A shard keeps its name, and of a directory or glob its place below, with ``.out`` or
    ``.out.parquet`` behind it.

    Args:
        source: Files, directories and globs, separated by commas.
        directory: Where the answers go.
        form: jsonl or parquet; None: what each input is.

    Raises:
        UserError: Nothing is there, or two shards would have one file of answers.
    """
    shards: dict[Path, Shard] = {}
    for part in [source] if Path(source).exists() else source.split(","):
        root = _root(part.strip())
        if Path(part).is_dir() and directory.resolve().is_relative_to(root.resolve()):
            raise UserError(
                f"{directory}: lies in the input {part}, and would be read with it; "
                "give another --output"
            )
        for path in channel_files(part, "input"):
            answer_file = format_of(path, form)
            name = f"{path.relative_to(root)}{answer_file.suffix}"
            shard = Shard(path, directory / name, answer_file)
            other = shards.setdefault(shard.out, shard)
            if not other.path.samefile(path):
                raise UserError(
                    f"{path} and {other.path}: both would become {shard.out}; give the "
                    "directory above them, or a job each"
                )
    return list(shards.values())


def format_of(path: Path, form: str | None) -> type[AnswerFile]:
    """Returns what the answers to a file are written as."""
    return FORMATS[form or ("parquet" if is_parquet(path) else "jsonl")]


def _root(part: str) -> Path:
    """Returns the directory below which the files of an input keep their places."""
    path = Path(part)
    if path.is_dir():
        return path
    if path.exists() or not glob.has_magic(part):
        return path.parent
    fixed: Sequence[str] = path.parent.parts
    magic = [i for i, name in enumerate(fixed) if glob.has_magic(name)]
    return Path(*fixed[: magic[0]]) if magic else path.parent
