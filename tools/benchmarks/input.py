"""Times reading JSON Lines, and batches made of what was read.

    python -m tools.benchmarks.input

First the whole way from text to ragged columns, beside json.loads and orjson line by
line and TensorFlow's own string ops in tf.data, which read the first lines alone; then
batches in shuffled order, from memory and from the cache's files; then the share of a
training step that waits for its batch. Each round runs all in turn.
"""

from __future__ import annotations

import collections
import itertools
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import orjson
from absl import flags

from object2vec_tf.commands import runner
from object2vec_tf.data.pairs import Pairs, read_pairs
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.ragged.column import RaggedColumn
from tools.benchmarks import row_sparse
from tools.benchmarks.row_sparse import ROUNDS
from tools.benchmarks.training import compiled

LINES = flags.DEFINE_integer("lines", 1_000_000, "lines of each file", 1)

_VOCABULARY = 50_000
_KINDS = {"20+50 ids": (20, 50), "one id a side": (1, 1)}
_BATCHES = (64, 512, 2048)


def hyperparameters_of(tokens: tuple[int, int]) -> Hyperparameters:
    """Returns settings that such pairs fit."""
    return Hyperparameters(
        enc0_network="pooled_embedding",
        enc0_vocab_size=_VOCABULARY,
        enc0_max_seq_len=tokens[0],
        enc1_network="pooled_embedding",
        enc1_vocab_size=_VOCABULARY,
        enc1_max_seq_len=tokens[1],
        token_embedding_storage_type="row_sparse",
        enc_dim=300,
        mlp_dim=512,
    )


def write(path: Path, lines: int, tokens: tuple[int, int], seed: int = 0) -> None:
    """Writes random pairs."""
    generator = np.random.default_rng(seed)
    with path.open("wb") as file:
        for start in range(0, lines, 10_000):
            rows = min(10_000, lines - start)
            sides = [
                generator.integers(0, _VOCABULARY, (rows, count)).tolist()
                for count in tokens
            ]
            labels = generator.integers(0, 2, rows).tolist()
            for in0, in1, label in zip(*sides, labels, strict=True):
                line = orjson.dumps({"in0": in0, "in1": in1, "label": label})
                file.write(line + b"\n")


def _rows(
    path: Path, lines: int, loads: Callable[[bytes], dict[str, list[int]]]
) -> None:
    with path.open("rb") as file:
        pairs = [loads(line) for line in itertools.islice(file, lines)]
    for side in ("in0", "in1"):
        RaggedColumn.from_rows([pair[side] for pair in pairs])
    np.array([pair["label"] for pair in pairs], np.int64)


def _tensorflow(path: Path, lines: int) -> None:
    import tensorflow as tf

    def ids(lines: tf.Tensor, field: str) -> tf.RaggedTensor:
        text = tf.strings.regex_replace(lines, f'.*"{field}": ?\\[([^]]*)\\].*', "\\1")
        return tf.strings.to_number(tf.strings.split(text, ","), tf.int32)

    def parsed(lines: tf.Tensor) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
        return ids(lines, "in0"), ids(lines, "in1")

    dataset = tf.data.TextLineDataset(str(path)).take(lines).batch(512)
    for _ in dataset.map(parsed, num_parallel_calls=tf.data.AUTOTUNE).prefetch(8):
        pass


def _timed(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def first_pass(directory: Path) -> None:
    """Prints the table of readers."""
    print("\n| lines of | reader | thousand lines/s | MB/s | times json.loads |")
    print("|---|---|---|---|---|")
    for kind, tokens in _KINDS.items():
        path = directory / "pairs.jsonl"
        write(path, LINES.value, tokens)
        readers = _readers(path, hyperparameters_of(tokens), directory / "cache")
        rates: dict[str, list[float]] = {name: [] for name in readers}
        for _ in range(ROUNDS.value):
            for name, (lines, reader) in readers.items():
                rates[name].append(lines / _timed(reader))
                shutil.rmtree(directory / "cache", ignore_errors=True)
        bytes_a_line = path.stat().st_size / LINES.value
        for name, mine in rates.items():
            ratios = [
                rate / base
                for rate, base in zip(mine, rates["json.loads"], strict=True)
            ]
            median = statistics.median(mine)
            print(
                f"| {kind} | {name} | {median / 1e3:,.0f} "
                f"| {bytes_a_line * median / 1e6:,.0f} "
                f"| {statistics.median(ratios):.1f} "
                f"({min(ratios):.1f} to {max(ratios):.1f}) |",
                flush=True,
            )


def _readers(
    path: Path, settings: Hyperparameters, cache: Path
) -> dict[str, tuple[int, Callable[[], object]]]:
    """Returns what reads a file by name, with the number of lines that it reads."""
    lines = LINES.value
    some, few = min(lines, 200_000), min(lines, 50_000)
    return {
        "object2vec_tf": (lines, lambda: read_pairs(path, settings)),
        "object2vec_tf, into the cache": (
            lines,
            lambda: read_pairs(path, settings, cache_dir=cache),
        ),
        "json.loads": (some, lambda: _rows(path, some, json.loads)),
        "orjson.loads": (some, lambda: _rows(path, some, orjson.loads)),
        "tf.strings in tf.data": (few, lambda: _tensorflow(path, few)),
    }


def _batches(pairs: Pairs, size: int) -> Iterator[object]:
    return iter(pairs.dataset(size, shuffle=True, seed=1, epoch=0))


def shuffled_batches(in_memory: Pairs, cached: Pairs) -> None:
    """Prints the rates at which batches come."""
    print("\nThousand rows a second in shuffled order, 20+50 ids:\n")
    print("| batch | from memory | from the cache |\n|---|---|---|")
    for size in _BATCHES:
        rates: dict[Pairs, list[float]] = {in_memory: [], cached: []}
        for _ in range(ROUNDS.value):
            for pairs, mine in rates.items():
                rows = min(len(pairs), 2_000 * size)
                batches = itertools.islice(_batches(pairs, size), rows // size)
                taken = _timed(lambda batches=batches: collections.deque(batches, 0))  # type: ignore[misc]
                mine.append(rows / taken)
        medians = [f"{statistics.median(mine) / 1e3:,.0f}" for mine in rates.values()]
        print(f"| {size} | {medians[0]} | {medians[1]} |", flush=True)


def waiting(pairs: Pairs) -> None:
    """Prints the share of a training step that waits for its batch."""
    size, steps = 512, 100
    model = compiled(pairs.hyperparameters)
    batches = [batch for batch, _ in zip(_batches(pairs, size), range(4), strict=False)]
    held = row_sparse.trained(model, batches)
    held(steps)
    shares = []
    for _ in range(ROUNDS.value):
        coming, waited = _batches(pairs, size), 0.0
        next(coming)
        start = time.perf_counter()
        for _ in range(steps):
            waited += _timed(lambda coming=coming: next(coming))  # type: ignore[misc]
            held(1)
        shares.append(waited / (time.perf_counter() - start))
    print(
        f"\nA step of batch {size} waits {statistics.median(shares):.1%} of its time "
        f"({min(shares):.1%} to {max(shares):.1%})"
    )


def main() -> None:
    """Runs the command."""
    with tempfile.TemporaryDirectory() as directory:
        first_pass(Path(directory))
        path, settings = Path(directory) / "pairs.jsonl", hyperparameters_of((20, 50))
        write(path, LINES.value, (20, 50))
        in_memory = read_pairs(path, settings)
        cached = read_pairs(path, settings, cache_dir=Path(directory) / "cache")
        shuffled_batches(in_memory, cached)
        waiting(cached)


if __name__ == "__main__":
    runner.run(main)
