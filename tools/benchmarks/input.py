"""Times reading JSON Lines and making batches from the pairs.

    python -m tools.benchmarks.input

Measures four things: reading files into ragged columns (JSON Lines, also with ids
written as 3.0, Parquet and Arrow), in comparison to json.loads and orjson line by line
and to TensorFlow's string ops in tf.data (all three read only the first lines of the
file); batches in shuffled order, from memory and from the cache; ragged batches and
batches in the static layout, which steps on a GPU use, and the time until an epoch's
first batch; and the share of a training step that is spent waiting for its batch. Every
round runs all variants in turn. `--tables=static` measures only some.
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
import pyarrow as pa
import pyarrow.parquet as pq
from absl import flags

from object2vec_tf.commands import runner
from object2vec_tf.data.channel_reader import read_pairs
from object2vec_tf.data.layout_choice import layout_of
from object2vec_tf.data.pairs import Pairs
from object2vec_tf.data.static_batches import StaticBatches, processors
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.ragged.column import RaggedColumn
from tools.benchmarks import row_sparse
from tools.benchmarks.row_sparse import ROUNDS
from tools.benchmarks.training import compiled_model

LINES = flags.DEFINE_integer("lines", 1_000_000, "lines per file", 1)
TABLES = flags.DEFINE_multi_enum(
    "tables",
    ["readers", "batches", "static", "waiting"],
    ["readers", "batches", "static", "waiting"],
    "what to measure",
)

_VOCABULARY = 50_000
_KINDS = {"20+50 ids": (20, 50), "one id per side": (1, 1)}
_BATCH_SIZES = (64, 512, 2048)
_STATIC_BATCH_SIZES = {"20+50 ids": (512, 4096), "one id per side": (64, 2048)}
# Batches in a group of the static layout: up to this number, and to these bytes.
_GROUP = 32
_GROUP_BYTES = 1 << 23


def make_hyperparameters(tokens: tuple[int, int]) -> Hyperparameters:
    """Returns hyperparameters for pairs with these numbers of tokens."""
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


def write_pairs(path: Path, lines: int, tokens: tuple[int, int], seed: int = 0) -> None:
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


def write_tables(path: Path, lines: int, tokens: tuple[int, int]) -> None:
    """Writes the random pairs of `write_pairs` in other formats.

    They have the same name with another suffix: ``.floats.jsonl``, in which ids are
    written as 3.0, ``.parquet`` and ``.arrow``.
    """
    block = 10_000
    generator = np.random.default_rng(0)
    schema = pa.schema(
        [
            ("in0", pa.list_(pa.int64())),
            ("in1", pa.list_(pa.int64())),
            ("label", pa.int64()),
        ]
    )
    with (
        path.with_suffix(".floats.jsonl").open("wb") as text,
        pq.ParquetWriter(path.with_suffix(".parquet"), schema) as parquet,
        pa.ipc.new_file(path.with_suffix(".arrow"), schema) as arrow,
    ):
        for start in range(0, lines, block):
            rows = min(block, lines - start)
            sides = [
                generator.integers(0, _VOCABULARY, (rows, count)) for count in tokens
            ]
            labels = generator.integers(0, 2, rows)
            columns = [side.astype(float).tolist() for side in sides]
            for in0, in1, label in zip(*columns, labels.tolist(), strict=True):
                line = orjson.dumps({"in0": in0, "in1": in1, "label": label})
                text.write(line + b"\n")
            arrays = [pa.array(side.tolist(), schema.types[0]) for side in sides]
            batch = pa.RecordBatch.from_arrays(
                [*arrays, pa.array(labels)], schema=schema
            )
            arrow.write_batch(batch)
            parquet.write_batch(batch, row_group_size=lines)


def _read_by_line(
    path: Path, lines: int, loads: Callable[[bytes], dict[str, list[int]]]
) -> None:
    with path.open("rb") as file:
        pairs = [loads(line) for line in itertools.islice(file, lines)]
    for side in ("in0", "in1"):
        RaggedColumn.from_rows([pair[side] for pair in pairs])
    np.array([pair["label"] for pair in pairs], np.int64)


def _read_with_tensorflow(path: Path, lines: int) -> None:
    import tensorflow as tf

    def ids(lines: tf.Tensor, field: str) -> tf.RaggedTensor:
        text = tf.strings.regex_replace(lines, f'.*"{field}": ?\\[([^]]*)\\].*', "\\1")
        return tf.strings.to_number(tf.strings.split(text, ","), tf.int32)

    def parse(lines: tf.Tensor) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
        return ids(lines, "in0"), ids(lines, "in1")

    dataset = tf.data.TextLineDataset(str(path)).take(lines).batch(512)
    for _ in dataset.map(parse, num_parallel_calls=tf.data.AUTOTUNE).prefetch(8):
        pass


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def print_readers(directory: Path) -> None:
    """Measures all readers and prints their table."""
    print(
        "\n| lines with | reader | thousand lines/s | MB/s of JSON Lines "
        "| MB/s of int32 ids | relative to json.loads |"
    )
    print("|---|---|---|---|---|---|")
    for kind, tokens in _KINDS.items():
        path = directory / "pairs.jsonl"
        write_pairs(path, LINES.value, tokens)
        write_tables(path, LINES.value, tokens)
        readers = _readers(path, make_hyperparameters(tokens), directory / "cache")
        rates: dict[str, list[float]] = {name: [] for name in readers}
        for _ in range(ROUNDS.value):
            for name, (lines, reader) in readers.items():
                rates[name].append(lines / _seconds(reader))
                shutil.rmtree(directory / "cache", ignore_errors=True)
        bytes_per_line = path.stat().st_size / LINES.value
        for name, measured in rates.items():
            ratios = [
                rate / base
                for rate, base in zip(measured, rates["json.loads"], strict=True)
            ]
            median = statistics.median(measured)
            print(
                f"| {kind} | {name} | {median / 1e3:,.0f} "
                f"| {bytes_per_line * median / 1e6:,.0f} "
                f"| {4 * sum(tokens) * median / 1e6:,.0f} "
                f"| {statistics.median(ratios):.1f} "
                f"({min(ratios):.1f} to {max(ratios):.1f}) |",
                flush=True,
            )


def _readers(
    path: Path, settings: Hyperparameters, cache: Path
) -> dict[str, tuple[int, Callable[[], object]]]:
    """Returns for each reader its number of lines and a function that reads them."""
    lines = LINES.value
    some, few = min(lines, 200_000), min(lines, 50_000)
    return {
        "object2vec_tf": (lines, lambda: read_pairs(path, settings)),
        "object2vec_tf, into the cache": (
            lines,
            lambda: read_pairs(path, settings, cache_dir=cache),
        ),
        "object2vec_tf, ids as 3.0": (
            lines,
            lambda: read_pairs(path.with_suffix(".floats.jsonl"), settings),
        ),
        **{
            f"object2vec_tf, {name}": (
                lines,
                lambda suffix=suffix, cache_dir=cache_dir: read_pairs(  # type: ignore[misc]
                    path.with_suffix(suffix), settings, cache_dir=cache_dir
                ),
            )
            for name, suffix, cache_dir in (
                ("Parquet", ".parquet", None),
                ("Parquet, into the cache", ".parquet", cache),
                ("Arrow", ".arrow", None),
                ("Arrow, into the cache", ".arrow", cache),
            )
        },
        "json.loads": (some, lambda: _read_by_line(path, some, json.loads)),
        "orjson.loads": (some, lambda: _read_by_line(path, some, orjson.loads)),
        "tf.strings in tf.data": (few, lambda: _read_with_tensorflow(path, few)),
    }


def _shuffled_batches(pairs: Pairs, size: int) -> Iterator[object]:
    return iter(pairs.dataset(size, shuffle=True, seed=1, epoch=0))


def print_batch_rates(in_memory: Pairs, cached: Pairs) -> None:
    """Measures reading batches in shuffled order and prints the table."""
    print("\nThousand rows per second in shuffled order, 20+50 ids:\n")
    print("| batch | from memory | from the cache |\n|---|---|---|")
    for size in _BATCH_SIZES:
        rates: dict[Pairs, list[float]] = {in_memory: [], cached: []}
        for _ in range(ROUNDS.value):
            for pairs, measured in rates.items():
                rows = min(len(pairs), 2_000 * size)
                batches = itertools.islice(_shuffled_batches(pairs, size), rows // size)
                seconds = _seconds(
                    lambda batches=batches: collections.deque(batches, 0)  # type: ignore[misc]
                )
                measured.append(rows / seconds)
        medians = [f"{statistics.median(r) / 1e3:,.0f}" for r in rates.values()]
        print(f"| {size} | {medians[0]} | {medians[1]} |", flush=True)


def _static_groups(
    pairs: Pairs, size: int, epoch: int, threads: int | None
) -> StaticBatches:
    tokens = (pairs.in0.tokens + pairs.in1.tokens) / len(pairs)
    steps = int(_GROUP_BYTES / (4 * size * (2 * tokens + 12)))
    return pairs.static_groups(
        layout_of(pairs.hyperparameters, shuffle=True),
        steps=min(max(steps, 1), _GROUP),
        batch_size=size,
        shuffle=True,
        seed=1,
        epoch=epoch,
        threads=threads,
    )


def _rate(pairs: Pairs, start: Callable[[], Iterator[object]]) -> tuple[float, float]:
    """Returns rows per second of an epoch, and milliseconds until its first batch."""
    began = time.perf_counter()
    batches = start()
    next(batches)
    first = time.perf_counter() - began
    collections.deque(batches, 0)
    return len(pairs) / (time.perf_counter() - began), 1e3 * first


def print_static_rates(kind: str, pairs: Pairs) -> None:
    """Measures the static layout of cached pairs, and prints rows of the table.

    Args:
        kind: The kind of pairs, a key of the batch sizes.
        pairs: The pairs.
    """
    counts = sorted({1, min(2, processors()), processors()})
    for size in _STATIC_BATCH_SIZES[kind]:
        rates: dict[str, list[tuple[float, float]]] = collections.defaultdict(list)
        for epoch in range(ROUNDS.value):
            rates["Pairs.dataset"].append(
                _rate(pairs, lambda size=size: _shuffled_batches(pairs, size))  # type: ignore[misc]
            )
            for threads in counts:
                groups = _static_groups(pairs, size, epoch, threads)
                rates[f"static layout, threads: {threads}"].append(
                    _rate(pairs, lambda groups=groups: iter(groups))  # type: ignore[misc]
                )
            groups = _static_groups(pairs, size, epoch + 1, None).start()
            time.sleep(0.5)
            rates["static layout, started before"].append(
                _rate(pairs, lambda groups=groups: iter(groups))  # type: ignore[misc]
            )
        for name, measured in rates.items():
            rate, first = (statistics.median(m) for m in zip(*measured, strict=True))
            shown = "" if "before" in name else f"{rate / 1e3:,.0f}"
            print(f"| {kind} | {size} | {name} | {shown} | {first:.1f} |", flush=True)


def print_waiting_share(pairs: Pairs) -> None:
    """Measures and prints the share of a training step spent waiting for its batch."""
    size = min(512, len(pairs))
    steps = min(100, len(pairs) // size)  # the batches of an epoch
    model = compiled_model(pairs.hyperparameters)
    batches = [
        batch
        for batch, _ in zip(_shuffled_batches(pairs, size), range(4), strict=False)
    ]
    train = row_sparse.training_steps(model, batches)
    train(steps)
    shares = []
    for _ in range(ROUNDS.value):
        epochs = iter(lambda: _shuffled_batches(pairs, size), None)
        incoming, waited = itertools.chain.from_iterable(epochs), 0.0
        next(incoming)
        start = time.perf_counter()
        for _ in range(steps):
            waited += _seconds(lambda incoming=incoming: next(incoming))  # type: ignore[misc]
            train(1)
        shares.append(waited / (time.perf_counter() - start))
    print(
        f"\nShare of a step spent waiting for its batch of {size}: "
        f"{statistics.median(shares):.1%} "
        f"({min(shares):.1%} to {max(shares):.1%})"
    )


def main() -> None:
    """Runs the command."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        if "readers" in TABLES.value:
            print_readers(directory)
        if "static" in TABLES.value:
            print(
                "\nThousand rows per second from the cache, by the layout of batches:\n"
            )
            print(
                "| lines with | batch | layout | thousand rows/s | ms to first batch |"
            )
            print("|---|---|---|---|---|")
            for kind, tokens in _KINDS.items():
                print_static_rates(kind, _cached(directory / kind, tokens))
        if "batches" in TABLES.value or "waiting" in TABLES.value:
            cached = _cached(directory / "waiting", (20, 50))
            if "batches" in TABLES.value:
                path = directory / "waiting" / "pairs.jsonl"
                print_batch_rates(read_pairs(path, cached.hyperparameters), cached)
            if "waiting" in TABLES.value:
                print_waiting_share(cached)


def _cached(directory: Path, tokens: tuple[int, int]) -> Pairs:
    """Returns pairs from a cache in a new directory."""
    directory.mkdir()
    path = directory / "pairs.jsonl"
    write_pairs(path, LINES.value, tokens)
    return read_pairs(path, make_hyperparameters(tokens), cache_dir=directory / "cache")


if __name__ == "__main__":
    runner.run(main)
