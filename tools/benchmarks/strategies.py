"""Times two workers with one core and thread each, relative to one such worker.

    python -m tools.benchmarks.strategies

Every round runs both sides in turn, so that the ratios are valid even if the clock
speed of the machine changes. If other programs run on the machine, the CPU seconds of a
worker are more reliable than wall-clock seconds: they show how much less work each of
two workers has than a single one, including the time spent waiting for the other.

The second table shows the bytes that a worker sends per step for token tables (for a
pooled encoder the gradients of the encodings and the token ids, otherwise rows of the
tables), and the bytes that dense tables would need.
"""

from __future__ import annotations

import dataclasses
import os
import statistics
import sys
import time
from typing import Any

import numpy as np
from absl import flags

from object2vec_tf.commands import runner
from object2vec_tf.data.pairs import Pairs, Report
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.ragged.column import RaggedColumn
from tools.benchmarks.worker_processes import (
    WorkerGroup,
    answer,
    loopback_bytes,
    requests,
    tf_configs,
)

SETTINGS = flags.DEFINE_list(
    "settings",
    ["pooled", "pooled_without_negatives", "hcnn", "hcnn_small_batch"],
    "settings to measure",
)
ROUNDS = flags.DEFINE_integer(
    "rounds", 5, "rounds per measurement; 0: only show the bytes sent", 0
)
STEPS = flags.DEFINE_integer("steps", 6, "training steps per round", 1)
WORKERS = flags.DEFINE_integer("workers", 2, "number of workers to compare with one", 2)
_CHILD = flags.DEFINE_string("child", None, "setting that this process trains")
_CORE = flags.DEFINE_integer("core", 0, "CPU core of this process")


@dataclasses.dataclass(frozen=True)
class Setting:
    """Sizes of a model and of its batches.

    Attributes:
        batch: Pairs per step.
        tokens: Mean number of tokens of in0 and of in1.
        settings: Further hyperparameters.
    """

    batch: int
    tokens: tuple[int, int]
    settings: dict[str, Any]

    @property
    def hyperparameters(self) -> Hyperparameters:
        """The hyperparameters of the setting."""
        return Hyperparameters(
            enc0_max_seq_len=100,
            mini_batch_size=self.batch,
            token_embedding_storage_type="row_sparse",
            **self.settings,
        )

    def pairs(self, steps: int) -> Pairs:
        """Returns random pairs; token frequencies follow Zipf's law, as in text."""
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
NAMED_SETTINGS = {
    "pooled": Setting(4096, (20, 50), _POOLED | {"negative_sampling_rate": 5}),
    "pooled_without_negatives": Setting(2048, (20, 50), _POOLED),
    "hcnn": Setting(1024, (15, 15), _HCNN),
    "hcnn_small_batch": Setting(512, (15, 15), _HCNN),
}


def run_worker(name: str) -> None:
    """Trains a round per line on stdin; prints its wall-clock and CPU seconds."""
    received = requests()
    os.sched_setaffinity(0, {_CORE.value})
    import keras
    import tensorflow as tf

    from object2vec_tf.distributed.replicas import Replicas
    from object2vec_tf.distributed.selection import choose_strategy
    from object2vec_tf.model.object2vec import Object2Vec
    from object2vec_tf.training.loop import TrainingLoop

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    strategy = choose_strategy()
    setting = NAMED_SETTINGS[name]

    def build() -> Object2Vec:
        model = Object2Vec(setting.hyperparameters)
        model.compile()
        model.optimizer.build(model.trainable_variables)
        return model

    pairs = setting.pairs(STEPS.value)
    callbacks = keras.callbacks.CallbackList([], model=None)
    loop = TrainingLoop(Replicas(strategy, build), callbacks)
    for _ in received:
        start, cpu = time.perf_counter(), time.process_time()
        loop.train(strategy.dataset(pairs, shuffle=True, seed=0, epoch=0))
        spent = time.perf_counter() - start, time.process_time() - cpu
        answer(*spent)


def start_workers(name: str, workers: int) -> WorkerGroup:
    """Starts the processes of a setting, a round per request."""
    cores = sorted(os.sched_getaffinity(0))
    commands = [
        [
            sys.executable,
            "-m",
            "tools.benchmarks.strategies",
            f"--child={name}",
            f"--core={cores[worker % len(cores)]}",
            f"--steps={STEPS.value}",
        ]
        for worker in range(workers)
    ]
    return WorkerGroup(commands, tf_configs({"worker": workers}))


def train_round(group: WorkerGroup) -> tuple[float, float]:
    """Trains a round; returns the maximum wall-clock and CPU seconds per worker."""
    walls, cpus = zip(*group.round("go"), strict=True)
    return max(walls), max(cpus)


def measure(name: str) -> list[str]:
    """Measures a setting and returns its table row."""
    rates: dict[str, list[float]] = {"one": [], "several": []}
    sent, cpu_ratios = [], []
    pairs = STEPS.value * NAMED_SETTINGS[name].batch
    with start_workers(name, 1) as one, start_workers(name, WORKERS.value) as several:
        for number in range(ROUNDS.value + 1):
            one_seconds, one_cpu = train_round(one)
            before = loopback_bytes()
            several_seconds, several_cpu = train_round(several)
            if number:  # the first round traces the graph
                sent.append((loopback_bytes() - before) / STEPS.value / WORKERS.value)
                rates["one"].append(pairs / one_seconds)
                rates["several"].append(pairs / several_seconds)
                cpu_ratios.append(one_cpu / several_cpu)
    ratios = [b / a for a, b in zip(rates["one"], rates["several"], strict=True)]
    return [
        name,
        f"{NAMED_SETTINGS[name].batch}",
        f"{statistics.median(rates['one']):,.0f}",
        f"{statistics.median(rates['several']):,.0f}",
        f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
        f"{statistics.median(cpu_ratios):.2f} "
        f"({min(cpu_ratios):.2f} to {max(cpu_ratios):.2f})",
        f"{statistics.median(sent):,.0f}",
    ]


def traffic(name: str) -> list[str]:
    """Returns the table row with the bytes that a worker sends per step."""
    from object2vec_tf.data.batch_plan import shard_rows
    from object2vec_tf.distributed.batch_shard import replicated_encoders
    from object2vec_tf.distributed.collectives import padded_size
    from object2vec_tf.model.object2vec import Object2Vec

    setting, workers = NAMED_SETTINGS[name], WORKERS.value
    hyperparameters, pairs = setting.hyperparameters, setting.pairs(1)
    model = Object2Vec(hyperparameters)
    tied = hyperparameters.tied_token_embedding_weight
    dim = hyperparameters.enc0_token_embedding_dim
    columns = [pairs.in0, pairs.in1]
    max_distinct = [0] * (1 if tied else 2)
    for worker in range(workers):
        rows, _ = shard_rows(np.arange(len(pairs)), worker, workers)
        ids = [column.take(rows).values for column in columns]
        table_ids = [np.concatenate(ids)] if tied else ids
        counts = [len(np.unique(token_ids)) for token_ids in table_ids]
        max_distinct = [max(pair) for pair in zip(max_distinct, counts, strict=True)]
    # Rows are sent to every other worker. A ring all-reduce sends each shard twice.
    ring = 2 * (workers - 1) / workers
    rows_sent = (workers - 1) * sum(
        padded_size(count) * (dim + 1) * 4 for count in max_distinct
    )
    dense = len(max_distinct) * hyperparameters.enc0_vocab_size * dim * 4 * ring
    sent = float(rows_sent)
    if replicated_encoders(hyperparameters):
        gathered = padded_size(-(-setting.batch // workers)) * (workers - 1)
        reduced = padded_size(setting.batch) * ring
        negatives = hyperparameters.negative_sampling_rate > 0
        sent = (gathered + (reduced if negatives else gathered)) * dim * 4
        sent += sum(padded_size(column.tokens) * 4 * ring for column in columns)
    weights = sum(
        int(np.prod(variable.shape))
        for variable in model.trainable_variables
        if "token_embedding" not in variable.path
    )
    return [
        name,
        " + ".join(f"{count:,}" for count in max_distinct),
        f"{sent:,.0f}",
        f"{rows_sent:,}",
        f"{dense:,.0f}",
        f"{dense / sent:.1f}",
        f"{weights * 4 * ring:,.0f}",
    ]


def main() -> None:
    """Runs the command."""
    if _CHILD.value:
        run_worker(_CHILD.value)
        return
    if ROUNDS.value:
        rows = [measure(name) for name in SETTINGS.value]
        print(
            "\n| setting | batch | 1 worker, pairs/s "
            f"| {WORKERS.value} workers, pairs/s | ratio | ratio by CPU seconds "
            "| bytes sent per worker and step |\n|---|---|---|---|---|---|---|"
        )
        for row in rows:
            print(f"| {' | '.join(row)} |")
    print(
        "\n| setting | distinct tokens per shard | bytes sent for token tables "
        "| as rows | as dense tables | ratio | other weights |"
        "\n|---|---|---|---|---|---|---|"
    )
    for name in SETTINGS.value:
        print(f"| {' | '.join(traffic(name))} |")


if __name__ == "__main__":
    runner.run(main)
