"""Trains on more text than fits into memory; shows memory and time.

    python -m tools.benchmarks.large_data

Writes 20 million pairs (5 GB). A first process reads them and trains 1,000 batches; a
second process does the same with the pairs from the cache. `--format=parquet` and
`--format=arrow` write the pairs in these formats. The memory is the peak of the process
above its memory after the model was built and trained on a few pairs, while it reads
and until its end.
"""

from __future__ import annotations

import gc
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf
from absl import flags

from object2vec_tf.commands import runner
from object2vec_tf.data.channel_reader import read_pairs
from object2vec_tf.data.pairs import Pairs
from object2vec_tf.hyperparameters import Hyperparameters
from tools.benchmarks.process_memory import kilobytes
from tools.benchmarks.training import compiled_model, training_loop

PAIRS = flags.DEFINE_integer("pairs", 20_000_000, "pairs in the file", 1)
BATCHES = flags.DEFINE_integer("batches", 1_000, "batches to train on", 1)
BATCH_SIZE = flags.DEFINE_integer("batch_size", 512, "pairs per batch", 1)
BUCKET_WIDTH = flags.DEFINE_integer(
    "bucket_width", 0, "bucket width for batches of similar lengths", 0
)
FORMAT = flags.DEFINE_enum(
    "format", "jsonl", ["jsonl", "parquet", "arrow"], "format of the file"
)
DIRECTORY = flags.DEFINE_string(
    "directory",
    None,
    "directory of the file and the cache; default: the temporary directory",
)
READ = flags.DEFINE_string("read", None, "only read and train on this existing file")

# All ids have five digits, so that new ids can be written into the same text.
_MIN_ID, _VOCABULARY = 10_000, 50_000
_LENGTHS = ((5, 16), (17, 38))
_PAIRS_PER_BLOCK = 100_000


def write_pairs(path: Path, pairs: int) -> None:
    """Writes random pairs with 10 and 27 ids on average.

    All blocks of the file have the same text except for the digits of the ids.
    """
    generator = np.random.default_rng(0)
    rows = min(_PAIRS_PER_BLOCK, pairs)
    text = "".join(
        '{{"in0":[{}],"in1":[{}],"label":{}}}\n'.format(
            *(",".join(["#####"] * generator.integers(*range_)) for range_ in _LENGTHS),
            generator.integers(0, 2),
        )
        for _ in range(rows)
    )
    block = np.frombuffer(text.encode(), np.uint8).copy()
    digits = np.flatnonzero(block == ord("#"))
    powers = 10 ** np.arange(4, -1, -1)
    with path.open("wb") as file:
        for _ in range(-(-pairs // rows)):
            ids = generator.integers(_MIN_ID, _VOCABULARY, len(digits) // 5)
            block[digits] = (ids[:, None] // powers % 10 + ord("0")).ravel()
            file.write(block.data)


def write_table(path: Path, pairs: int) -> None:
    """Writes random pairs like those of `write_pairs` as Parquet or Arrow.

    A row group of the Parquet file has a million rows, pyarrow's default.
    """
    generator = np.random.default_rng(0)
    lists = pa.list_(pa.int64())
    schema = pa.schema([("in0", lists), ("in1", lists), ("label", pa.int64())])
    is_parquet = path.suffix == ".parquet"
    new = pq.ParquetWriter if is_parquet else pa.ipc.new_file
    rows = min(1 << 20 if is_parquet else _PAIRS_PER_BLOCK, pairs)
    with new(path, schema) as writer:
        for start in range(0, pairs, rows):
            count = min(rows, pairs - start)
            arrays = []
            for low, high in _LENGTHS:
                splits = np.zeros(count + 1, np.int32)
                np.cumsum(generator.integers(low, high, count), out=splits[1:])
                ids = generator.integers(_MIN_ID, _VOCABULARY, splits[-1])
                arrays.append(pa.ListArray.from_arrays(pa.array(splits), pa.array(ids)))
            arrays.append(pa.array(generator.integers(0, 2, count)))
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def reset_peak_memory() -> None:
    """Resets the peak memory (VmHWM) of this process to its current memory."""
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def memory_mb(name: str) -> int:
    """Returns the memory of this process in MB: VmRSS (current) or VmHWM (peak)."""
    return kilobytes(name) // 1024


def read_and_train(path: Path) -> None:
    """Reads the file (or its cache), trains, and prints a table row."""
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
    loop = training_loop(compiled_model(settings))
    with tempfile.TemporaryDirectory() as directory:
        few = Path(directory) / "few.jsonl"
        write_pairs(few, 10_000)
        loop.train(_batches(read_pairs(few, settings)))
    gc.collect()
    reset_peak_memory()
    before = memory_mb("VmRSS")
    start = time.perf_counter()
    pairs = read_pairs(path, settings, cache_dir=path.parent / "cache")
    read = time.perf_counter() - start
    read_mb = memory_mb("VmHWM") - before
    batches = _batches(pairs)
    next(iter(batches))
    first = time.perf_counter() - start
    start = time.perf_counter()
    loop.train(batches.take(BATCHES.value))
    rate = BATCHES.value * BATCH_SIZE.value / (time.perf_counter() - start)
    print(
        f"| {'from the cache' if pairs.report.cached else f'from {FORMAT.value}'} "
        f"| {read:,.1f} | {first:,.1f} | {rate / 1e3:,.0f} "
        f"| {before:,} | {read_mb:,} | {memory_mb('VmHWM') - before:,} |",
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
        path = Path(directory) / f"pairs.{FORMAT.value}"
        start = time.perf_counter()
        (write_pairs if FORMAT.value == "jsonl" else write_table)(path, PAIRS.value)
        print(
            f"{PAIRS.value:,} pairs, {path.stat().st_size / 1e9:.2f} GB, written in "
            f"{time.perf_counter() - start:,.0f} s\n"
        )
        print(
            "| run | read, s | first batch, s | thousand pairs/s trained "
            "| MB after warm-up | MB added while reading | MB added at peak |\n"
            "|---|---|---|---|---|---|---|",
            flush=True,
        )
        arguments = [*_other_flags(), f"--read={path}"]
        for _ in range(2):
            subprocess.run(
                [sys.executable, "-m", "tools.benchmarks.large_data", *arguments],
                check=True,
            )
        cache = sum(file.stat().st_size for file in (path.parent / "cache").rglob("*"))
        print(f"\nSize of the cache: {cache / 1e9:.2f} GB")


def _other_flags() -> list[str]:
    """Returns the flags of the command line without the directory of the file."""
    defined = flags.FLAGS.get_key_flags_for_module(sys.argv[0])
    return [
        flag.serialize()
        for flag in defined
        if flag.present and flag.name != DIRECTORY.name
    ]


if __name__ == "__main__":
    runner.run(main)
