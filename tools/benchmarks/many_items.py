"""Measures indexes of a million items: build time, memory, query time and recall.

    python -m tools.benchmarks.many_items

Writes clustered embeddings and builds an exact and an approximate index of them with
`object2vec_tf.neighbors`, each in its own process, whose peak memory is shown. Then
queries both for the ten nearest items of the same queries. The recall is the share of
the exact index's results that the approximate index also finds.
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
QUERIES = flags.DEFINE_integer("queries", 1_000, "queries in one call", 1)
DIRECTORY = flags.DEFINE_string(
    "directory", None, "directory of the files; default: the temporary directory"
)

_NEAREST = 10
_CLUSTERS = 2_000
_ROWS_PER_BLOCK = 10_000


def vectors(generator: np.random.Generator, rows: int) -> npt.NDArray[np.float32]:
    """Returns random embeddings around cluster centers that are always the same."""
    centers = np.random.default_rng(0).normal(size=(_CLUSTERS, DIM.value))
    cluster = generator.integers(0, _CLUSTERS, rows)
    spread = generator.normal(size=(rows, DIM.value))
    return np.asarray(centers[cluster] + 0.5 * spread, np.float32)


def write_items(path: Path) -> None:
    """Writes the items' embeddings as JSON Lines."""
    generator = np.random.default_rng(1)
    with path.open("w", encoding="utf-8") as file:
        for start in range(0, ITEMS.value, _ROWS_PER_BLOCK):
            rows = vectors(generator, min(_ROWS_PER_BLOCK, ITEMS.value - start))
            for number, row in enumerate(np.round(rows, 4).tolist(), start):
                file.write(f'{{"in1":[{number}],"embeddings":{row}}}\n')


def build(source: Path, index: Path, search: str) -> tuple[float, float]:
    """Builds an index with the command; returns seconds and peak memory in GB."""
    command = [sys.executable, "-m", "object2vec_tf.neighbors", "build"]
    command += [f"--input={source}", f"--index={index}", f"--search={search}"]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise UserError("neighbors build failed. See the output above.")
    return time.perf_counter() - start, usage.ru_maxrss / 1e6


def main() -> None:
    """Runs the command."""
    with tempfile.TemporaryDirectory(dir=DIRECTORY.value) as directory:
        root = Path(directory)
        source = root / "items.jsonl"
        write_items(source)
        size = source.stat().st_size / 1e9
        print(
            f"{ITEMS.value:,} items of {DIM.value} values, {size:.2f} GB of JSON Lines"
        )
        queries = vectors(np.random.default_rng(2), QUERIES.value)
        found, seconds = {}, {}
        for search in ("exact", "approximate"):
            build_seconds, peak = build(source, root / search, search)
            index = NeighborIndex(root / search)
            index.nearest(queries[:10], _NEAREST)
            start = time.perf_counter()
            found[search] = index.nearest(queries, _NEAREST)[1]
            seconds[search] = time.perf_counter() - start
            rate = QUERIES.value / seconds[search]
            print(
                f"{search}: built in {build_seconds:.0f} s, peak memory {peak:.2f} GB; "
                f"{rate:,.0f} queries/s",
                flush=True,
            )
        pairs = zip(found["exact"].tolist(), found["approximate"].tolist(), strict=True)
        shared = sum(len({*exact} & {*other}) for exact, other in pairs)
        ratio = seconds["exact"] / seconds["approximate"]
        print(
            f"approximate compared to exact: {ratio:.1f} times as fast, "
            f"recall@{_NEAREST} {shared / found['exact'].size:.1%}"
        )


if __name__ == "__main__":
    runner.run(main)
