"""Output files of a dataset script: atomic writes, JSON Lines and the manifest."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from tools.datasets.sources import DatasetError

MANIFEST: Final = "manifest.json"
"""The md5 of every other file. It is written last."""


def is_complete(output: Path, names: Sequence[str]) -> bool:
    """Returns whether all files exist and match the manifest; if so, prints a note."""
    try:
        manifest = json.loads((output / MANIFEST).read_bytes())
        complete = manifest == {name: file_md5(output / name) for name in names}
    except (OSError, ValueError):
        return False
    if complete:
        print(
            f"{output}: all {len(names)} files exist and match {MANIFEST};"
            f" nothing to do. Delete {MANIFEST} to create them again."
        )
    return complete


@contextmanager
def atomic_outputs(output: Path, names: Sequence[str]) -> Iterator[dict[str, Path]]:
    """Yields temporary paths that replace the files in ``output`` at the end.

    The manifest is written after all other files. If the body raises, no file in
    ``output`` changes.

    Args:
        output: The directory; it is created if missing.
        names: The files, as paths relative to the directory.

    Yields:
        The temporary path to write for each name.

    Raises:
        DatasetError: A file cannot be written.
    """
    # Imported here because it imports TensorFlow; earlier errors need not wait for it.
    from object2vec_tf.files.atomic import atomic_file, write_atomic

    try:
        with ExitStack() as stack:
            paths = {}
            for name in names:
                (output / name).parent.mkdir(parents=True, exist_ok=True)
                paths[name] = stack.enter_context(atomic_file(output / name))
            yield paths
            manifest = {name: file_md5(path) for name, path in paths.items()}
        write_atomic(output / MANIFEST, json.dumps(manifest, indent=1) + "\n")
    except OSError as error:
        raise DatasetError(
            f"cannot write {error.filename or output}: {error.strerror}."
            " Fix the cause, or choose another --output."
        ) from error


def json_line(row: dict[str, Any]) -> str:
    """Returns a row as a line of JSON."""
    return json.dumps(row, ensure_ascii=False) + "\n"


def write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Writes rows as JSON Lines."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(map(json_line, rows))


def sample_negatives(
    positives: Sequence[tuple[Any, Any]], count: int, seed: int = 0
) -> Iterator[tuple[Any, Any]]:
    """Yields negative pairs for training or evaluating a classifier.

    Each distinct in0 is paired with ``count`` random in1 of other pairs, or with fewer
    if there are not enough. No negative equals a positive pair.

    Args:
        positives: The positive pairs (in0, in1); both must be hashable.
        count: Number of negatives per distinct in0.
        seed: Seed of the random choice.
    """
    known, generator = set(positives), random.Random(seed)
    candidates = sorted({in1 for _, in1 in positives})
    for in0 in dict.fromkeys(in0 for in0, _ in positives):
        # More than needed, because some of them are positive partners of in0.
        drawn = generator.sample(candidates, min(len(candidates), 4 * count + 20))
        negatives = [in1 for in1 in drawn if (in0, in1) not in known]
        yield from ((in0, in1) for in1 in negatives[:count])


def summary(output: Path, names: Sequence[str]) -> str:
    """Returns a table of the files in a directory and their numbers of rows."""
    # Imported here because it imports TensorFlow.
    from object2vec_tf.files.channels import open_file

    width = max(map(len, names))
    table = [f"  {'file':<{width}}       rows"]
    for name in names:
        with open_file(output / name) as file:
            table.append(f"  {name:<{width}}  {sum(1 for _ in file):>9,}")
    return "\n".join(table)


def file_md5(path: Path) -> str:
    """Returns the md5 of a file's content as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, _md5).hexdigest()


def md5_bucket(text: str) -> int:
    """Returns the md5 of a text modulo 100, from 0 to 99, to split data by content."""
    return int(_md5(text.encode()).hexdigest(), 16) % 100


def _md5(content: bytes = b"") -> Any:
    return hashlib.md5(content, usedforsecurity=False)
