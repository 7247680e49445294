"""Builds an index of a million items and asks it: time, memory, and what is found.

    python -m tools.benchmarks.many_items

Writes embeddings in clusters, has `object2vec_tf.neighbors` build an exact and an
approximate index of them, each in a process of its own whose peak memory is shown, and
asks both for the same queries' ten nearest. The share found is the approximate index's,
of what the exact one finds.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
from absl import flags

from object2vec_tf.commands import runner
from object2vec_tf.errors import UserError
from object2vec_tf.search.index import NeighborIndex

ITEMS = flags.DEFINE_integer("items", 1_000_000, "items in the index", 1)
DIM = flags.DEFINE_integer("dim", 64, "values in an embedding", 1)
QUERIES = flags.DEFINE_integer("queries", 1_000, "queries asked at once", 1)
DIRECTORY = flags.DEFINE_string(
    "directory", None, "where file and indexes go; by default where temporary files do"
)

_NEAREST = 10
_CLUSTERS = 2_000
_ROWS = 10_000


def vectors(generator: np.random.Generator, rows: int) -> npt.NDArray[np.float32]:
    """Returns embeddings around the centres of clusters, the same in every call."""
    centres = np.random.default_rng(0).normal(size=(_CLUSTERS, DIM.value))
    own = generator.integers(0, _CLUSTERS, rows)
    spread = generator.normal(size=(rows, DIM.value))
    return np.asarray(centres[own] + 0.5 * spread, np.float32)


def write(path: Path) -> None:
    """Writes the items' embeddings as JSON Lines."""
    generator = np.random.default_rng(1)
    with path.open("w", encoding="utf-8") as file:
        for start in range(0, ITEMS.value, _ROWS):
            rows = vectors(generator, min(_ROWS, ITEMS.value - start))
            for number, row in enumerate(np.round(rows, 4).tolist(), start):
                file.write(f'{{"in1":[{number}],"embeddings":{row}}}\n')


def build(source: Path, index: Path, search: str) -> tuple[float, float]:
    """Builds an index by the command; returns its seconds and its peak gigabytes."""
    line = [sys.executable, "-m", "object2vec_tf.neighbors", "build"]
    line += [f"--input={source}", f"--index={index}", f"--search={search}"]
    start = time.perf_counter()
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise UserError("neighbors build failed (see above)")
    return time.perf_counter() - start, usage.ru_maxrss / 1e6


def main() -> None:
    """Runs the command."""
    with tempfile.TemporaryDirectory(dir=DIRECTORY.value) as directory:
        place = Path(directory)
        source = place / "items.jsonl"
        write(source)
        size = source.stat().st_size / 1e9
        print(f"{ITEMS.value:,} items of {DIM.value} values, {size:.2f} GB of lines")
        asked = vectors(np.random.default_rng(2), QUERIES.value)
        found, seconds = {}, {}
        for search in ("exact", "approximate"):
            took, peak = build(source, place / search, search)
            index = NeighborIndex(place / search)
            index.nearest(asked[:10], _NEAREST)
            start = time.perf_counter()
            found[search] = index.nearest(asked, _NEAREST)[1]
            seconds[search] = time.perf_counter() - start
            rate = QUERIES.value / seconds[search]
            print(
                f"{search}: built in {took:.0f} s, {peak:.2f} GB at its peak; "
                f"{rate:,.0f} queries/s",
                flush=True,
            )
        pairs = zip(found["exact"].tolist(), found["approximate"].tolist(), strict=True)
        shared = sum(len({*exact} & {*near}) for exact, near in pairs)
        ratio = seconds["exact"] / seconds["approximate"]
        print(
            f"approximate beside exact: {ratio:.1f} times as fast, "
            f"{shared / found['exact'].size:.1%} of the {_NEAREST} nearest found"
        )


if __name__ == "__main__":
    runner.run(main)
