"""Times training with negatives relative to training without.

    python -m tools.benchmarks.negatives

A negative combines encodings that the batch already has, so it costs only the
comparator. Every round runs both variants in turn, so that the ratios are valid even if
the clock speed of the machine changes.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable

from absl import flags

from object2vec_tf.commands import runner
from tools.benchmarks import encoders, row_sparse

RATE = flags.DEFINE_integer("rate", 5, "negatives per pair", 1)

_STEPS = 8
_HCNN_PAIRS = 768


def pooled(rate: int) -> Callable[[], object]:
    """Returns a function that trains pooled_embedding for some steps."""
    train = row_sparse.object2vec_steps(row_sparse.NAMED_SETTINGS["S"], "adam", rate)
    return lambda: train(_STEPS)


def hcnn(rate: int) -> Callable[[], object]:
    """Returns a function that trains hcnn for an epoch."""
    pairs = encoders.make_pairs(encoders.make_hyperparameters("hcnn"), _HCNN_PAIRS)
    hyperparameters = dataclasses.replace(
        pairs.hyperparameters, negative_sampling_rate=rate
    )
    return encoders.object2vec_epoch(
        dataclasses.replace(pairs, settings=hyperparameters)
    )


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main() -> None:
    """Runs the command."""
    print(f"\n| encoder | time with {RATE.value} negatives / without | min | max |")
    print("|---|---|---|---|")
    for make in (pooled, hcnn):
        variants = [make(RATE.value), make(0)]
        for run in variants * 2:
            run()  # traces the graph
        ratios = []
        for _ in range(row_sparse.ROUNDS.value):
            with_negatives, without = map(_seconds, variants)
            ratios.append(with_negatives / without)
        print(
            f"| {make.__name__} | {statistics.median(ratios):.2f} "
            f"| {min(ratios):.2f} | {max(ratios):.2f} |"
        )


if __name__ == "__main__":
    runner.run(main)
