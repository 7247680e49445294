"""Measures the exchange of a training step for a token table on several processes.

    unshare --map-root-user --net sh -c \
        'ip link set lo up && python -m tools.benchmarks.sharded_tables'

Compares methods to share a table: parameter servers, all to all, gather and slice, and
a copy in every process. Each process computes on one core; if there are more processes
than cores, they share them. Every round runs all methods in turn. The bytes
are those of the loopback device, so the program should run in a network namespace of
its own, as above. It prints the computed bytes beside them.

    python -m tools.benchmarks.sharded_tables --owners

prints how evenly the owners of rows are used, without any process.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
from absl import flags

from object2vec_tf.commands import runner
from tools.benchmarks.table_traffic import (
    PLACEMENTS,
    Batch,
    bytes_sent,
    distinct,
    largest_share,
    spread_ids,
    zipf_batches,
)
from tools.benchmarks.worker_processes import WorkerGroup, loopback_bytes, tf_configs

PROCESSES = flags.DEFINE_list("processes", ["2", "3", "4"], "numbers of processes")
TABLES = flags.DEFINE_list(
    "tables", ["300000x64", "3000000x64", "267522x300"], "tables, as ROWSxWIDTH"
)
SERVERS = "parameter servers"
METHODS = flags.DEFINE_list(
    "methods",
    [SERVERS, "all to all", "gather and slice", "replicated"],
    "methods to compare",
)
PAIRS = flags.DEFINE_integer("pairs", 512, "pairs of a batch of all processes", 1)
ROUNDS = flags.DEFINE_integer("rounds", 5, "rounds per measurement", 1)
STEPS = flags.DEFINE_integer("steps", 20, "training steps per round", 1)
OWNERS = flags.DEFINE_bool("owners", False, "only print how evenly owners are used")

_TOKENS = (20, 50)
_BATCHES = 4
# Rows that the batches of an exchange use.
_USED = 250_000


@dataclasses.dataclass(frozen=True)
class Task:
    """What a process measures.

    Attributes:
        rows: Rows of the table.
        dim: Width of the table.
        pairs: Pairs of a batch of all processes.
    """

    rows: int
    dim: int
    pairs: int

    @classmethod
    def of_table(cls, text: str) -> Task:
        """Returns the task of a table ``ROWSxWIDTH``."""
        rows, _, dim = text.partition("x")
        return cls(int(rows), int(dim), PAIRS.value)

    def batches(self) -> list[Batch]:
        """Returns the batches that all processes repeat.

        Their tokens are the same for tables of any size, at least of `_USED` rows, but
        their ids are spread over all rows.
        """
        ids = spread_ids(self.rows, _USED)
        return zipf_batches(ids, self.pairs, _TOKENS, _BATCHES)

    def batches_by_frequency(self) -> list[Batch]:
        """Returns batches with all ids, in the order of their frequency."""
        ids = np.arange(self.rows, dtype=np.int32)
        return zipf_batches(ids, self.pairs, _TOKENS, _BATCHES)


@contextmanager
def worker_groups(task: Task, processes: int) -> Iterator[dict[str, WorkerGroup]]:
    """Starts processes; yields the group that runs each method."""
    program = [sys.executable, "-m", "tools.benchmarks.sharded_tables_process"]
    command = [*program, json.dumps(dataclasses.asdict(task))]
    with ExitStack() as stack:

        def start(jobs: dict[str, int]) -> WorkerGroup:
            configs = tf_configs(jobs)
            return stack.enter_context(WorkerGroup([command] * len(configs), configs))

        started: dict[str, WorkerGroup] = {}
        for method in METHODS.value:
            if method == SERVERS:
                started[method] = start(
                    {"chief": 1, "worker": processes, "ps": processes}
                )
            else:
                others = [group for name, group in started.items() if name != SERVERS]
                started[method] = (others or [start({"worker": processes})])[0]
        yield started


@dataclasses.dataclass(frozen=True)
class Rounds:
    """The measurements of a method, one of each round.

    Attributes:
        rates: Steps per second.
        cpu: CPU milliseconds of all processes per step.
        sent: Megabytes that a process sends per step.
    """

    rates: list[float] = dataclasses.field(default_factory=list)
    cpu: list[float] = dataclasses.field(default_factory=list)
    sent: list[float] = dataclasses.field(default_factory=list)


def measure(task: Task, processes: int) -> dict[str, Rounds]:
    """Returns the measurements of each method."""
    results = {method: Rounds() for method in METHODS.value}
    with worker_groups(task, processes) as groups:
        for number in range(ROUNDS.value + 1):
            for method, group in groups.items():
                # Only the chief, which is the first process, directs the servers.
                asked = [0] if method == SERVERS else []
                sent, cpu = loopback_bytes(), group.cpu_seconds()
                start = time.perf_counter()
                group.round(f"{STEPS.value} {method}", asked)
                seconds = time.perf_counter() - start
                if number:  # the first round traces the graph
                    sent, cpu = loopback_bytes() - sent, group.cpu_seconds() - cpu
                    rounds = results[method]
                    rounds.rates.append(STEPS.value / seconds)
                    rounds.cpu.append(1e3 * cpu / STEPS.value)
                    rounds.sent.append(sent / STEPS.value / processes / 1e6)
    return results


def print_exchange(task: Task) -> None:
    """Prints the table of measurements for a token table."""
    batches = task.batches()
    print(
        f"\n{task.rows:,} x {task.dim}, {task.pairs} pairs of {_TOKENS[0]} + "
        f"{_TOKENS[1]} tokens in a batch of all processes, "
        f"{np.mean([len(distinct(batch)) for batch in batches]):,.0f} distinct tokens\n"
        "\n| processes | method | steps/s | min | max | CPU ms per step, all processes "
        "| MB sent per step and process | computed |\n" + "|---" * 8 + "|"
    )
    for processes in map(int, PROCESSES.value):
        for method, rounds in measure(task, processes).items():
            computed = np.mean(
                [bytes_sent(method, batch, processes, task.dim) for batch in batches]
            )
            print(
                f"| {processes} | {method} | {statistics.median(rounds.rates):.1f} "
                f"| {min(rounds.rates):.1f} | {max(rounds.rates):.1f} "
                f"| {statistics.median(rounds.cpu):.0f} "
                f"| {statistics.median(rounds.sent):.2f} | {computed / 1e6:.2f} |",
                flush=True,
            )


def print_owners(task: Task) -> None:
    """Prints how evenly the owners of rows are used, for ids sorted by frequency."""
    batches = task.batches_by_frequency()
    for owners in map(int, PROCESSES.value):
        for name, owner_of in PLACEMENTS.items():
            tokens, rows = (
                np.mean(
                    [
                        largest_share(owner_of(ids, task.rows, owners), owners)
                        for ids in of_batches
                    ]
                )
                for of_batches in (
                    [np.concatenate([s.ravel() for s in b]) for b in batches],
                    [distinct(batch) for batch in batches],
                )
            )
            print(
                f"| {task.rows:,} | {owners} | {name} | {rows:.2f} | {tokens:.2f} |",
                flush=True,
            )


def main() -> None:
    """Runs the command."""
    tasks = [Task.of_table(text) for text in TABLES.value]
    if OWNERS.value:
        print(
            "| rows of the table | owners | placement | rows of the busiest owner, "
            "relative to an even division | the same for tokens |\n" + "|---" * 5 + "|"
        )
    for task in tasks:
        (print_owners if OWNERS.value else print_exchange)(task)


if __name__ == "__main__":
    runner.run(main)
