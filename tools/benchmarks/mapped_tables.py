"""Measures a gateway that reads token vectors from a table in mapped files.

    python -m tools.benchmarks.mapped_tables --rows=1000000
    python -m tools.benchmarks.mapped_tables --rows=30000000 --directory=DIR

Exports a model of objects with a generated table outside, and serves it with
``--table=mmap``. Prints the latency of requests for embeddings, and the memory of the
gateway beside that of one with the same model and a table of a few rows. Before the
first load, the table is dropped from the system's cache. A sample of the answers is
compared, bit by bit, with those for rows that are generated again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from absl import flags

from export import export_saved_model
from object2vec_tf.commands import runner
from object2vec_tf.errors import UserError
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.inference.predictor import SavedModelPredictor
from object2vec_tf.inference.ragged_inputs import RaggedInputs
from object2vec_tf.inference.table_rows import with_rows
from object2vec_tf.layers.outside_tables import MappedTables
from object2vec_tf.model.object2vec import Object2Vec
from tools.benchmarks import http_load
from tools.benchmarks.gateway_process import gateway_process
from tools.benchmarks.process_memory import kilobytes

ROWS = flags.DEFINE_integer("rows", 1_000_000, "rows of the table", 100)
DIM = flags.DEFINE_integer("dim", 64, "numbers in a row", 1)
TOKENS = flags.DEFINE_integer("tokens", 20, "tokens of an object", 1)
SECONDS = flags.DEFINE_float("seconds", 5.0, "seconds per load", 0.1)
CONNECTIONS = flags.DEFINE_integer("connections", 16, "connections of the load", 1)
DIRECTORY = flags.DEFINE_string(
    "directory", None, "directory of the files; default: the temporary directory"
)

_FEW_ROWS = 100
_REQUESTS = 20_000
_SAMPLE = 500
_SAMPLE_SECONDS = 0.02
_MEMORY = ("VmRSS", "RssAnon", "RssFile")
_MEGABYTE = 1000  # kilobytes, of 1024 bytes as in /proc

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]


class GeneratedTable:
    """A table whose numbers follow from their row and column; a `RowTable`.

    Args:
        rows: Number of rows.
        width: Number of columns.
    """

    def __init__(self, rows: int, width: int) -> None:
        self.rows = rows
        self.width = width

    def read(self, start: int, stop: int) -> Floats:
        """Returns the rows from ``start`` up to ``stop``."""
        return self.take(np.arange(start, stop))

    def take(self, ids: npt.NDArray[np.integer]) -> Floats:
        """Returns the rows of ids: numbers in [-0.5, 0.5) of 24 bits."""
        first = ids.astype(np.uint64)[:, np.newaxis] * np.uint64(self.width)
        cells = np.asarray(first + np.arange(self.width, dtype=np.uint64), np.uint64)
        hashed = cells * np.uint64(0x9E3779B97F4A7C15)  # Fibonacci hashing
        numbers = (hashed >> np.uint64(40)).astype(np.float32)
        return numbers / np.float32(2**24) - np.float32(0.5)


def export_model(table: GeneratedTable, directory: Path) -> Path:
    """Returns the version of a model with a table outside."""
    hyperparameters = Hyperparameters(
        enc0_network="pooled_embedding",
        enc0_vocab_size=table.rows,
        enc0_max_seq_len=TOKENS.value,
        enc_dim=table.width,
        tied_token_embedding_weight=True,
    )
    model = Object2Vec(hyperparameters, placement=MappedTables({"enc0": table}))
    return export_saved_model(model, directory, table_limit=0)


def objects(ids: Ids) -> list[bytes]:
    """Returns a request for the embedding of each row of ids."""
    return [
        http_load.request(json.dumps({"instances": [{"in0": row}]}).encode())
        for row in ids.tolist()
    ]


def uniform_ids(rows: int, count: int) -> Ids:
    """Returns random tokens, all equally frequent, ``[count, TOKENS]``."""
    return np.random.default_rng(1).integers(rows, size=(count, TOKENS.value))


def zipf_ids(rows: int, count: int) -> Ids:
    """Returns random tokens whose frequency is about 1 / (id + 1)."""
    exponents = np.random.default_rng(2).random((count, TOKENS.value))
    return np.minimum(np.power(float(rows), exponents).astype(np.int64), rows) - 1


def drop_from_cache(directory: Path) -> None:
    """Drops files from the system's cache, so that they are read from the disk."""
    for path in directory.rglob("*.parquet"):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@dataclasses.dataclass
class Memory:
    """The largest memory of a process in MB, by the names of /proc/PID/status."""

    peak: dict[str, float]


@contextlib.contextmanager
def watching(pid: int) -> Iterator[Memory]:
    """Yields the memory of a process, which is sampled during the block."""
    memory, ended = Memory(dict.fromkeys(_MEMORY, 0.0)), threading.Event()

    def watch() -> None:
        while not ended.wait(_SAMPLE_SECONDS):
            for name in _MEMORY:
                now = kilobytes(name, pid) / _MEGABYTE
                memory.peak[name] = max(memory.peak[name], now)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield memory
    finally:
        ended.set()
        thread.join()


def measure(name: str, exported: Path, rows: int) -> None:
    """Prints latencies and memory of a gateway, and checks a sample of its answers."""
    loads = {
        "cold, uniform, 1 connection": (uniform_ids(rows, _REQUESTS), 1),
        "uniform, 1 connection": (uniform_ids(rows, _REQUESTS)[::-1], 1),
        "Zipf, 1 connection": (zipf_ids(rows, _REQUESTS), 1),
        f"uniform, {CONNECTIONS.value} connections": (
            uniform_ids(rows, _REQUESTS),
            CONNECTIONS.value,
        ),
    }
    start = time.perf_counter()
    with gateway_process(exported.parent, ["--table=mmap"]) as (process, port):
        print(f"\n{name}: ready after {time.perf_counter() - start:.1f} s\n")
        print("| load | p50 ms | p99 ms | requests/s | VmRSS | RssAnon | RssFile MB |")
        print("|---|---|---|---|---|---|---|")
        drop_from_cache(exported)
        for load, (ids, connections) in loads.items():
            with watching(process.pid) as memory:
                result = http_load.run(
                    "127.0.0.1", port, objects(ids), connections, SECONDS.value
                )
            _print_load(load, result, memory)
        _check_sample(exported, port, rows)


def _print_load(name: str, load: http_load.Load, memory: Memory) -> None:
    if load.failures:
        raise UserError(f"{name}: {load.failures} requests failed.")
    p50, p99 = (1e3 * float(np.percentile(load.latencies, q)) for q in (50, 99))
    sizes = " | ".join(f"{memory.peak[name]:,.0f}" for name in _MEMORY)
    rate = load.requests_per_second
    print(f"| {name} | {p50:.2f} | {p99:.2f} | {rate:,.0f} | {sizes} |", flush=True)


def _check_sample(exported: Path, port: int, rows: int) -> None:
    """Compares answers with those for rows that are generated again.

    Raises:
        UserError: They differ.
    """
    ids = uniform_ids(rows, _SAMPLE)
    answers = http_load.responses("127.0.0.1", port, objects(ids))
    embeddings = np.array(
        [json.loads(answer)["predictions"][0]["embeddings"] for answer in answers],
        np.float32,
    )
    inputs = RaggedInputs.from_rows({"in0": ids.tolist()}).padded()
    table = GeneratedTable(rows, DIM.value)
    towers = SavedModelPredictor(exported)
    expected = towers.run_signature("embed_enc0", with_rows(inputs, {0: table}))
    differing = np.count_nonzero(embeddings.view(np.uint32) != expected.view(np.uint32))
    if differing:
        raise UserError(f"{differing} numbers of the answers differ.")
    print(f"\n{embeddings.size:,} numbers of {_SAMPLE} answers have the same bits.")


def main() -> None:
    """Runs the command."""
    with tempfile.TemporaryDirectory(dir=DIRECTORY.value) as directory:
        for name, rows in (("towers alone", _FEW_ROWS), ("table", ROWS.value)):
            start = time.perf_counter()
            table = GeneratedTable(rows, DIM.value)
            exported = export_model(table, Path(directory) / name.replace(" ", "_"))
            files = [*exported.rglob("*.parquet")]
            size = sum(path.stat().st_size for path in files) / 1e9
            seconds = time.perf_counter() - start
            print(
                f"{name}: {rows:,} rows of {DIM.value} numbers, {size:.3f} GB in "
                f"{len(files)} Parquet files, exported in {seconds:.0f} s with at most "
                f"{kilobytes('VmHWM') / _MEGABYTE:,.0f} MB"
            )
            measure(name, exported, rows)


if __name__ == "__main__":
    runner.run(main)
