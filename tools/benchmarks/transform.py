"""Times transform on a large file relative to the model on prepared batches.

It is also timed with --keep=label --on_error=mark, for a file without invalid lines and
for one in which every hundredth line is invalid.

    python -m tools.benchmarks.transform

Every round runs all of them in turn, so that the ratios are valid even if the clock
speed of the machine changes.
"""

from __future__ import annotations

import itertools
import resource
import statistics
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from absl import flags

from export import export_saved_model
from object2vec_tf.commands import runner
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.inference.predictor import SavedModelPredictor
from object2vec_tf.inference.ragged_inputs import MAX_ROWS, RaggedInputs
from object2vec_tf.model.object2vec import Object2Vec
from object2vec_tf.ragged.column import RaggedColumn
from object2vec_tf.transform import transform

PAIRS = flags.DEFINE_integer("pairs", 1_000_000, "pairs in the file", 1)
TOKENS = flags.DEFINE_integer(
    "tokens", 20, "maximum tokens per object; the minimum is half", 1
)
ROUNDS = flags.DEFINE_integer("rounds", 3, "rounds per measurement", 1)

_VOCABULARY = 20_000
_ENC_DIM = 300
_PREPARED_BATCHES = 32
_ROWS_PER_BLOCK = 10_000


def _column(generator: np.random.Generator, rows: int) -> RaggedColumn:
    lengths = generator.integers(TOKENS.value // 2, TOKENS.value, rows, endpoint=True)
    values = generator.integers(0, _VOCABULARY, lengths.sum(), np.int32)
    return RaggedColumn(values, np.concatenate([[0], np.cumsum(lengths)]))


def _comma_separated(column: RaggedColumn) -> list[str]:
    words = list(map(str, column.values.tolist()))
    splits = column.row_splits.tolist()
    return [",".join(words[start:end]) for start, end in itertools.pairwise(splits)]


def write_pairs(path: Path, generator: np.random.Generator, pairs: int) -> None:
    """Writes random pairs as JSON Lines."""
    with path.open("w") as file:
        for start in range(0, pairs, _ROWS_PER_BLOCK):
            rows = min(_ROWS_PER_BLOCK, pairs - start)
            sides = (_comma_separated(_column(generator, rows)) for _ in range(2))
            for in0, in1 in zip(*sides, strict=True):
                file.write(f'{{"label":1,"in0":[{in0}],"in1":[{in1}]}}\n')


def model_rate(
    model: SavedModelPredictor,
    batches: list[dict[str, npt.NDArray[np.int64]]],
    pairs: int,
) -> float:
    """Returns the pairs per second of the signature, called with padded batches."""
    calls = -(-pairs // MAX_ROWS)
    start = time.perf_counter()
    for call in range(calls):
        model.run_signature("predict_pair", batches[call % len(batches)])
    return calls * MAX_ROWS / (time.perf_counter() - start)


def transform_rate(
    model: SavedModelPredictor, source: Path, out: Path, **options: Any
) -> float:
    """Returns the pairs per second of transform."""
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of invalid lines
        lines = transform(model, source, out, **options)
    return lines / (time.perf_counter() - start)


def write_invalid_lines(source: Path, path: Path) -> None:
    """Writes a copy of a file in which every hundredth line has an invalid id."""
    with source.open() as lines, path.open("w") as file:
        for number, line in enumerate(lines):
            file.write(line if number % 100 else line.replace('"in1":[', '"in1":[-9,'))


def ratios(rates: Sequence[float], others: Sequence[float]) -> list[float]:
    """Returns the ratios of the rates of each round."""
    return [rate / other for rate, other in zip(rates, others, strict=True)]


def _peak_memory_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def measure(directory: Path) -> None:
    """Prints the rates, their ratios and the memory of transform."""
    generator = np.random.default_rng(0)
    export_saved_model(
        Object2Vec(
            Hyperparameters(
                enc0_network="pooled_embedding",
                enc0_max_seq_len=TOKENS.value,
                enc0_vocab_size=_VOCABULARY,
                enc_dim=_ENC_DIM,
            )
        ),
        directory / "model",
    )
    model = SavedModelPredictor(directory / "model" / "1")
    source, out = directory / "pairs.jsonl", directory / "pairs.jsonl.out"
    write_pairs(source, generator, PAIRS.value)
    invalid = directory / "invalid.jsonl"
    write_invalid_lines(source, invalid)
    batches = [
        RaggedInputs(
            {name: _column(generator, MAX_ROWS) for name in ("in0", "in1")}
        ).padded()
        for _ in range(_PREPARED_BATCHES)
    ]
    model_rate(model, batches, MAX_ROWS)
    before = _peak_memory_gb()
    options: dict[str, Any] = {"keep": ("label",), "on_error": "mark"}
    rates, kept_rates, invalid_rates, model_rates = [], [], [], []
    for _ in range(ROUNDS.value):
        rate_before = model_rate(model, batches, PAIRS.value // 2)
        rates.append(transform_rate(model, source, out))
        model_rates.append(
            statistics.mean([rate_before, model_rate(model, batches, PAIRS.value // 2)])
        )
        kept_rates.append(transform_rate(model, source, out, **options))
        invalid_rates.append(transform_rate(model, invalid, out, **options))
    size = source.stat().st_size / 1e6
    print(
        f"\n{PAIRS.value:,} pairs, {size:,.0f} MB of JSON Lines, enc_dim {_ENC_DIM}\n"
    )
    print("| | median | min | max |\n|---|---|---|---|")
    for name, values, form in (
        ("model on prepared batches, pairs/s", model_rates, ",.0f"),
        ("transform, pairs/s", rates, ",.0f"),
        ("transform / model", ratios(rates, model_rates), ".2f"),
        ("with --keep / without", ratios(kept_rates, rates), ".2f"),
        ("with --keep and 1% invalid / without", ratios(invalid_rates, rates), ".2f"),
    ):
        median = statistics.median(values)
        print(
            f"| {name} | {median:{form}} "
            f"| {min(values):{form}} | {max(values):{form}} |"
        )
    print(
        "\nPeak memory of transform above the loaded model: "
        f"{_peak_memory_gb() - before:.2f} GB"
    )


def main() -> None:
    """Runs the command."""
    with tempfile.TemporaryDirectory() as directory:
        measure(Path(directory))


if __name__ == "__main__":
    runner.run(main)
