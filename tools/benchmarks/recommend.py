"""Times recommendations among a million items, beside faiss's exact index.

    python -m tools.benchmarks.recommend

Exports an untrained model with its items, and measures in turn, several times: the
signature and faiss in this process, for one query and for a batch, and the gateway over
HTTP and faiss from threads, for one connection and for many. Then a second version of
the model replaces the first one while the gateway is under load. All of them search for
the same number of items of the same embeddings.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import statistics
import tempfile
import threading
import time
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from absl import flags

from export import export_saved_model
from object2vec_tf.commands import runner
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.inference.catalog import RECOMMEND
from object2vec_tf.inference.predictor import SavedModelPredictor
from object2vec_tf.inference.ragged_inputs import RaggedInputs
from object2vec_tf.model.object2vec import Object2Vec
from tools.benchmarks import http_load
from tools.benchmarks.gateway_process import gateway_process
from tools.benchmarks.process_memory import kilobytes

ITEMS = flags.DEFINE_integer("items", 1_000_000, "items in the catalog", 1)
DIM = flags.DEFINE_integer("dim", 64, "values in an embedding", 1)
K = flags.DEFINE_integer("k", 100, "items per query", 1)
EXCLUDED = flags.DEFINE_integer("excluded", 50, "excluded items per query", 0)
ROUNDS = flags.DEFINE_integer("rounds", 5, "rounds per measurement", 1)
SECONDS = flags.DEFINE_float("seconds", 5.0, "seconds per measurement", 0.1)

_CONNECTIONS = 64
_QUERIES = 10_000


@dataclasses.dataclass
class Timings:
    """The latencies in seconds and the queries per second, one entry per round."""

    latencies: list[list[float]] = dataclasses.field(default_factory=list)
    rates: list[float] = dataclasses.field(default_factory=list)

    def add(self, latencies: list[float], queries: int, seconds: float) -> None:
        """Adds a round."""
        self.latencies.append(latencies)
        self.rates.append(queries / seconds)

    def row(self, name: str) -> str:
        """Returns a row of the table: medians over the rounds."""
        p50, p99 = (
            1e3 * statistics.median(float(np.percentile(x, q)) for x in self.latencies)
            for q in (50, 99)
        )
        rate = statistics.median(self.rates)
        return f"| {name} | {p50:.1f} | {p99:.1f} | {rate:,.0f} |"


def main() -> None:
    """Runs the command."""
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        start = time.perf_counter()
        model = export(root)
        print(f"export of {ITEMS.value:,} items: {time.perf_counter() - start:.0f} s")
        with gateway_process(root / "m") as (process, port):
            timings = measure(model, root / "m/1", port)
            print(f"\n{ITEMS.value:,} items of {DIM.value} values, k={K.value}\n")
            print("| search | p50 ms | p99 ms | queries/s |\n|---|---|---|---|")
            for name, rounds in timings.items():
                print(rounds.row(name), flush=True)
            reload_under_load(root, process.pid, port)


def export(root: Path) -> Object2Vec:
    """Exports a model with its items; returns the model."""
    model = Object2Vec(
        Hyperparameters(
            enc0_network="pooled_embedding",
            enc0_max_seq_len=1,
            enc0_vocab_size=_QUERIES,
            enc1_network="pooled_embedding",
            enc1_max_seq_len=1,
            enc1_vocab_size=ITEMS.value,
            enc_dim=DIM.value,
            output_layer="mean_squared_error",
        )
    )
    items = root / "items.jsonl"
    with items.open("w", encoding="utf-8") as file:
        file.writelines(f'{{"in1": [{i}]}}\n' for i in range(ITEMS.value))
    export_saved_model(
        model, root / "m", items=items, k=K.value, similarity="inner_product"
    )
    return model


def measure(model: Object2Vec, version: Path, port: int) -> dict[str, Timings]:
    """Returns the timings of each way to search."""
    import faiss

    queries = model.embed(np.arange(_QUERIES))
    index = faiss.IndexFlatIP(DIM.value)
    index.add(model.embed(np.arange(ITEMS.value), encoder=1))
    predictor = SavedModelPredictor(version)
    check(predictor, index, queries)
    generator = np.random.default_rng(0)
    requests = [_request([i], generator) for i in range(1000)]
    timings: dict[str, Timings] = defaultdict(Timings)

    def signature(size: int, excluded: bool) -> Callable[[int], object]:
        def call(i: int) -> object:
            rows = [[(i * size + j) % _QUERIES] for j in range(size)]
            count = EXCLUDED.value * excluded
            exclude = generator.integers(ITEMS.value, size=(size, count)).tolist()
            inputs = RaggedInputs.from_rows({"in0": rows, "exclude": exclude})
            return predictor.call(RECOMMEND, inputs)

        return call

    def search(size: int) -> Callable[[int], object]:
        def call(i: int) -> object:
            rows = (np.arange(size) + i * size) % _QUERIES
            return index.search(queries[rows], K.value)

        return call

    for _ in range(ROUNDS.value):
        for size in (1, _CONNECTIONS):
            many = f"{size} queries" if size > 1 else "one query"
            time_calls(timings[f"signature, {many}"], signature(size, False), size)
            excluded = f"signature, {many}, {EXCLUDED.value} items excluded each"
            time_calls(timings[excluded], signature(size, True), size)
            time_calls(timings[f"faiss, {many}"], search(size), size)
        for connections in (1, _CONNECTIONS):
            many = f"{connections} connections" if connections > 1 else "one connection"
            load = http_load.run(
                "127.0.0.1", port, requests, connections, SECONDS.value
            )
            assert not load.failures
            timings[f"gateway, {many}"].add(
                load.latencies, len(load.latencies), load.seconds
            )
        time_threads(timings[f"faiss, {_CONNECTIONS} threads"], search(1))
    return timings


def check(
    predictor: SavedModelPredictor, index: Any, queries: npt.NDArray[np.float32]
) -> None:
    """Prints how many of the signature's items are those of faiss."""
    rows = list(range(_CONNECTIONS))
    inputs = RaggedInputs.from_rows(
        {"in0": [[i] for i in rows], "exclude": [[] for _ in rows]}
    )
    outputs = predictor.call(RECOMMEND, inputs)
    scores, items = index.search(queries[rows], K.value)
    same = float((outputs["items"] == items).mean())
    difference = float(np.abs(outputs["scores"] - scores).max())
    print(
        f"items as faiss's: {same:.2%}; largest difference of scores {difference:.1e}"
    )


def time_calls(timings: Timings, call: Callable[[int], object], size: int) -> None:
    """Times calls of ``size`` queries, one after the other."""
    call(0)
    latencies: list[float] = []
    start = time.perf_counter()
    while time.perf_counter() - start < SECONDS.value:
        begin = time.perf_counter()
        call(len(latencies))
        latencies.append(time.perf_counter() - begin)
    timings.add(latencies, size * len(latencies), time.perf_counter() - start)


def time_threads(timings: Timings, call: Callable[[int], object]) -> None:
    """Times calls from as many threads as the gateway has connections."""
    latencies: list[float] = []
    start = time.perf_counter()

    def work(number: int) -> None:
        while time.perf_counter() - start < SECONDS.value:
            begin = time.perf_counter()
            call(number)
            latencies.append(time.perf_counter() - begin)

    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        list(pool.map(work, range(_CONNECTIONS)))
    timings.add(latencies, len(latencies), time.perf_counter() - start)


def reload_under_load(root: Path, pid: int, port: int) -> None:
    """Adds a version during a load; prints memory, latency and failed requests."""
    generator = np.random.default_rng(1)
    requests = [_request([i], generator) for i in range(100)]
    before = _memory(pid)
    shutil.copytree(root / "m/1", root / "new")
    peak = [before]
    done = threading.Event()

    def sample() -> None:
        while not done.wait(0.05):
            peak.append(_memory(pid))

    sampler = threading.Thread(target=sample)
    sampler.start()
    start = time.perf_counter()
    (root / "new").rename(root / "m/2")
    latencies: list[float] = []
    failures = 0
    while _version(port) < 2 or not latencies:
        load = http_load.run("127.0.0.1", port, requests, 4, 1.0)
        latencies += load.latencies
        failures += load.failures
    seconds = time.perf_counter() - start
    http_load.run("127.0.0.1", port, requests, 4, SECONDS.value)
    done.set()
    sampler.join()
    print(
        f"\nreload: {seconds:.0f} s, {len(latencies):,} requests, {failures} failed; "
        f"latency p50 {_milliseconds(latencies, 50)}, max "
        f"{_milliseconds(latencies, 100)}; memory {before:.2f} GB before, "
        f"{max(peak):.2f} GB at most, {_memory(pid):.2f} GB after"
    )


def _request(ids: list[int], generator: np.random.Generator) -> bytes:
    exclude = generator.integers(ITEMS.value, size=EXCLUDED.value).tolist()
    instance = {"in0": ids, "k": min(10, K.value), "exclude": exclude}
    body = json.dumps({"instances": [instance]}).encode()
    return http_load.request(body, path="/recommend")


def _milliseconds(latencies: Sequence[float], percentile: float) -> str:
    return f"{1e3 * float(np.percentile(latencies, percentile)):.0f} ms"


def _memory(pid: int) -> float:
    """Returns the resident memory of a process in GB."""
    return kilobytes("VmRSS", pid) / 1e6


def _version(port: int) -> float:
    url = f"http://127.0.0.1:{port}/metrics"
    with urllib.request.urlopen(url) as response:
        text = response.read().decode()
    name = "object2vec_model_version "
    (line,) = (line for line in text.splitlines() if line.startswith(name))
    return float(line.removeprefix(name))


if __name__ == "__main__":
    runner.run(main)
