"""Trains a token table that is larger than the memory of each of several workers.

    python -m tools.benchmarks.sharded_training --rows=30000000 --single_rows=20000000

Runs the command ``python -m object2vec_tf.fit`` with a sharded table on several workers
of this machine, from the start to the files of the finished run, and prints the peak
memory of each process (VmHWM of Linux) and the speed of the training. With
--single_rows, one process with the threads of all workers trains a whole table of this
size, for comparison. The pairs are random, and token frequencies follow Zipf's law.

The runs are in a temporary directory. A checkpoint takes three times as much disk space
as the table, and is written once, at the end of the only epoch.
"""

from __future__ import annotations

import dataclasses
import re
import sys
import tempfile
import time
from pathlib import Path

from absl import flags

from object2vec_tf.commands import runner
from object2vec_tf.training.memory import TABLE_SLOTS
from tools.benchmarks.watched_processes import joined, started, watch_memory
from tools.benchmarks.worker_processes import tf_configs
from tools.benchmarks.zipf_pairs import TOKENS, write_pairs

ROWS = flags.DEFINE_integer("rows", 30_000_000, "rows of the sharded table", 2)
SINGLE_ROWS = flags.DEFINE_integer(
    "single_rows", 0, "rows of the whole table of one process; 0: no such run", 0
)
DIM = flags.DEFINE_integer("dim", 64, "width of the table", 1)
OPTIMIZER = flags.DEFINE_enum("optimizer", "adam", list(TABLE_SLOTS), "optimizer")
WORKERS = flags.DEFINE_integer("workers", 3, "number of workers", 1)
THREADS = flags.DEFINE_integer("threads", 1, "threads of each worker", 1)
BATCH = flags.DEFINE_integer("batch", 2048, "pairs of a batch of all workers", 1)
STEPS = flags.DEFINE_integer("steps", 200, "training steps", 1)
DIRECTORY = flags.DEFINE_string("directory", None, "directory of the temporary files")
RESERVE = flags.DEFINE_float(
    "reserve_gb", 0.5, "all processes are ended if less memory is available", 0
)

_SPEED = re.compile(r"train throughput=([0-9.e+]+) records/second")


@dataclasses.dataclass(frozen=True)
class Result:
    """What was measured of a run.

    Attributes:
        peaks: Peak memory of each process in GB.
        pairs_per_second: Speed of the training.
        seconds: Duration of the command.
    """

    peaks: list[float]
    pairs_per_second: float
    seconds: float


def fit_command(directory: Path, rows: int, placement: str) -> list[str]:
    """Returns the command that trains on ``train.parquet`` of a directory."""
    return [
        sys.executable,
        "-m",
        "object2vec_tf.fit",
        f"--train={directory / 'train.parquet'}",
        f"--model_dir={directory / 'run'}",
        "--enc0_network=pooled_embedding",
        f"--enc0_vocab_size={rows}",
        f"--enc0_max_seq_len={max(TOKENS.values())}",
        f"--enc_dim={DIM.value}",
        "--tied_token_embedding_weight",
        "--token_embedding_storage_type=row_sparse",
        "--comparator_list=hadamard",
        f"--optimizer={OPTIMIZER.value}",
        f"--mini_batch_size={BATCH.value}",
        "--epochs=1",
        "--checkpoint_seconds=0",
        f"--table_placement={placement}",
        # The table becomes Parquet files; no process assembles it.
        "--table_limit=0",
    ]


def thread_limits(threads: int) -> dict[str, str]:
    """Returns variables that limit the threads of a process."""
    names = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
    return dict.fromkeys(names, str(threads))


def run(rows: int, workers: int, threads: int, placement: str) -> Result:
    """Trains on generated pairs and measures it.

    Args:
        rows: Rows of the table.
        workers: Number of processes.
        threads: Threads of each.
        placement: Value of --table_placement.
    """
    limits = thread_limits(threads)
    clusters = tf_configs({"worker": workers}) if workers > 1 else [{}]
    with tempfile.TemporaryDirectory(dir=DIRECTORY.value) as name:
        directory = Path(name)
        write_pairs(directory / "train.parquet", rows, BATCH.value * STEPS.value)
        command = fit_command(directory, rows, placement)
        start = time.perf_counter()
        environments = [limits | cluster for cluster in clusters]
        with started(command, environments, directory / "output.txt") as processes:
            peaks = watch_memory(processes, RESERVE.value)
        seconds = time.perf_counter() - start
        output = (directory / "output.txt").read_text(encoding="utf-8")
    speeds = _SPEED.findall(output)
    if len(speeds) != 1:
        raise RuntimeError(f"expected the speed of one epoch, got {speeds}")
    return Result(peaks, float(speeds[0]), seconds)


def main() -> None:
    """Runs the command."""
    runs = [(ROWS.value, WORKERS.value, THREADS.value, "sharded")]
    if SINGLE_ROWS.value:
        threads = WORKERS.value * THREADS.value
        runs.append((SINGLE_ROWS.value, 1, threads, "replicated"))
    print(
        "| table | GB with slots | processes x threads | peak memory of each, GB "
        "| pairs/s | s in all |\n" + "|---" * 6 + "|"
    )
    for rows, workers, threads, placement in runs:
        result = run(rows, workers, threads, placement)
        size = 4 * rows * DIM.value * (1 + TABLE_SLOTS[OPTIMIZER.value]) / 1e9
        print(
            f"| {placement}, {rows:,} x {DIM.value} | {size:.1f} "
            f"| {workers} x {threads} | {joined(result.peaks)} "
            f"| {result.pairs_per_second:,.0f} | {result.seconds:,.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    runner.run(main)
