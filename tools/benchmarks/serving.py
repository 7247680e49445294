"""Times every door to a model side by side.

    python -m tools.benchmarks.serving

Each round runs all of them in turn, so ratios hold although the machine's clock drifts.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from export import export_saved_model
from object2vec_tf.commands import runner
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.inference.predictor import SavedModelPredictor
from object2vec_tf.inference.ragged_inputs import RaggedInputs
from object2vec_tf.model.object2vec import Object2Vec
from tools.benchmarks import http_load
from tools.benchmarks.gateway_process import gateway

NETWORKS = flags.DEFINE_list("networks", ["pooled_embedding", "hcnn"], "encoders")
ROUNDS = flags.DEFINE_integer("rounds", 5, "rounds of each measurement", 1)
SECONDS = flags.DEFINE_float("seconds", 3.0, "seconds of each load", 0.1)
TOKENS = flags.DEFINE_integer("tokens", 50, "tokens an object", 1)

_VOCABULARY = 20_000
_CONNECTIONS = 64
_MANY = 1000
_REPEATS = 200


def latencies(ask: Callable[[int], object], count: int) -> list[float]:
    """Returns the seconds of each of some calls."""
    taken = []
    for i in range(count):
        start = time.perf_counter()
        ask(i)
        taken.append(time.perf_counter() - start)
    return taken


def measure(network: str, directory: Path) -> None:
    """Prints the table of one encoder."""
    # Imported late: it writes to stderr unless object2vec_tf comes first.
    import tensorflow as tf

    settings: dict[str, Any] = {"enc0_network": network}
    if network != "pooled_embedding":
        settings["enc0_token_embedding_dim"] = 300
    model = Object2Vec(
        Hyperparameters(
            enc0_max_seq_len=TOKENS.value,
            enc0_vocab_size=_VOCABULARY,
            enc_dim=512,
            **settings,
        )
    )
    export_saved_model(model, directory)
    bare = SavedModelPredictor(directory / "1")
    generator = np.random.default_rng(0)
    pairs = [
        {
            name: [generator.integers(0, _VOCABULARY, TOKENS.value).tolist()]
            for name in ("in0", "in1")
        }
        for _ in range(_MANY)
    ]
    rows = [RaggedInputs.from_rows(pair) for pair in pairs]
    ragged = [
        {n: tf.ragged.constant(ids, tf.int64) for n, ids in pair.items()}
        for pair in pairs[:3]
    ]
    lines = [{name: ids[0] for name, ids in pair.items()} for pair in pairs]
    singles = [
        http_load.request(json.dumps({"instances": [line]}).encode()) for line in lines
    ]
    many_lines = "\n".join(map(json.dumps, lines)).encode()
    many = [http_load.request(many_lines, "application/jsonlines")]
    together = RaggedInputs.from_rows(
        {name: [pair[name][0] for pair in pairs] for name in ("in0", "in1")}
    )
    seen: dict[str, list[list[float]]] = {}
    rates: dict[str, list[float]] = {}

    def keep(name: str, taken: list[float], seconds: float) -> None:
        seen.setdefault(name, []).append(taken)
        rates.setdefault(name, []).append(len(taken) / seconds)

    with gateway(directory) as port:
        for _ in range(ROUNDS.value):
            taken = latencies(lambda i: bare(rows[i]), _REPEATS)
            keep("signature, one pair", taken, sum(taken))
            taken = latencies(lambda i: model.predict(ragged[i], verbose=0), 3)
            keep("Keras predict, one pair", taken, sum(taken))
            for name, requests, connections in (
                ("gateway, one connection", singles, 1),
                (f"gateway, {_CONNECTIONS} connections", singles, _CONNECTIONS),
                (f"gateway, {_MANY} pairs in JSON Lines", many, 1),
            ):
                load = http_load.run(
                    "127.0.0.1", port, requests, connections, SECONDS.value
                )
                assert not load.failures
                keep(name, load.latencies, load.seconds)
            taken = latencies(lambda i: bare(together), 5)
            keep(f"signature, {_MANY} pairs", taken, sum(taken))
    print(f"\n{network}, {TOKENS.value} tokens, {ROUNDS.value} rounds\n")
    print("| door | p50 ms | p99 ms | requests/s | pairs/s |\n|---|---|---|---|---|")
    for name, rounds in seen.items():
        p50, p99 = (
            1e3 * statistics.median(float(np.percentile(t, q)) for t in rounds)
            for q in (50, 99)
        )
        rate = statistics.median(rates[name])
        pairs_a_request = _MANY if f" {_MANY} " in name else 1
        print(
            f"| {name} | {p50:.2f} | {p99:.2f} | {rate:,.0f} "
            f"| {rate * pairs_a_request:,.0f} |"
        )
    _ratios(seen, rates)


def _ratios(seen: dict[str, list[list[float]]], rates: dict[str, list[float]]) -> None:
    medians = {n: [1e3 * statistics.median(t) for t in ts] for n, ts in seen.items()}
    one, many = "gateway, one connection", f"gateway, {_MANY} pairs in JSON Lines"
    figures = {
        "one pair: gateway above the bare signature, ms": [
            a - b
            for a, b in zip(medians[one], medians["signature, one pair"], strict=True)
        ],
        f"{_CONNECTIONS} connections: times the sequential requests/s": [
            a / b
            for a, b in zip(
                rates[f"gateway, {_CONNECTIONS} connections"], rates[one], strict=True
            )
        ],
        f"{_MANY} pairs: gateway's time beside the model's, times the model's": [
            a / b - 1
            for a, b in zip(
                medians[many], medians[f"signature, {_MANY} pairs"], strict=True
            )
        ],
    }
    print()
    for name, values in figures.items():
        print(
            f"{name}: {statistics.median(values):.2f} "
            f"({min(values):.2f} to {max(values):.2f})"
        )


def main() -> None:
    """Runs the command."""
    for network in NETWORKS.value:
        with tempfile.TemporaryDirectory() as directory:
            measure(network, Path(directory))


if __name__ == "__main__":
    runner.run(main)
