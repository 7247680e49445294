"""Times training with negatives, and what the exclusion of known pairs costs.

    python -m tools.benchmarks.negatives
    python -m tools.benchmarks.negatives --known_pairs=20000000

A negative combines encodings that the batch already has, so it costs only the
comparator. Every round runs both variants in turn, so that the ratios are valid even if
the clock speed of the machine changes. With --known_pairs, the command only measures
the structure that finds known pairs, for that number of pairs.
"""

from __future__ import annotations

import dataclasses
import gc
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from absl import flags

from object2vec_tf.commands import runner
from object2vec_tf.data.known_pairs import KnownPairs
from object2vec_tf.data.pairs import Pairs, Report
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.ragged.column import RaggedColumn
from tools.benchmarks import encoders, row_sparse
from tools.benchmarks.training import compiled_model, training_loop

RATE = flags.DEFINE_integer("rate", 5, "negatives per pair", 1)
KNOWN_PAIRS = flags.DEFINE_integer(
    "known_pairs", 0, "only measure the structure of this number of known pairs", 0
)
EXCLUSIONS = flags.DEFINE_list(
    "exclusions", [], "only measure these rows of the table on negative_exclude_known"
)

_STEPS = 8
_HCNN_PAIRS = 768
# The sizes of MovieLens-20M.
_USERS, _MOVIES = 138_493, 26_744

Run = Callable[[], object]


def pooled(rate: int, **settings: Any) -> Run:
    """Returns a function that trains pooled_embedding for some steps."""
    setting = row_sparse.NAMED_SETTINGS["S"]
    model = row_sparse.build_model(setting, "adam", rate, **settings)
    in0, in1, labels = (
        np.concatenate(parts) for parts in zip(*setting.batches(), strict=True)
    )
    return _epoch(model, _pairs(in0, in1, labels, model.hyperparameters))


def own_dataset(rate: int, **settings: Any) -> Run:
    """Returns the same for a dataset of the user, which does not list known pairs."""
    setting = row_sparse.NAMED_SETTINGS["S"]
    model = row_sparse.build_model(setting, "adam", rate, **settings)
    train = row_sparse.training_steps(model, row_sparse.ragged_batches(setting))
    return lambda: train(_STEPS)


def hcnn(rate: int) -> Run:
    """Returns a function that trains hcnn for an epoch."""
    pairs = encoders.make_pairs(encoders.make_hyperparameters("hcnn"), _HCNN_PAIRS)
    hyperparameters = dataclasses.replace(
        pairs.hyperparameters, negative_sampling_rate=rate
    )
    return encoders.object2vec_epoch(
        dataclasses.replace(pairs, settings=hyperparameters)
    )


def small(rate: int, batch: int, steps: int, **settings: Any) -> Run:
    """Returns a function that trains a model of one id a side for some steps."""
    random = np.random.default_rng(0)
    rows, users, movies = batch * steps, 943, 1682
    hyperparameters = Hyperparameters(
        enc0_network="pooled_embedding",
        enc0_max_seq_len=1,
        enc0_vocab_size=users,
        enc1_network="pooled_embedding",
        enc1_max_seq_len=1,
        enc1_vocab_size=movies,
        enc_dim=64,
        mlp_dim=64,
        mlp_layers=1,
        token_embedding_storage_type="row_sparse",
        mini_batch_size=batch,
        negative_sampling_rate=rate,
        **settings,
    )
    in0 = random.integers(0, users, (rows, 1))
    in1 = (random.random((rows, 1)) ** 2 * movies).astype(np.int64)
    pairs = _pairs(in0, in1, np.ones(rows, np.int64), hyperparameters)
    return _epoch(compiled_model(hyperparameters), pairs)


def _pairs(
    in0: npt.NDArray[Any],
    in1: npt.NDArray[Any],
    labels: npt.NDArray[Any],
    hyperparameters: Hyperparameters,
) -> Pairs:
    """Returns pairs of objects with equal lengths, int ``[rows, tokens]``."""
    first, second = (
        RaggedColumn(
            ids.astype(np.int32).ravel(),
            np.arange(len(ids) + 1, dtype=np.int64) * ids.shape[1],
        )
        for ids in (in0, in1)
    )
    report = Report((), {}, {}, (), {}, "")
    return Pairs(first, second, labels.astype(np.int64), hyperparameters, report)


def _epoch(model: Any, pairs: Pairs) -> Run:
    """Returns a function that trains a model for an epoch."""
    loop, batch = training_loop(model), pairs.hyperparameters.mini_batch_size
    return lambda: loop.train(pairs.dataset(batch, shuffle=True))


def _seconds(run: Run) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _ratios(variants: Sequence[Run]) -> list[float]:
    """Returns the time of the first variant relative to the second, by round."""
    for run in [*variants] * 2:
        run()  # traces the graph
    ratios = []
    for _ in range(row_sparse.ROUNDS.value):
        first, second = map(_seconds, variants)
        ratios.append(first / second)
    # Models refer to themselves: without this, their tables stay in memory.
    del variants, run
    gc.collect()
    return ratios


def _row(name: str, ratios: Sequence[float]) -> str:
    cells = (statistics.median(ratios), min(ratios), max(ratios))
    return f"| {name} | {' | '.join(f'{cell:.2f}' for cell in cells)} |"


def measure_known_pairs() -> None:
    """Prints time and memory of the structure of known pairs."""
    random, rows = np.random.default_rng(0), KNOWN_PAIRS.value
    users = random.integers(0, _USERS, rows).astype(np.int32)
    movies = (random.random(rows) ** 3 * _MOVIES).astype(np.int32)
    splits, labels = np.arange(rows + 1), np.ones(rows, np.int64)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    known = KnownPairs.of(
        RaggedColumn(users, splits), RaggedColumn(movies, splits), labels
    )
    seconds = time.perf_counter() - start
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**10
    arrays = (*known.numbers, known.splits, known.partners, known.filter.bits)
    kept = sum(array.nbytes for array in arrays) / 2**20
    print(
        f"{rows:,} pairs, {len(known.partners):,} of them distinct: {seconds:.1f} s, "
        f"{kept:,.0f} MiB kept, {peak:,.0f} MiB more at the peak than before"
    )


def main() -> None:
    """Runs the command."""
    if KNOWN_PAIRS.value:
        measure_known_pairs()
        return
    if not EXCLUSIONS.value:
        measure_negatives(RATE.value)
    measure_exclusion(RATE.value)


def measure_negatives(rate: int) -> None:
    """Prints the time of training with negatives relative to that without."""
    print(f"\n| encoder | time with {rate} negatives / without | min | max |")
    print("|---|---|---|---|")
    for make in (pooled, hcnn):
        print(_row(make.__name__, _ratios([make(rate), make(0)])), flush=True)


def measure_exclusion(rate: int) -> None:
    """Prints the throughput with the exclusion of known pairs relative to without."""
    print(
        f"\n| {rate} negatives | pairs/s with negative_exclude_known / without "
        "| min | max |\n|---|---|---|---|"
    )
    exclusions: dict[str, Callable[[bool], Run]] = {
        "S": lambda on: pooled(rate, negative_exclude_known=on),
        "S hard": lambda on: pooled(
            rate, negative_exclude_known=on, negative_mining="hard"
        ),
        "S in_batch_softmax": lambda on: pooled(
            0, negative_exclude_known=on, objective="in_batch_softmax"
        ),
        "S own dataset": lambda on: own_dataset(rate, negative_exclude_known=on),
        "one id batch 64": lambda on: small(rate, 64, 300, negative_exclude_known=on),
        "one id batch 2048": lambda on: small(
            rate, 2048, 30, negative_exclude_known=on
        ),
    }
    for name, make_variant in exclusions.items():
        if name in EXCLUSIONS.value or not EXCLUSIONS.value:
            ratios = _ratios([make_variant(False), make_variant(True)])
            print(_row(name, ratios), flush=True)


if __name__ == "__main__":
    runner.run(main)
