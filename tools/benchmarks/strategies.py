"""Times two workers, a core and a thread each, beside one worker of one thread.

    python -m tools.benchmarks.strategies

The processes wait for one another between rounds, in which both sides train in turn, so
that ratios hold although the machine's clock drifts. Where other programs are at work,
the seconds of a worker's core tell more than those of the clock: how much less each of
two has to do than one alone, waiting for the other included. Below the table stands
what a worker sends in a step for token tables (of a pooled encoder, the encodings'
gradients and the token ids; else rows of the tables), and what whole tables would be.
"""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from object2vec_tf.commands import runner
from object2vec_tf.data.pairs import Pairs, Report
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.ragged.column import RaggedColumn

SETTINGS = flags.DEFINE_list(
    "settings",
    ["pooled", "pooled_without_negatives", "hcnn", "hcnn_small_batch"],
    "which settings are run",
)
ROUNDS = flags.DEFINE_integer(
    "rounds", 5, "rounds of each measurement; 0: only tell what is sent", 0
)
STEPS = flags.DEFINE_integer("steps", 6, "steps in a round", 1)
WORKERS = flags.DEFINE_integer("workers", 2, "workers of the larger side", 2)
_CHILD = flags.DEFINE_string("child", None, "the setting that this process trains")
_CORE = flags.DEFINE_integer("core", 0, "the core that this process stays on")

_GO = "go"
_LOOPBACK = "lo"


@dataclasses.dataclass(frozen=True)
class Setting:
    """What is trained.

    Attributes:
        batch: Pairs in a step.
        tokens: Mean tokens of in0 and of in1.
        settings: Hyperparameters besides.
    """

    batch: int
    tokens: tuple[int, int]
    settings: dict[str, Any]

    @property
    def hyperparameters(self) -> Hyperparameters:
        """The hyperparameters."""
        return Hyperparameters(
            enc0_max_seq_len=100,
            mini_batch_size=self.batch,
            token_embedding_storage_type="row_sparse",
            **self.settings,
        )

    def pairs(self, steps: int) -> Pairs:
        """Returns pairs whose tokens are as skewed as words are (Zipf)."""
        generator = np.random.default_rng(0)
        hyperparameters, rows = self.hyperparameters, steps * self.batch
        weights = 1 / np.arange(1, hyperparameters.enc0_vocab_size + 1)
        edges = np.cumsum(weights / weights.sum())

        def column(mean: int) -> RaggedColumn:
            lengths = np.exp(generator.normal(np.log(mean * 0.86), 0.55, rows))
            lengths = np.clip(lengths.round(), 1, 100).astype(np.int64)
            ranks = np.searchsorted(edges, generator.random(lengths.sum()))
            splits = np.concatenate([[0], np.cumsum(lengths)])
            return RaggedColumn(ranks.astype(np.int32), splits)

        in0, in1 = (column(mean) for mean in self.tokens)
        labels = generator.integers(0, 2, rows)
        report = Report((), {}, {}, (), {}, "")
        return Pairs(in0, in1, labels, hyperparameters, report)


_POOLED = {
    "enc0_network": "pooled_embedding",
    "enc0_vocab_size": 50_000,
    "enc_dim": 300,
    "tied_token_embedding_weight": True,
}
_HCNN = {"enc0_network": "hcnn", "enc0_vocab_size": 10_000, "enc_dim": 512}
SIZES = {
    "pooled": Setting(4096, (20, 50), _POOLED | {"negative_sampling_rate": 5}),
    "pooled_without_negatives": Setting(2048, (20, 50), _POOLED),
    "hcnn": Setting(1024, (15, 15), _HCNN),
    "hcnn_small_batch": Setting(512, (15, 15), _HCNN),
}


def child(name: str) -> None:
    """Trains a round for each line on stdin; writes its seconds, and the core's."""
    os.sched_setaffinity(0, {_CORE.value})
    import keras
    import tensorflow as tf

    from object2vec_tf.distributed.strategies import choose_strategy
    from object2vec_tf.model.object2vec import Object2Vec
    from object2vec_tf.training.loop import TrainingLoop
    from object2vec_tf.training.replicas import Replicas

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    strategy = choose_strategy()
    setting = SIZES[name]

    def build() -> Object2Vec:
        model = Object2Vec(setting.hyperparameters)
        model.compile()
        model.optimizer.build(model.trainable_variables)
        return model

    pairs = setting.pairs(STEPS.value)
    callbacks = keras.callbacks.CallbackList([], model=None)
    loop = TrainingLoop(Replicas(strategy, build), callbacks)
    for _ in sys.stdin:
        start, cpu = time.perf_counter(), time.process_time()
        loop.train(strategy.dataset(pairs, shuffle=True, seed=0, epoch=0))
        spent = time.perf_counter() - start, time.process_time() - cpu
        print(*spent, flush=True)
    strategy.part()


class Side:
    """Worker processes that train when they are told to.

    Args:
        name: The setting.
        workers: Their number.
    """

    def __init__(self, name: str, workers: int) -> None:
        addresses = [f"127.0.0.1:{port}" for port in _free_ports(workers)]
        cores = sorted(os.sched_getaffinity(0))
        self._processes = []
        for worker in range(workers):
            task = {"type": "worker", "index": worker}
            config = {"cluster": {"worker": addresses}, "task": task}
            self._processes.append(
                subprocess.Popen(
                    [
                        sys.executable,
                        "-m",
                        "tools.benchmarks.strategies",
                        f"--child={name}",
                        f"--core={cores[worker % len(cores)]}",
                        f"--steps={STEPS.value}",
                    ],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    env=os.environ | {"TF_CONFIG": json.dumps(config)},
                )
            )

    def round(self) -> tuple[float, float]:
        """Returns the seconds of a round, and of the busiest worker's core."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(f"{_GO}\n")
            process.stdin.flush()
        told = []
        for process in self._processes:
            assert process.stdout is not None
            told.append([float(text) for text in process.stdout.readline().split()])
        return max(wall for wall, _ in told), max(core for _, core in told)

    def end(self) -> None:
        """Ends the processes."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.close()
        for process in self._processes:
            process.wait()


def _free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return ports


def measure(name: str) -> list[str]:
    """Returns the row of a setting."""
    one, several = Side(name, 1), Side(name, WORKERS.value)
    rates: dict[str, list[float]] = {"one": [], "several": []}
    sent, cores = [], []
    pairs = STEPS.value * SIZES[name].batch
    for number in range(ROUNDS.value + 1):
        alone, core_alone = one.round()
        before = _loopback_bytes()
        together, core_together = several.round()
        if number:  # the first one traces
            sent.append((_loopback_bytes() - before) / STEPS.value / WORKERS.value)
            rates["one"].append(pairs / alone)
            rates["several"].append(pairs / together)
            cores.append(core_alone / core_together)
    one.end()
    several.end()
    ratios = [b / a for a, b in zip(rates["one"], rates["several"], strict=True)]
    return [
        name,
        f"{SIZES[name].batch}",
        f"{statistics.median(rates['one']):,.0f}",
        f"{statistics.median(rates['several']):,.0f}",
        f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
        f"{statistics.median(cores):.2f} ({min(cores):.2f} to {max(cores):.2f})",
        f"{statistics.median(sent):,.0f}",
    ]


def _loopback_bytes() -> int:
    """Returns the bytes that the loopback device has sent; others' are among them."""
    for line in Path("/proc/net/dev").read_text().splitlines():
        device, _, counts = line.partition(":")
        if device.strip() == _LOOPBACK:
            return int(counts.split()[8])
    return 0


def traffic(name: str) -> list[str]:
    """Returns what a worker sends in a step, by what there is to send."""
    from object2vec_tf.data.batch_plan import shard_rows
    from object2vec_tf.distributed.collectives import filled_size
    from object2vec_tf.model.object2vec import Object2Vec

    setting, workers = SIZES[name], WORKERS.value
    hyperparameters, pairs = setting.hyperparameters, setting.pairs(1)
    model = Object2Vec(hyperparameters)
    tied = hyperparameters.tied_token_embedding_weight
    dim = hyperparameters.enc0_token_embedding_dim
    columns = [pairs.in0, pairs.in1]
    most = [0] * (1 if tied else 2)
    for worker in range(workers):
        rows, _ = shard_rows(np.arange(len(pairs)), worker, workers)
        ids = [column.take(rows).values for column in columns]
        tables = [np.concatenate(ids)] if tied else ids
        counts = [len(np.unique(table)) for table in tables]
        most = [max(pair) for pair in zip(most, counts, strict=True)]
    # A ring: rows go to each other worker, sums take two rounds of a share.
    ring = 2 * (workers - 1) / workers
    rows_sent = sum(filled_size(m) * (dim + 1) * 4 for m in most) * (workers - 1)
    table = len(most) * hyperparameters.enc0_vocab_size * dim * 4 * ring
    sent = float(rows_sent)
    if model.encoders_of_whole_batches:
        share = filled_size(-(-setting.batch // workers)) * (workers - 1)
        partners = filled_size(setting.batch) * ring
        negatives = hyperparameters.negative_sampling_rate > 0
        sent = (share + (partners if negatives else share)) * dim * 4
        sent += sum(filled_size(column.tokens) * 4 * ring for column in columns)
    weights = sum(
        int(np.prod(variable.shape))
        for variable in model.trainable_variables
        if "token_embedding" not in variable.path
    )
    return [
        name,
        f"{' + '.join(f'{m:,}' for m in most)}",
        f"{sent:,.0f}",
        f"{rows_sent:,}",
        f"{table:,.0f}",
        f"{table / sent:.1f}",
        f"{weights * 4 * ring:,.0f}",
    ]


def main() -> None:
    """Runs the command."""
    if _CHILD.value:
        child(_CHILD.value)
        return
    if ROUNDS.value:
        rows = [measure(name) for name in SETTINGS.value]
        print(
            "\n| setting | batch | 1 worker, pairs/s "
            f"| {WORKERS.value} workers, pairs/s | times | times by the cores' seconds "
            "| bytes a worker and step on the wire |\n|---|---|---|---|---|---|---|"
        )
        for row in rows:
            print(f"| {' | '.join(row)} |")
    print(
        "\n| setting | distinct tokens of a share | bytes sent for token tables "
        "| as their rows | as dense tables | times | other weights |"
        "\n|---|---|---|---|---|---|---|"
    )
    for name in SETTINGS.value:
        print(f"| {' | '.join(traffic(name))} |")


if __name__ == "__main__":
    runner.run(main)
