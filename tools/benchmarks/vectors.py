"""Times reading pretrained vectors beside a plain loop over the lines.

    python -m tools.benchmarks.vectors

A file of 400,000 x 50 in GloVe's form, for a vocabulary of a twentieth of its words and
for one of all. Memory is the peak above what there was before, without the rows kept.
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
from tools.benchmarks.large_data import memory, reset_peak

WORDS = flags.DEFINE_integer("words", 400_000, "words in the file", 1)
DIM = flags.DEFINE_integer("dim", 50, "width of their vectors", 1)
ROUNDS = flags.DEFINE_integer("rounds", 5, "rounds of each measurement", 1)


def write(path: Path) -> None:
    """Writes random vectors in GloVe's form."""
    generator = np.random.default_rng(0)
    with path.open("w", encoding="utf-8") as file:
        for start in range(0, WORDS.value, 1000):
            vectors = generator.normal(0, 0.5, (1000, DIM.value))
            for number, row in enumerate(vectors, start):
                file.write(f"word{number} " + " ".join(f"{x:.5g}" for x in row) + "\n")


def plain_loop(path: Path, vocabulary: dict[str, int]) -> npt.NDArray[np.float32]:
    """What many a notebook does: all of the file into a dictionary, then the words."""
    vectors = {}
    with path.open(encoding="utf-8") as file:
        for line in file:
            word, *numbers = line.rstrip().split(" ")
            vectors[word] = np.array([float(number) for number in numbers], np.float32)
    return np.stack([vectors[word] for word in vocabulary])


def choosing_loop(path: Path, vocabulary: dict[str, int]) -> npt.NDArray[np.float32]:
    """The same without the words that are not asked for."""
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
        write(path)
        print(
            f"{WORDS.value:,} x {DIM.value}, {path.stat().st_size / 1e6:,.0f} MB\n\n"
            "| words kept | s | times a plain loop | times one that leaves out other "
            "words | MB above the rows |\n|---|---|---|---|---|"
        )
        for kept in (WORDS.value // 20, WORDS.value):
            chosen = np.random.default_rng(1).permutation(WORDS.value)[:kept].tolist()
            vocabulary = {f"word{number}": i for i, number in enumerate(chosen)}
            ours, above = [], []
            ratios: tuple[list[float], list[float]] = ([], [])
            for _ in range(ROUNDS.value):
                reset_peak()
                before, start = memory("VmRSS"), time.perf_counter()
                rows = read_vectors(path, vocabulary, kept, DIM.value).rows
                ours.append(time.perf_counter() - start)
                above.append(memory("VmHWM") - before - rows.nbytes / 1e6)
                for loop, own in zip((plain_loop, choosing_loop), ratios, strict=True):
                    start = time.perf_counter()
                    np.testing.assert_array_equal(rows, loop(path, vocabulary))
                    own.append((time.perf_counter() - start) / ours[-1])
            shown = [
                f"{statistics.median(own):.1f} ({min(own):.1f} to {max(own):.1f})"
                for own in ratios
            ]
            print(
                f"| {kept:,} | {statistics.median(ours):.2f} | {shown[0]} | {shown[1]} "
                f"| {max(above):,.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    runner.run(main)
