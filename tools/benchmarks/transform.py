"""Times transform of a large file beside the bare model on prepared batches.

    python -m tools.benchmarks.transform

Each round runs both in turn, so the ratio holds although the machine's clock drifts.
"""

from __future__ import annotations

import itertools
import resource
import statistics
import tempfile
import time
from pathlib import Path

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
TOKENS = flags.DEFINE_integer("tokens", 20, "most tokens an object, least half", 1)
ROUNDS = flags.DEFINE_integer("rounds", 3, "rounds of each measurement", 1)

_VOCABULARY = 20_000
_ENC_DIM = 300
_PREPARED = 32
_AT_ONCE = 10_000


def _column(generator: np.random.Generator, rows: int) -> RaggedColumn:
    lengths = generator.integers(TOKENS.value // 2, TOKENS.value, rows, endpoint=True)
    values = generator.integers(0, _VOCABULARY, lengths.sum(), np.int32)
    return RaggedColumn(values, np.concatenate([[0], np.cumsum(lengths)]))


def _texts(column: RaggedColumn) -> list[str]:
    words = list(map(str, column.values.tolist()))
    splits = column.row_splits.tolist()
    return [",".join(words[start:end]) for start, end in itertools.pairwise(splits)]


def write_pairs(path: Path, generator: np.random.Generator, pairs: int) -> None:
    """Writes random pairs as JSON Lines."""
    with path.open("w") as file:
        for start in range(0, pairs, _AT_ONCE):
            rows = min(_AT_ONCE, pairs - start)
            sides = (_texts(_column(generator, rows)) for _ in range(2))
            for in0, in1 in zip(*sides, strict=True):
                file.write(f'{{"label":1,"in0":[{in0}],"in1":[{in1}]}}\n')


def bare_rate(
    model: SavedModelPredictor,
    batches: list[dict[str, npt.NDArray[np.int64]]],
    pairs: int,
) -> float:
    """Returns the pairs a second of the signature, called with padded batches."""
    calls = -(-pairs // MAX_ROWS)
    start = time.perf_counter()
    for call in range(calls):
        model.run_signature("predict_pair", batches[call % len(batches)])
    return calls * MAX_ROWS / (time.perf_counter() - start)


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def measure(directory: Path) -> None:
    """Prints rates, their ratio and the memory that transform takes."""
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
    batches = [
        RaggedInputs(
            {name: _column(generator, MAX_ROWS) for name in ("in0", "in1")}
        ).padded()
        for _ in range(_PREPARED)
    ]
    bare_rate(model, batches, MAX_ROWS)
    before = _peak()
    ratios, rates, bare_rates = [], [], []
    for _ in range(ROUNDS.value):
        bare = bare_rate(model, batches, PAIRS.value // 2)
        start = time.perf_counter()
        lines = transform(model, source, out)
        rates.append(lines / (time.perf_counter() - start))
        bare_rates.append(
            statistics.mean([bare, bare_rate(model, batches, PAIRS.value // 2)])
        )
        ratios.append(rates[-1] / bare_rates[-1])
    size = source.stat().st_size / 1e6
    print(
        f"\n{PAIRS.value:,} pairs, {size:,.0f} MB of JSON Lines, enc_dim {_ENC_DIM}\n"
    )
    print("| | median | least | most |\n|---|---|---|---|")
    for name, values, form in (
        ("bare model on prepared batches, pairs/s", bare_rates, ",.0f"),
        ("transform, pairs/s", rates, ",.0f"),
        ("transform / bare model", ratios, ".2f"),
    ):
        middle = statistics.median(values)
        print(
            f"| {name} | {middle:{form}} "
            f"| {min(values):{form}} | {max(values):{form}} |"
        )
    print(
        f"\ntransform's peak memory above the loaded model: {_peak() - before:.2f} GB"
    )


def main() -> None:
    """Runs the command."""
    with tempfile.TemporaryDirectory() as directory:
        measure(Path(directory))


if __name__ == "__main__":
    runner.run(main)
