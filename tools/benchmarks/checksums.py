"""Times the checksums of large files: what they add to saving and loading a model.

    python -m tools.benchmarks.checksums [--gigabytes=2]

Writes a file of random bytes, a ``.keras`` archive and a checkpoint of this size to the
temporary directory, and verifies them. The file is read once from the disk and several
times from memory. Seconds of 10 GB are extrapolated.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf
from absl import flags

from object2vec_tf.commands import runner
from object2vec_tf.files.digests import digest_of_file, verify_digests, write_digests
from object2vec_tf.model.keras_archive import verify_archive

GIGABYTES = flags.DEFINE_float("gigabytes", 2.0, "size of each file", 0.01)
ROUNDS = 3
_LARGE = 10
_BLOCK = 1 << 24


def main() -> None:
    """Measures, and prints a table."""
    size = int(GIGABYTES.value * 1e9)
    print("| step | GB/s | CPU seconds per GB | seconds of 10 GB |")
    print("| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        path = directory / "weights"
        _write_random(path, size)
        write_digests(directory)
        _forget(path)
        _row("verify a directory, from the disk", size, lambda: _verify(directory), 1)
        _row("verify a directory, from memory", size, lambda: _verify(directory))
        archive = directory / "model.keras"
        with zipfile.ZipFile(archive, "w") as file:
            file.write(path, "model.weights.h5")
        _row(
            "verify a .keras file, from memory",
            size,
            lambda: verify_archive(archive, ""),
        )
        archive.unlink()
        path.unlink()
        variable = tf.Variable(np.ones(size // 4, np.float32))
        prefix = str(directory / "variables")
        checkpoint = tf.train.Checkpoint(model=variable)
        _row("write a checkpoint", size, lambda: checkpoint.write(prefix), 2)
        (data,) = directory.glob("variables.data*")
        _row("its checksum, right after it", size, lambda: digest_of_file(data))


def _write_random(path: Path, size: int) -> None:
    block = os.urandom(_BLOCK)
    with path.open("wb") as file:
        for start in range(0, size, _BLOCK):
            file.write(block[: size - start])
        os.fsync(file.fileno())


def _verify(directory: Path) -> None:
    assert verify_digests(directory, names=["weights"])


def _forget(path: Path) -> None:
    """Removes a file from the memory that the system uses for files."""
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _row(
    name: str, size: int, step: Callable[[], object], rounds: int = ROUNDS
) -> None:
    seconds, cpu = [], []
    for _ in range(rounds):
        start, start_cpu = time.perf_counter(), time.process_time()
        step()
        seconds.append(time.perf_counter() - start)
        cpu.append(time.process_time() - start_cpu)
    rate = size / statistics.median(seconds) / 1e9
    per_gb = statistics.median(cpu) / size * 1e9
    print(f"| {name} | {rate:.2f} | {per_gb:.2f} | {_LARGE / rate:.1f} |", flush=True)


if __name__ == "__main__":
    runner.run(main)
