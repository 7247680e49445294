"""Draws small training sets from those of SNLI and STS-B, to measure small data.

    python tools/datasets/small_pairs.py --output=data/small_pairs --source=data

--source is the directory with snli/ and stsb/, as tools/datasets/{snli,stsb}.py write
them. For each task and each of three seeds, a directory such as snli_0 gets
train.jsonl, 4,500 rows, and validation.jsonl, 500 rows, both drawn from the task's
train.jsonl. Rows that share a sentence, also through other rows, are a group; train and
validation have no group in common. Sentences are compared by their words, ignoring case
and punctuation. The test parts are those of SNLI and STS-B.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[2]))  # so that it runs as a script

from tools.datasets import outputs, program
from tools.datasets.snli import words
from tools.datasets.sources import DatasetError

SOURCES: Final = "the directory with snli/ and stsb/"
TASKS: Final = ("snli", "stsb")
SEEDS: Final = 3
ROWS: Final = {"validation": 500, "train": 4500}
FILES: Final = tuple(
    f"{task}_{seed}/{part}.jsonl"
    for task in TASKS
    for seed in range(SEEDS)
    for part in ROWS
)
_LARGEST_GROUP: Final = 100
"""A larger group is never a part of validation, most of which it would be."""

Row = dict[str, Any]


def prepare(output: Path, source: Path | None = None) -> None:
    """Draws and writes the subsets, unless they already exist.

    Args:
        output: The output directory.
        source: The directory with snli/ and stsb/; None: ``data``.

    Raises:
        DatasetError: The data cannot be read or written.
    """
    if outputs.is_complete(output, FILES):
        return
    root = source or Path("data")
    with outputs.atomic_outputs(output, FILES) as paths:
        for task in TASKS:
            rows = read_rows(root / task / "train.jsonl")
            for seed in range(SEEDS):
                for part, drawn in draw(rows, seed).items():
                    outputs.write_rows(paths[f"{task}_{seed}/{part}.jsonl"], drawn)
    print(f"Written to {output} from {root}:")
    print(outputs.summary(output, FILES))


def read_rows(path: Path) -> list[Row]:
    """Returns the rows of a file.

    Raises:
        DatasetError: It cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return [dict(json.loads(line)) for line in lines]
    except (OSError, ValueError) as error:
        raise DatasetError(
            f"{path}: cannot be read: {error}. Run tools/datasets/snli.py and"
            " tools/datasets/stsb.py first."
        ) from error


def draw(rows: Sequence[Row], seed: int) -> dict[str, list[Row]]:
    """Returns rows for validation and for train, from different groups.

    Args:
        rows: All rows.
        seed: Seed of the choice.
    """
    shuffled = groups(rows)
    random.Random(seed).shuffle(shuffled)
    parts: dict[str, list[Row]] = {name: [] for name in ROWS}
    for group in shuffled:
        for name, part in parts.items():
            missing = ROWS[name] - len(part)
            if missing and (name == "train" or len(group) <= _LARGEST_GROUP):
                part += group[:missing]
                break
    return parts


def groups(rows: Sequence[Row]) -> list[list[Row]]:
    """Returns the rows in groups: rows that share a sentence are in the same one.

    Example:
        >>> rows = [
        ...     {"in0": "A cat.", "in1": "An animal."},
        ...     {"in0": "Rain.", "in1": "Snow."},
        ...     {"in0": "An animal?", "in1": "A dog."},
        ... ]
        >>> [len(group) for group in groups(rows)]
        [2, 1]
    """
    parents: dict[str, str] = {}

    def root(text: str) -> str:
        while parents.setdefault(text, text) != text:
            parents[text] = parents[parents[text]]
            text = parents[text]
        return text

    for row in rows:
        first, second = map(root, _sentences(row))
        parents[second] = first
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(root(next(_sentences(row))), []).append(row)
    return list(found.values())


def _sentences(row: Row) -> Iterator[str]:
    return (words(row[side]) for side in ("in0", "in1"))


if __name__ == "__main__":
    program.run(prepare, output="data/small_pairs", sources=SOURCES)
