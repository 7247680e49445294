"""File jobs: the input files of a transform, each with its output file."""

from __future__ import annotations

import dataclasses
import glob
from collections.abc import Iterator
from pathlib import Path

from object2vec_tf.bulk.answer_options import PLAIN, AnswerOptions
from object2vec_tf.bulk.output_writers import FORMATS, OutputWriter, ParquetWriter
from object2vec_tf.errors import UserError
from object2vec_tf.files.channels import files_of, remote_files
from object2vec_tf.files.path_lists import literal_start, split_paths
from object2vec_tf.files.record_batches import is_table_file
from object2vec_tf.files.remote import is_remote, local_path


@dataclasses.dataclass(frozen=True)
class FileJob:
    """An input file and the file that its predictions are written to.

    Attributes:
        path: The input file, JSON Lines or Parquet.
        output: The output file.
        writer: Writes the output file, in one of `FORMATS`.
        options: The options of the answers.

    Raises:
        UserError: Fields of JSON Lines are to be kept in a Parquet file.
    """

    path: Path
    output: Path
    writer: type[OutputWriter]
    options: AnswerOptions = PLAIN

    def __post_init__(self) -> None:
        """Checks that the output file can have the kept fields."""
        is_typed = is_table_file(self.path) or self.writer is not ParquetWriter
        if self.options.keep and not is_typed:
            raise UserError(
                f"{self.path}: expected Parquet as the input of Parquet with kept "
                "columns, got JSON Lines, whose fields have no type. Give "
                "--format=jsonl, or remove --keep."
            )

    @property
    def is_done(self) -> bool:
        """Whether the output file exists and is not older than the input file."""
        if not self.output.is_file():
            return False
        return self.output.stat().st_mtime_ns >= self.path.stat().st_mtime_ns


def find_file_jobs(
    source: str,
    directory: Path,
    output_format: str | None,
    options: AnswerOptions = PLAIN,
) -> list[FileJob]:
    """Returns a job for each input file, in a fixed order.

    An output file has the name of its input file plus ``.out`` or ``.out.parquet``.
    Files found below a directory or by a glob keep their subdirectories.

    Args:
        source: Files, directories and globs, separated by commas.
        directory: The directory of the output files.
        output_format: jsonl or parquet; None: the format of each input file.
        options: The options of the answers.

    Raises:
        UserError: No file was found, or two files have the same output file.
    """
    jobs: dict[Path, FileJob] = {}
    for part in split_paths(source):
        for path, name in _named_files(part, directory):
            writer = writer_for(path, output_format)
            output = directory / f"{name}{writer.suffix}"
            job = FileJob(path, output, writer, options)
            other = jobs.setdefault(job.output, job)
            if not other.path.samefile(path):
                raise UserError(
                    f"{path} and {other.path}: both have the output file {job.output}. "
                    "Give the directory above them as --input, or run the command once "
                    "for each."
                )
    return list(jobs.values())


def _named_files(part: str, directory: Path) -> Iterator[tuple[Path, str]]:
    """Yields the files of a part of the input, and their relative paths.

    Raises:
        UserError: The output directory is inside the input.
    """
    root = Path()
    if is_remote(part):
        is_inside = f"{directory}/".startswith(f"{part.rstrip('/')}/")
    else:
        path = local_path(part)
        root = _root(str(path))
        is_directory = path.is_dir()
        is_inside = is_directory and directory.resolve().is_relative_to(root.resolve())
    if is_inside:
        raise UserError(
            f"{directory}: is inside the input {part}: the next run would read it as "
            "input. Give another --output."
        )
    if is_remote(part):
        yield from remote_files(part, "input")
        return
    for file in files_of(part, "input"):
        yield file, str(file.relative_to(root))


def writer_for(path: Path, output_format: str | None) -> type[OutputWriter]:
    """Returns the writer of an input file's predictions.

    Args:
        path: The input file.
        output_format: jsonl or parquet; None: the format of the input file, and parquet
            for Arrow.
    """
    return FORMATS[output_format or ("parquet" if is_table_file(path) else "jsonl")]


def _root(part: str) -> Path:
    """Returns the directory below which the files of an input keep their paths."""
    path = Path(part)
    if path.is_dir():
        return path
    if path.exists() or not glob.has_magic(part):
        return path.parent
    root, rest = literal_start(part)
    names = Path(rest).parts[:-1]
    magic = [i for i, name in enumerate(names) if glob.has_magic(name)]
    return root.joinpath(*(names[: magic[0]] if magic else names))
