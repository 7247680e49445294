"""The lines of files larger than memory in a random order."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from object2vec_tf.errors import DataError
from object2vec_tf.files.atomic import atomic_file
from object2vec_tf.files.channels import Source, channel_files
from object2vec_tf.files.line_blocks import read_line_blocks

# What a part should take, to be put into order in memory.
_PART_BYTES = 1 << 27
# Compressed files unpack to several times as much.
_UNPACKED = 5
_MOST_PARTS = 512


def shuffle_lines(source: Source, destination: Path, seed: int = 0) -> int:
    """Writes the lines of files in a uniformly random order.

    Each line is dealt to one of some parts at random, and each part is then put into a
    random order in memory. Blank lines are left out.

    Args:
        source: Files, directories and globs; ``.gz`` and ``.zst`` are unpacked.
        destination: The file to write; it is there whole, or not at all.
        seed: Decides the order.

    Returns:
        The number of lines.

    Raises:
        DataError: A file cannot be read, or there is no line.
    """
    files = channel_files(source, "input")
    size = sum(
        path.stat().st_size * (_UNPACKED if path.suffix in (".gz", ".zst") else 1)
        for path in files
    )
    parts = min(max(-(-size // _PART_BYTES), 1), _MOST_PARTS)
    generator = np.random.default_rng(seed)
    scratch = Path(tempfile.mkdtemp("", ".shuffle-", destination.parent))
    try:
        paths = [scratch / str(number) for number in range(parts)]
        count = _deal(files, paths, generator)
        if not count:
            raise DataError("the input holds no line")
        with atomic_file(destination) as temporary, temporary.open("wb") as file:
            for path in paths:
                lines = path.read_bytes().split(b"\n")[:-1]
                path.unlink()
                order = generator.permutation(len(lines)).tolist()
                file.writelines(lines[i] + b"\n" for i in order)
        return count
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _deal(files: list[Path], paths: list[Path], generator: np.random.Generator) -> int:
    count = 0
    with ExitStack() as stack:
        parts = [stack.enter_context(path.open("wb")) for path in paths]
        for lines in _lines(files):
            chosen = generator.integers(0, len(parts), len(lines))
            for number in np.unique(chosen).tolist():
                mine = np.flatnonzero(chosen == number).tolist()
                parts[number].writelines(lines[i] + b"\n" for i in mine)
            count += len(lines)
    return count


def _lines(files: list[Path]) -> Iterator[list[bytes]]:
    for path in files:
        for text in read_line_blocks(path):
            yield [line for line in text.split(b"\n") if line.strip()]
