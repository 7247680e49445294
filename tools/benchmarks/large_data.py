"""Trains on more text than a machine may have memory for; shows memory and time.

    python -m tools.benchmarks.large_data

Writes 20 million pairs (5 GB), reads them for the first time and trains 1,000 batches
in one process, then starts a second one that finds them in the cache. Memory is the
process's own peak, above what it had when the model had been built and had trained.
"""

from __future__ import annotations

import gc
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tensorflow as tf
from absl import flags

from object2vec_tf.commands import runner
from object2vec_tf.data.pairs import Pairs, read_pairs
from object2vec_tf.hyperparameters import Hyperparameters
from tools.benchmarks.training import compiled, loop_of

PAIRS = flags.DEFINE_integer("pairs", 20_000_000, "pairs in the file", 1)
BATCHES = flags.DEFINE_integer("batches", 1_000, "batches trained", 1)
BATCH_SIZE = flags.DEFINE_integer("batch_size", 512, "pairs in a batch", 1)
BUCKET_WIDTH = flags.DEFINE_integer("bucket_width", 0, "batches of like lengths", 0)
DIRECTORY = flags.DEFINE_string(
    "directory", None, "where file and cache go; by default where temporary files do"
)
READ = flags.DEFINE_string("read", None, "a file to read and train on, and no more")

# Ids of five digits, so that other ids can be put into the same text.
_LEAST, _VOCABULARY = 10_000, 50_000
_LENGTHS = ((5, 16), (17, 38))
_PAIRS_A_BLOCK = 100_000


def write(path: Path, pairs: int) -> None:
    """Writes random pairs of 10 and 27 ids on average."""
    generator = np.random.default_rng(0)
    rows = min(_PAIRS_A_BLOCK, pairs)
    text = "".join(
        '{{"in0":[{}],"in1":[{}],"label":{}}}\n'.format(
            *(",".join(["#####"] * generator.integers(*range_)) for range_ in _LENGTHS),
            generator.integers(0, 2),
        )
        for _ in range(rows)
    )
    block = np.frombuffer(text.encode(), np.uint8).copy()
    digits = np.flatnonzero(block == ord("#"))
    places = 10 ** np.arange(4, -1, -1)
    with path.open("wb") as file:
        for _ in range(-(-pairs // rows)):
            ids = generator.integers(_LEAST, _VOCABULARY, len(digits) // 5)
            block[digits] = (ids[:, None] // places % 10 + ord("0")).ravel()
            file.write(block.data)


def reset_peak() -> None:
    """Makes the peak of this process's memory what it has now."""
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def memory(name: str) -> int:
    """Returns VmRSS or VmHWM, megabytes of this process's memory now or at its peak."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(name):
            return int(line.split()[1]) // 1024
    raise OSError(f"/proc/self/status has no {name}")


def read_and_train(path: Path) -> None:
    """Reads the file or finds it in the cache, trains, and prints what it took."""
    settings = Hyperparameters(
        enc0_network="pooled_embedding",
        enc0_vocab_size=_VOCABULARY,
        enc0_max_seq_len=50,
        tied_token_embedding_weight=True,
        token_embedding_storage_type="row_sparse",
        enc_dim=64,
        mlp_dim=128,
        bucket_width=BUCKET_WIDTH.value,
    )
    loop = loop_of(compiled(settings))
    with tempfile.TemporaryDirectory() as directory:
        few = Path(directory) / "few.jsonl"
        write(few, 10_000)
        loop.train(_batches(read_pairs(few, settings)))
    gc.collect()
    reset_peak()
    before = memory("VmRSS")
    start = time.perf_counter()
    pairs = read_pairs(path, settings, cache_dir=path.parent / "cache")
    read = time.perf_counter() - start
    batches = _batches(pairs)
    next(iter(batches))
    first = time.perf_counter() - start
    start = time.perf_counter()
    loop.train(batches.take(BATCHES.value))
    rate = BATCHES.value * BATCH_SIZE.value / (time.perf_counter() - start)
    print(
        f"| {'from the cache' if pairs.report.cached else 'from the text'} "
        f"| {read:,.1f} | {first:,.1f} | {rate / 1e3:,.0f} "
        f"| {before:,} | {memory('VmHWM') - before:,} |",
        flush=True,
    )


def _batches(pairs: Pairs) -> tf.data.Dataset:
    return pairs.dataset(BATCH_SIZE.value, shuffle=True, seed=1, epoch=0)


def main() -> None:
    """Runs the command."""
    if READ.value:
        read_and_train(Path(READ.value))
        return
    with tempfile.TemporaryDirectory(dir=DIRECTORY.value) as directory:
        path = Path(directory) / "pairs.jsonl"
        start = time.perf_counter()
        write(path, PAIRS.value)
        print(
            f"{PAIRS.value:,} pairs, {path.stat().st_size / 1e9:.2f} GB, written in "
            f"{time.perf_counter() - start:,.0f} s\n"
        )
        print(
            "| run | read, s | first batch, s | thousand pairs/s trained "
            "| MB with the model | MB more at the peak |\n|---|---|---|---|---|---|",
            flush=True,
        )
        these = [*(a for a in sys.argv[1:] if "directory" not in a), f"--read={path}"]
        for _ in range(2):
            subprocess.run(
                [sys.executable, "-m", "tools.benchmarks.large_data", *these],
                check=True,
            )
        cache = sum(file.stat().st_size for file in (path.parent / "cache").rglob("*"))
        print(f"\nThe cache takes {cache / 1e9:.2f} GB")


if __name__ == "__main__":
    runner.run(main)
