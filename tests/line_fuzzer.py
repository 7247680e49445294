"""Compares every reader of JSON Lines with the reference, on files with mistakes.

    python -m tests.line_fuzzer --cases=100000 --seed=7

reports the differences, and the seed of each: ``--seed=N --cases=1`` repeats one.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from unittest import mock

from object2vec_tf.errors import DataError
from object2vec_tf.files.wrong_formats import reject_wrong_format
from object2vec_tf.inference import jsonl_inputs
from tests.line_doors import body_door, fit_door, lenient_door, read_door
from tests.line_file_doors import (
    embeddings_door,
    items_door,
    pairs_door,
    vocabulary_door,
)
from tests.line_models import KINDS
from tests.line_mutations import mutated, valid_file

DOORS: Sequence[tuple[str, str, Callable[..., None]]] = (
    *((kind, kind, fit_door) for kind in KINDS),
    *((kind, kind, fit_door) for kind in ("ids", "regression")),
    ("objects", "ids", read_door),
    ("objects", "text", read_door),
    ("objects", "any", read_door),
    ("objects", "both", read_door),
    ("objects", "ids", lenient_door),
    ("objects", "text", lenient_door),
    ("objects", "ids", body_door),
    ("objects", "both", body_door),
    ("objects", "any", body_door),
    ("ids", "ids", pairs_door),
    ("regression", "both", pairs_door),
    ("embeddings", "ids", embeddings_door),
    ("objects", "ids", items_door),
    ("text", "text", vocabulary_door),
    ("any", "any", vocabulary_door),
)


def run_case(seed: int, folder: Path) -> str | None:
    """Returns the difference of a case; None if there is none."""
    generator = random.Random(seed)
    style, kind, door = generator.choice(DOORS)
    data = mutated(generator, valid_file(generator, style))
    path = folder / "in.jsonl"
    path.write_bytes(data)
    try:
        reject_wrong_format(path, data)
    except DataError:  # the file is rejected, instead of a line
        return None
    fast = generator.random() < 0.5
    with mock.patch.object(jsonl_inputs, "_MIN_PARSED_BYTES", 1 if fast else 1 << 14):
        try:
            door(kind, data, path, generator)
        except Exception as error:  # a traceback is a difference too
            text = str(error) or repr(error)
            return f"{door.__name__} {kind}: {type(error).__name__}: {text[:800]}"
    return None


def differences(first_seed: int, cases: int, folder: Path) -> Iterator[tuple[int, str]]:
    """Yields the seeds of cases with differences."""
    for seed in range(first_seed, first_seed + cases):
        if difference := run_case(seed, folder):
            yield seed, difference


def memory_folder() -> str | None:
    """Returns a directory in memory, if there is one: a disk would take most time."""
    return next((f for f in ("/dev/shm",) if os.access(f, os.W_OK)), None)


def main() -> None:
    """Runs cases, and prints the differences."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--show", type=int, default=20)
    options = parser.parse_args()
    start, count = time.monotonic(), 0
    with tempfile.TemporaryDirectory(dir=memory_folder()) as folder:
        for seed, difference in differences(options.seed, options.cases, Path(folder)):
            count += 1
            if count <= options.show:
                print(f"seed {seed}: {difference}", flush=True)
    seconds = time.monotonic() - start
    print(
        f"seeds {options.seed}..{options.seed + options.cases - 1}: {options.cases:,} "
        f"cases, {count} differences, {seconds:.0f} s"
    )


if __name__ == "__main__":
    main()
