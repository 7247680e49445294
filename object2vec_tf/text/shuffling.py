"""Shuffles the lines of files larger than memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from object2vec_tf.errors import DataError
from object2vec_tf.files.atomic import atomic_file
from object2vec_tf.files.channels import Source, channel_files
from object2vec_tf.files.leftovers import full_disk_named, temporary_directory
from object2vec_tf.files.line_blocks import open_line_blocks
from object2vec_tf.files.object_lines import is_blank
from object2vec_tf.files.special_files import scratch_parent
from object2vec_tf.progress import counted

# The intended size of a part, which is shuffled in memory.
_PART_BYTES = 1 << 27
# The assumed compression ratio of .gz and .zst files.
_COMPRESSION_RATIO = 5
_MAX_PARTS = 512


def shuffle_lines(
    source: Source, destination: Path, seed: int = 0, *, part_bytes: int = _PART_BYTES
) -> int:
    """Writes the lines of files in a uniformly random order.

    Each line goes to one of several parts at random, and each part is shuffled in
    memory. Blank lines are dropped.

    Args:
        source: Files, directories and globs; ``.gz`` and ``.zst`` are decompressed.
        destination: The file to write. It is written atomically.
        seed: Seed of the order.
        part_bytes: The intended size of a part.

    Returns:
        The number of lines.

    Raises:
        DataError: A file cannot be read, or there are no lines.

    Source: Rao 1961 and Sandelius 1962, "A simple randomization procedure"; one level
    of their recursion.
    """
    files = channel_files(source, "input")
    size = sum(
        path.stat().st_size
        * (_COMPRESSION_RATIO if path.suffix in (".gz", ".zst") else 1)
        for path in files
    )
    parts = min(max(-(-size // part_bytes), 1), _MAX_PARTS)
    generator = np.random.default_rng(seed)
    with temporary_directory(scratch_parent(destination) / "shuffle") as scratch:
        paths = [scratch / str(number) for number in range(parts)]
        with full_disk_named(scratch.parent):
            count = _distribute(files, paths, generator)
        if not count:
            raise DataError(
                "input: expected at least one line, got none. Check the input files."
            )
        with atomic_file(destination) as temporary, temporary.open("wb") as file:
            for path in counted(paths, "shuffling", "parts", lambda path: 1):
                lines = path.read_bytes().split(b"\n")[:-1]
                path.unlink()
                order = generator.permutation(len(lines)).tolist()
                file.writelines(lines[i] + b"\n" for i in order)
        return count


def _distribute(
    files: list[Path], paths: list[Path], generator: np.random.Generator
) -> int:
    """Writes each line to a random one of the paths; returns the number of lines."""
    count = 0
    with ExitStack() as stack:
        parts = [stack.enter_context(path.open("wb")) for path in paths]
        for lines in counted(_blocks(files), "distributing", "lines"):
            chosen = generator.integers(0, len(parts), len(lines))
            for part in np.unique(chosen).tolist():
                positions = np.flatnonzero(chosen == part).tolist()
                parts[part].writelines(lines[i] + b"\n" for i in positions)
            count += len(lines)
    return count


def _blocks(files: list[Path]) -> Iterator[list[bytes]]:
    """Yields the lines of files, block by block, without blank lines."""
    for path in files:
        with open_line_blocks(path) as blocks:
            for text in blocks:
                yield [line for line in text.split(b"\n") if not is_blank(line)]
