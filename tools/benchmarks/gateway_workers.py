"""Compares a gateway of several processes with one of a single process.

    python -m tools.benchmarks.gateway_workers

Both run at the same time, and each round loads them in turn. The load generator runs in
processes of its own, on the same cores.
"""

from __future__ import annotations

import json
import multiprocessing
import statistics
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import numpy.typing as npt
from absl import flags

from export import export_saved_model
from object2vec_tf.commands import runner
from tools.benchmarks import http_load
from tools.benchmarks.gateway_process import gateway
from tools.benchmarks.serving import build_model, random_pairs

_WORKERS = flags.DEFINE_integer("workers", 2, "processes of the second gateway", 2)
_GENERATORS = flags.DEFINE_integer("generators", 1, "processes that send requests", 1)
_CONNECTIONS = flags.DEFINE_integer("connections", 64, "connections, over all of them")


def measure(network: str, directory: Path) -> None:
    """Measures one encoder and prints the rates and their ratio."""
    export_saved_model(build_model(network), directory)
    bodies = [
        json.dumps({"instances": [{n: ids[0] for n, ids in pair.items()}]}).encode()
        for pair in random_pairs()
    ]
    requests = [http_load.request(body) for body in bodies]
    one, several = "one process", f"{_WORKERS.value} processes"
    rates: dict[str, list[float]] = {one: [], several: []}
    p99: dict[str, list[float]] = {one: [], several: []}
    context = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        pool = ProcessPoolExecutor(_GENERATORS.value, context)
        stack.enter_context(pool)
        more = [f"--workers={_WORKERS.value}"]
        ports = {
            one: stack.enter_context(gateway(directory)),
            several: stack.enter_context(gateway(directory, more)),
        }
        scores = [_scores(port, requests) for port in ports.values()]
        np.testing.assert_allclose(scores[0], scores[1], atol=1e-6)
        for _ in range(flags.FLAGS.rounds):
            for name, port in ports.items():
                load = _load(pool, port, requests)
                rates[name].append(load.requests_per_second)
                p99[name].append(1e3 * float(np.percentile(load.latencies, 99)))
    difference = float(np.abs(scores[0] - scores[1]).max())
    print(f"\n{network}, {_CONNECTIONS.value} connections\n")
    print("| gateway | requests/s | p99 ms |\n|---|---|---|")
    for name in rates:
        rate, tail = statistics.median(rates[name]), statistics.median(p99[name])
        print(f"| {name} | {rate:,.0f} | {tail:.0f} |")
    ratios = [b / a for a, b in zip(rates[one], rates[several], strict=True)]
    print(
        f"\nrequests/s of {several} relative to {one}: {statistics.median(ratios):.2f} "
        f"({min(ratios):.2f} to {max(ratios):.2f})"
    )
    print(f"largest difference of {len(requests)} scores: {difference:.1g}")


def _scores(port: int, requests: Sequence[bytes]) -> npt.NDArray[np.float64]:
    """Returns the scores of each request, sent over a connection of its own."""
    bodies = http_load.responses("127.0.0.1", port, requests)
    return np.array([json.loads(body)["predictions"][0]["scores"] for body in bodies])


def _load(
    pool: ProcessPoolExecutor, port: int, requests: Sequence[bytes]
) -> http_load.Load:
    """Returns the sum of the loads of all generators."""
    connections = max(_CONNECTIONS.value // _GENERATORS.value, 1)
    arguments = ("127.0.0.1", port, requests, connections, flags.FLAGS.seconds)
    futures = [pool.submit(http_load.run, *arguments) for _ in range(_GENERATORS.value)]
    loads = [future.result() for future in futures]
    assert not any(load.failures for load in loads)
    latencies = [seconds for load in loads for seconds in load.latencies]
    return http_load.Load(max(load.seconds for load in loads), latencies, 0)


def main() -> None:
    """Runs the command."""
    for network in flags.FLAGS.networks:
        with tempfile.TemporaryDirectory() as directory:
            measure(network, Path(directory))


if __name__ == "__main__":
    runner.run(main)
