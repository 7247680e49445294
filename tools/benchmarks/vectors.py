"""Times reading pretrained vectors relative to a plain loop over the lines.

    python -m tools.benchmarks.vectors

Reads a file of 400,000 x 50 in GloVe's format for a vocabulary with 5% of its words and
for one with all words. The memory is the increase of the peak without the returned
rows.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
from absl import flags

from object2vec_tf.commands import runner
from object2vec_tf.text.pretrained_vectors import read_vectors
from tools.benchmarks.large_data import memory_mb, reset_peak_memory

WORDS = flags.DEFINE_integer("words", 400_000, "words in the file", 1)
DIM = flags.DEFINE_integer("dim", 50, "dimensions of the vectors", 1)
ROUNDS = flags.DEFINE_integer("rounds", 5, "rounds per measurement", 1)


def write_vectors(path: Path) -> None:
    """Writes random vectors in GloVe's format."""
    generator = np.random.default_rng(0)
    with path.open("w", encoding="utf-8") as file:
        for start in range(0, WORDS.value, 1000):
            vectors = generator.normal(0, 0.5, (1000, DIM.value))
            for number, row in enumerate(vectors, start):
                file.write(f"word{number} " + " ".join(f"{x:.5g}" for x in row) + "\n")


def plain_loop(path: Path, vocabulary: dict[str, int]) -> npt.NDArray[np.float32]:
    """Reads the whole file into a dictionary first, as many notebooks do."""
    vectors = {}
    with path.open(encoding="utf-8") as file:
        for line in file:
            word, *numbers = line.rstrip().split(" ")
            vectors[word] = np.array([float(number) for number in numbers], np.float32)
    return np.stack([vectors[word] for word in vocabulary])


def selective_loop(path: Path, vocabulary: dict[str, int]) -> npt.NDArray[np.float32]:
    """Reads only the words of the vocabulary."""
    rows = np.zeros((len(vocabulary), DIM.value), np.float32)
    with path.open(encoding="utf-8") as file:
        for line in file:
            word, *numbers = line.rstrip().split(" ")
            if word in vocabulary:
                rows[vocabulary[word]] = [float(number) for number in numbers]
    return rows


def main() -> None:
    """Runs the command."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "vectors.txt"
        write_vectors(path)
        print(
            f"{WORDS.value:,} x {DIM.value}, {path.stat().st_size / 1e6:,.0f} MB\n\n"
            "| words kept | s | plain loop, relative | selective loop, relative "
            "| MB above the rows |\n|---|---|---|---|---|"
        )
        for kept in (WORDS.value // 20, WORDS.value):
            numbers = np.random.default_rng(1).permutation(WORDS.value)[:kept].tolist()
            vocabulary = {f"word{number}": i for i, number in enumerate(numbers)}
            seconds, memory = [], []
            ratios: tuple[list[float], list[float]] = ([], [])
            for _ in range(ROUNDS.value):
                reset_peak_memory()
                before, start = memory_mb("VmRSS"), time.perf_counter()
                rows = read_vectors(path, vocabulary, kept, DIM.value).rows
                seconds.append(time.perf_counter() - start)
                memory.append(memory_mb("VmHWM") - before - rows.nbytes / 1e6)
                for loop, measured in zip(
                    (plain_loop, selective_loop), ratios, strict=True
                ):
                    start = time.perf_counter()
                    np.testing.assert_array_equal(rows, loop(path, vocabulary))
                    measured.append((time.perf_counter() - start) / seconds[-1])
            cells = [
                f"{statistics.median(values):.1f} "
                f"({min(values):.1f} to {max(values):.1f})"
                for values in ratios
            ]
            print(
                f"| {kept:,} | {statistics.median(seconds):.2f} "
                f"| {cells[0]} | {cells[1]} | {max(memory):,.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    runner.run(main)
