"""Times the checksums of a neighbor index: how much of opening an index they take.

    python -m tools.benchmarks.index_checksums [--items=1000000] [--dim=64]

Writes an exact index of random embeddings to the temporary directory, and opens it a
few times. Its files are in the memory that the system uses for files.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from absl import flags

from object2vec_tf.commands import runner
from object2vec_tf.search.faiss_index import add_vectors, new_index, write_vectors
from object2vec_tf.search.index_directory import ITEMS, VECTORS, IndexFiles
from object2vec_tf.search.index_manifest import (
    FORMAT,
    read_manifest,
    verify_index,
    write_manifest,
)
from object2vec_tf.search.stored_lines import write_lines

ITEM_COUNT = flags.DEFINE_integer("items", 1_000_000, "number of items", 1)
DIM = flags.DEFINE_integer("dim", 64, "width of an embedding", 1)
ROUNDS = 5
_BLOCK = 100_000


def main() -> None:
    """Measures, and prints one line."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        _write_index(directory, ITEM_COUNT.value, DIM.value)
        size = sum(path.stat().st_size for path in directory.iterdir()) / 1e9
        manifest = read_manifest(directory)
        opening = _seconds(lambda: IndexFiles.read(directory))
        checking = _seconds(lambda: verify_index(directory, manifest))
    print(
        f"{ITEM_COUNT.value:,} items, {size:.2f} GB: {opening:.2f} s to open, of which "
        f"{checking:.2f} s for checksums ({size / checking:.1f} GB/s)"
    )


def _write_index(directory: Path, count: int, dim: int) -> None:
    generator = np.random.default_rng(0)
    index = new_index(dim, "cosine", "exact")
    for start in range(0, count, _BLOCK):
        rows = min(_BLOCK, count - start)
        vectors = generator.standard_normal((rows, dim), np.float32)
        add_vectors(index, vectors, "cosine")
    write_vectors(index, directory / VECTORS)
    write_lines(directory / ITEMS, (b'{"in1": [%d]}' % i for i in range(count)))
    manifest = {
        "format": FORMAT,
        "metric": "cosine",
        "search": "exact",
        "items": count,
        "dim": dim,
        "model": None,
        "labels": False,
    }
    write_manifest(directory, manifest)


def _seconds(call: Callable[[], object]) -> float:
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


if __name__ == "__main__":
    runner.run(main)
