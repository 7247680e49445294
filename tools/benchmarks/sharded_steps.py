"""Times training steps with sharded and with replicated tables on several workers.

    unshare --map-root-user --net sh -c \
        'ip link set lo up && python -m tools.benchmarks.sharded_steps'

Workers train Object2Vec with adam, row_sparse, pooled encoders with one table for both
sides, the hadamard comparator and an MLP of two layers. Each has one core, and 512
pairs of each batch. Every round runs all workers with both placements in turn, and
workers that each train a model of their own, which exchange nothing but use the memory
of the machine as much. The bytes are those of the loopback device, as in
tools/benchmarks/sharded_tables.
"""

from __future__ import annotations

import dataclasses
import statistics
import sys
import time
from collections.abc import Mapping, Sequence

from absl import flags

from object2vec_tf.commands import runner
from tools.benchmarks.row_sparse import BATCH, NAMED_SETTINGS, ROUNDS, STEPS
from tools.benchmarks.worker_processes import (
    WorkerGroup,
    loopback_bytes,
    tf_configs,
)

SHARDED = flags.DEFINE_list(
    "sharded", ["S", "W"], "settings to measure, as in tools/benchmarks/row_sparse"
)
WORKERS = flags.DEFINE_list("workers", ["2"], "numbers of workers")

ALONE = "not shared"
PLACEMENTS = ("replicated", "sharded")


@dataclasses.dataclass(frozen=True)
class Measured:
    """The median of a variant over all rounds.

    Attributes:
        step_ms: Milliseconds per step.
        sent_mb: Megabytes that a worker sends per step.
    """

    step_ms: float
    sent_mb: float


def start(
    setting: str, steps: int, environments: Sequence[Mapping[str, str]]
) -> WorkerGroup:
    """Starts workers of a setting.

    Args:
        setting: The name of the setting.
        steps: Steps per round.
        environments: TF_CONFIG of each worker.
    """
    program = [sys.executable, "-m", "tools.benchmarks.sharded_steps_worker"]
    commands = [
        [*program, setting, str(steps), str(core)] for core in range(len(environments))
    ]
    return WorkerGroup(commands, environments)


def measure(setting: str, workers: int, rounds: int, steps: int) -> dict[str, Measured]:
    """Returns the medians of the placements, and of workers that exchange nothing.

    Args:
        setting: A name in `NAMED_SETTINGS` of tools/benchmarks/row_sparse.
        workers: Number of workers.
        rounds: Number of rounds.
        steps: Steps per round.
    """
    seconds: dict[str, list[float]] = {}
    sent: dict[str, list[float]] = {}
    alone = [tf_configs({"worker": 1})[0] for _ in range(workers)]
    together = tf_configs({"worker": workers})
    with start(setting, steps, alone) as ones, start(setting, steps, together) as all_:
        variants = {ALONE: (ones, PLACEMENTS[0])}
        variants |= {name: (all_, name) for name in PLACEMENTS}
        for number in range(rounds + 1):
            for name, (group, placement) in variants.items():
                before, begin = loopback_bytes(), time.perf_counter()
                group.round(placement)
                spent = time.perf_counter() - begin
                if number:  # the first round traces the graph
                    seconds.setdefault(name, []).append(spent / steps)
                    traffic = (loopback_bytes() - before) / steps / len(group.pids)
                    sent.setdefault(name, []).append(traffic)
    return {
        name: Measured(
            1e3 * statistics.median(values), statistics.median(sent[name]) / 1e6
        )
        for name, values in seconds.items()
    }


def print_setting(name: str, workers: Sequence[int]) -> None:
    """Prints the table of a setting."""
    setting = NAMED_SETTINGS[name]
    print(
        f"\n{name}: {setting.vocab_size:,} x {setting.dim}, {setting.tokens[0]} + "
        f"{setting.tokens[1]} tokens, {BATCH} pairs per worker\n\n"
        "| workers | tables | ms per step | pairs/s | relative to no exchange "
        "| MB sent per step and worker |\n" + "|---" * 6 + "|"
    )
    for count in workers:
        results = measure(name, count, ROUNDS.value, STEPS.value)
        alone = results[ALONE].step_ms
        for variant, result in results.items():
            print(
                f"| {count} | {variant} | {result.step_ms:.1f} "
                f"| {1e3 * count * BATCH / result.step_ms:,.0f} "
                f"| {alone / result.step_ms:.2f} | {result.sent_mb:.2f} |",
                flush=True,
            )


def main() -> None:
    """Runs the command."""
    for name in SHARDED.value:
        print_setting(name, [int(count) for count in WORKERS.value])


if __name__ == "__main__":
    runner.run(main)
