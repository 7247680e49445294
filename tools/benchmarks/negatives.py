"""Times training with negatives beside training without.

    python -m tools.benchmarks.negatives

A negative pairs encodings that the batch already has, so it costs the comparator alone.
Each round runs both in turn, so ratios hold although the machine's clock drifts.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable

from absl import flags

from object2vec_tf.commands import runner
from tools.benchmarks import encoders, row_sparse

RATE = flags.DEFINE_integer("rate", 5, "negatives for each pair", 1)

_STEPS = 8
_HCNN_PAIRS = 768


def pooled(rate: int) -> Callable[[], object]:
    """Returns what trains pooled_embedding for some steps."""
    steps = row_sparse.ours(row_sparse.SIZES["S"], "adam", rate)
    return lambda: steps(_STEPS)


def hcnn(rate: int) -> Callable[[], object]:
    """Returns what trains hcnn for an epoch."""
    pairs = encoders.make_pairs(encoders.hyperparameters_of("hcnn"), _HCNN_PAIRS)
    hyperparameters = dataclasses.replace(
        pairs.hyperparameters, negative_sampling_rate=rate
    )
    return encoders.ours(dataclasses.replace(pairs, hyperparameters=hyperparameters))


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main() -> None:
    """Runs the command."""
    print(f"\n| encoder | time with {RATE.value} negatives / without | least | most |")
    print("|---|---|---|---|")
    for make in (pooled, hcnn):
        sides = [make(RATE.value), make(0)]
        for run in sides * 2:
            run()  # traces
        ratios = []
        for _ in range(row_sparse.ROUNDS.value):
            with_negatives, without = map(_seconds, sides)
            ratios.append(with_negatives / without)
        print(
            f"| {make.__name__} | {statistics.median(ratios):.2f} "
            f"| {min(ratios):.2f} | {max(ratios):.2f} |"
        )


if __name__ == "__main__":
    runner.run(main)
