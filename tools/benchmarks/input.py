"""Times reading JSON Lines, and batches made of what was read.

    python -m tools.benchmarks.input

First the whole way from text to ragged columns, beside json.loads and orjson line by
line and TensorFlow's own string ops in tf.data; then batches in shuffled order; then
the share of a training step that waits for its batch. Each round runs all in turn.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import orjson
from absl import flags

from object2vec_tf import command
from object2vec_tf.data.columns import RaggedColumn
from object2vec_tf.data.pairs import Pairs, read_pairs
from object2vec_tf.hyperparameters import Hyperparameters
from tools.benchmarks import row_sparse
from tools.benchmarks.row_sparse import ROUNDS
from tools.benchmarks.training import compiled, loop_of

LINES = flags.DEFINE_integer("lines", 200_000, "lines of each file", 1)

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


def _rows(path: Path, loads: Callable[[bytes], dict[str, list[int]]]) -> None:
    with path.open("rb") as file:
        pairs = [loads(line) for line in file]
    for side in ("in0", "in1"):
        RaggedColumn.from_rows([pair[side] for pair in pairs])
    np.array([pair["label"] for pair in pairs], np.int64)


def _tensorflow(path: Path) -> None:
    import tensorflow as tf

    def ids(lines: tf.Tensor, field: str) -> tf.RaggedTensor:
        text = tf.strings.regex_replace(lines, f'.*"{field}": ?\\[([^]]*)\\].*', "\\1")
        return tf.strings.to_number(tf.strings.split(text, ","), tf.int32)

    def parsed(lines: tf.Tensor) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
        return ids(lines, "in0"), ids(lines, "in1")

    dataset = tf.data.TextLineDataset(str(path)).batch(512)
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
        settings = hyperparameters_of(tokens)
        readers: dict[str, Callable[[], object]] = {
            "object2vec_tf": lambda path=path, s=settings: read_pairs(path, s),  # type: ignore[misc]
            "json.loads": lambda path=path: _rows(path, json.loads),  # type: ignore[misc]
            "orjson.loads": lambda path=path: _rows(path, orjson.loads),  # type: ignore[misc]
            "tf.strings in tf.data": lambda path=path: _tensorflow(path),  # type: ignore[misc]
        }
        seconds: dict[str, list[float]] = {name: [] for name in readers}
        for _ in range(ROUNDS.value):
            for name, reader in readers.items():
                seconds[name].append(_timed(reader))
        size = path.stat().st_size / 1e6
        for name, taken in seconds.items():
            ratios = [
                base / mine
                for base, mine in zip(seconds["json.loads"], taken, strict=True)
            ]
            median = statistics.median(taken)
            print(
                f"| {kind} | {name} | {LINES.value / median / 1e3:,.0f} "
                f"| {size / median:,.0f} | {statistics.median(ratios):.1f} "
                f"({min(ratios):.1f} to {max(ratios):.1f}) |",
                flush=True,
            )


def _batches(pairs: Pairs, size: int) -> Iterator[object]:
    return iter(pairs.dataset(size, shuffle=True, seed=1, epoch=0))


def shuffled_batches(pairs: Pairs) -> None:
    """Prints the rates at which batches come."""
    print("\n| batch | thousand rows/s, shuffled, 20+50 ids |\n|---|---|")
    for size in _BATCHES:
        rates = []
        for _ in range(ROUNDS.value):
            taken = _timed(lambda size=size: list(_batches(pairs, size)))  # type: ignore[misc]
            rates.append(len(pairs) / taken)
        print(f"| {size} | {statistics.median(rates) / 1e3:,.0f} |", flush=True)


def waiting(pairs: Pairs) -> None:
    """Prints the share of a training step that waits for its batch."""
    size = 512
    model = compiled(pairs.hyperparameters)
    loop = loop_of(model)
    steps = min(100, len(pairs) // size)
    batches = [
        batch for batch, _ in zip(_batches(pairs, size), range(steps), strict=False)
    ]
    held = row_sparse.trained(model, batches)
    held(steps)
    piped = pairs.dataset(size, shuffle=True, seed=1, epoch=0).take(steps)
    shares = []
    for _ in range(ROUNDS.value):
        with_input = _timed(lambda: loop.train(piped))
        without = _timed(lambda: held(steps))
        shares.append(1 - without / with_input)
    print(
        f"\nA step of batch {size} waits {statistics.median(shares):.1%} of its time "
        f"({min(shares):.1%} to {max(shares):.1%})"
    )


def main() -> None:
    """Runs the command."""
    with tempfile.TemporaryDirectory() as directory:
        first_pass(Path(directory))
        path, tokens = Path(directory) / "pairs.jsonl", _KINDS["20+50 ids"]
        write(path, LINES.value, tokens)
        pairs = read_pairs(path, hyperparameters_of(tokens))
        shuffled_batches(pairs)
        waiting(pairs)


if __name__ == "__main__":
    command.run(main)
