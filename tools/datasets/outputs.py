"""What a dataset script writes: files that are there whole, and their manifest."""

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


def keep_complete(output: Path, names: Sequence[str]) -> bool:
    """Says so, and returns True, where every file is there as its manifest states."""
    try:
        manifest = json.loads((output / MANIFEST).read_bytes())
        complete = manifest == {name: file_md5(output / name) for name in names}
    except (OSError, ValueError):
        return False
    if complete:
        print(
            f"{output}: all {len(names)} files are there and match {MANIFEST};"
            f" nothing to do. Delete {MANIFEST} to have them made again."
        )
    return complete


@contextmanager
def writing(output: Path, names: Sequence[str]) -> Iterator[dict[str, Path]]:
    """Yields a path to write for each file; at the end they stand in ``output``.

    The manifest comes after all others. Where the body raises, nothing is changed.

    Args:
        output: The directory, made where it is missing.
        names: The files, by their paths in the directory.

    Raises:
        DatasetError: Something cannot be written.
    """
    # Here, because it brings TensorFlow along: what fails before need not wait for it.
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
            " Mend that, or choose another --output."
        ) from error


def json_line(row: dict[str, Any]) -> str:
    """Returns a row as a line of JSON."""
    return json.dumps(row, ensure_ascii=False) + "\n"


def write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Writes rows as JSON Lines."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(map(json_line, rows))


def wrong_pairs(
    pairs: Sequence[tuple[Any, Any]], count: int, seed: int = 0
) -> Iterator[tuple[Any, Any]]:
    """Yields pairs that are none, for a classifier to learn or to be measured by.

    Each in0, once, meets ``count`` in1 of other pairs, drawn at random; fewer where
    there are no more. None of them is a true pair.

    Args:
        pairs: The true pairs, in0 and in1, of what can be hashed.
        count: How many wrong ones are wanted for each.
        seed: Decides which.
    """
    true, chance = set(pairs), random.Random(seed)
    choices = sorted({in1 for _, in1 in pairs})
    for in0 in dict.fromkeys(in0 for in0, _ in pairs):
        drawn = chance.sample(choices, min(len(choices), 4 * count + 20))
        wrong = [in1 for in1 in drawn if (in0, in1) not in true]
        yield from ((in0, in1) for in1 in wrong[:count])


def summary(output: Path, names: Sequence[str]) -> str:
    """Makes a table of the files in a directory and their numbers of rows."""
    from object2vec_tf.files.channels import open_file  # here, as in `writing`

    width = max(map(len, names))
    table = [f"  {'file':<{width}}       rows"]
    for name in names:
        with open_file(output / name) as file:
            table.append(f"  {name:<{width}}  {sum(1 for _ in file):>9,}")
    return "\n".join(table)


def file_md5(path: Path) -> str:
    """Returns the md5 of a file's content, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, _md5).hexdigest()


def hundredth(text: str) -> int:
    """Returns a text's place among 100 equal parts, 0 to 99, by its md5."""
    return int(_md5(text.encode()).hexdigest(), 16) % 100


def _md5(content: bytes = b"") -> Any:
    return hashlib.md5(content, usedforsecurity=False)
