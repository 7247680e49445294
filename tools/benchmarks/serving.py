"""Times the ways to get scores from a model: SavedModel, Keras and the HTTP gateway.

    python -m tools.benchmarks.serving

Every round runs all of them in turn, so that the ratios are valid even if the clock
speed of the machine changes.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
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
ROUNDS = flags.DEFINE_integer("rounds", 5, "rounds per measurement", 1)
SECONDS = flags.DEFINE_float("seconds", 3.0, "seconds per HTTP load", 0.1)
TOKENS = flags.DEFINE_integer("tokens", 50, "tokens per object", 1)

_VOCABULARY = 20_000
_CONNECTIONS = 64
_BULK_PAIRS = 1000
_SIGNATURE_CALLS = 200

_SIGNATURE_ONE = "signature, one pair"
_KERAS_ONE = "Keras predict, one pair"
_GATEWAY_ONE = "gateway, one connection"
_GATEWAY_MANY = f"gateway, {_CONNECTIONS} connections"
_GATEWAY_BULK = f"gateway, {_BULK_PAIRS} pairs in JSON Lines"
_SIGNATURE_BULK = f"signature, {_BULK_PAIRS} pairs"

Pair = dict[str, list[list[int]]]
"""One pair as a batch of one row per side."""


@dataclasses.dataclass
class Timings:
    """The measurements of each way, one entry per round.

    Attributes:
        latencies: Seconds of each call or request.
        rates: Calls or requests per second.
    """

    latencies: dict[str, list[list[float]]]
    rates: dict[str, list[float]]

    def add(self, name: str, latencies: list[float], seconds: float) -> None:
        """Adds a round of one way."""
        self.latencies[name].append(latencies)
        self.rates[name].append(len(latencies) / seconds)

    def add_calls(self, name: str, call: Callable[[int], object], count: int) -> None:
        """Times ``call(0)`` to ``call(count - 1)`` and adds them as a round."""
        latencies = []
        for i in range(count):
            start = time.perf_counter()
            call(i)
            latencies.append(time.perf_counter() - start)
        self.add(name, latencies, sum(latencies))


def build_model(network: str) -> Object2Vec:
    """Returns an untrained model with the given encoder on both sides."""
    settings: dict[str, Any] = {"enc0_network": network}
    if network != "pooled_embedding":
        settings["enc0_token_embedding_dim"] = 300
    return Object2Vec(
        Hyperparameters(
            enc0_max_seq_len=TOKENS.value,
            enc0_vocab_size=_VOCABULARY,
            enc_dim=512,
            **settings,
        )
    )


def random_pairs() -> list[Pair]:
    """Returns random pairs of TOKENS tokens per object."""
    generator = np.random.default_rng(0)
    return [
        {
            name: [generator.integers(0, _VOCABULARY, TOKENS.value).tolist()]
            for name in ("in0", "in1")
        }
        for _ in range(_BULK_PAIRS)
    ]


def measure(network: str, directory: Path) -> None:
    """Measures one encoder and prints its table."""
    model = build_model(network)
    export_saved_model(model, directory)
    timings = time_rounds(model, directory, random_pairs())
    print(f"\n{network}, {TOKENS.value} tokens, {ROUNDS.value} rounds\n")
    _print_table(timings)
    _print_ratios(timings)


def time_rounds(model: Object2Vec, directory: Path, pairs: Sequence[Pair]) -> Timings:
    """Returns the timings of all rounds.

    Args:
        model: The Keras model.
        directory: Its export directory.
        pairs: The pairs to score.
    """
    # Imported late: it writes to stderr unless object2vec_tf is imported first.
    import tensorflow as tf

    predictor = SavedModelPredictor(directory / "1")
    single_inputs = [RaggedInputs.from_rows(pair) for pair in pairs]
    bulk_inputs = RaggedInputs.from_rows(
        {name: [pair[name][0] for pair in pairs] for name in ("in0", "in1")}
    )
    keras_inputs = [
        {name: tf.ragged.constant(ids, tf.int64) for name, ids in pair.items()}
        for pair in pairs[:3]
    ]
    loads = _http_loads(pairs)
    timings = Timings(defaultdict(list), defaultdict(list))
    with gateway(directory) as port:
        for _ in range(ROUNDS.value):
            timings.add_calls(
                _SIGNATURE_ONE, lambda i: predictor(single_inputs[i]), _SIGNATURE_CALLS
            )
            timings.add_calls(
                _KERAS_ONE, lambda i: model.predict(keras_inputs[i], verbose=0), 3
            )
            for name, (requests, connections) in loads.items():
                load = http_load.run(
                    "127.0.0.1", port, requests, connections, SECONDS.value
                )
                assert not load.failures
                timings.add(name, load.latencies, load.seconds)
            timings.add_calls(_SIGNATURE_BULK, lambda _: predictor(bulk_inputs), 5)
    return timings


def _http_loads(pairs: Sequence[Pair]) -> dict[str, tuple[list[bytes], int]]:
    """Returns the requests and the number of connections of each HTTP load."""
    rows = [{name: ids[0] for name, ids in pair.items()} for pair in pairs]
    single = [
        http_load.request(json.dumps({"instances": [row]}).encode()) for row in rows
    ]
    bulk = http_load.request(
        "\n".join(map(json.dumps, rows)).encode(), "application/jsonlines"
    )
    return {
        _GATEWAY_ONE: (single, 1),
        _GATEWAY_MANY: (single, _CONNECTIONS),
        _GATEWAY_BULK: ([bulk], 1),
    }


def _print_table(timings: Timings) -> None:
    print("| access | p50 ms | p99 ms | requests/s | pairs/s |\n|---|---|---|---|---|")
    for name, rounds in timings.latencies.items():
        p50, p99 = (
            1e3 * statistics.median(float(np.percentile(times, q)) for times in rounds)
            for q in (50, 99)
        )
        rate = statistics.median(timings.rates[name])
        pairs = _BULK_PAIRS if name in (_GATEWAY_BULK, _SIGNATURE_BULK) else 1
        print(f"| {name} | {p50:.2f} | {p99:.2f} | {rate:,.0f} | {rate * pairs:,.0f} |")


def _print_ratios(timings: Timings) -> None:
    medians = {
        name: [1e3 * statistics.median(times) for times in rounds]
        for name, rounds in timings.latencies.items()
    }
    rates = timings.rates
    comparisons = {
        "one pair: latency of the gateway minus latency of the signature, ms": [
            a - b
            for a, b in zip(medians[_GATEWAY_ONE], medians[_SIGNATURE_ONE], strict=True)
        ],
        f"{_CONNECTIONS} connections: requests/s relative to one connection": [
            a / b
            for a, b in zip(rates[_GATEWAY_MANY], rates[_GATEWAY_ONE], strict=True)
        ],
        f"{_BULK_PAIRS} pairs: overhead of the gateway relative to the model's time": [
            a / b - 1
            for a, b in zip(
                medians[_GATEWAY_BULK], medians[_SIGNATURE_BULK], strict=True
            )
        ],
    }
    print()
    for name, values in comparisons.items():
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
