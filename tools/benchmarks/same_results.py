"""Shows that what makes training fast leaves its results as they are.

    python -m tools.benchmarks.same_results

Trains on MovieLens-100k (`make data`) with several seeds: token tables updated whole or
by row, batches bucketed by length or not, negatives out of the batch's encodings or
drawn beforehand. All is judged on pairs held out of ua.base; ua.test is not looked at.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from object2vec_tf.commands import runner
from object2vec_tf.data.pairs import Pairs, read_pairs
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.ragged.column import Ids, RaggedColumn, Splits
from tools.benchmarks.training import compiled, loop_of

DATA = flags.DEFINE_string("data", "data/movielens", "what `make data` wrote")
WHAT = flags.DEFINE_list("what", ["tables", "buckets", "negatives"], "what is compared")
SEEDS = flags.DEFINE_integer("seeds", 3, "runs of each variant", 2)

_SETTINGS: dict[str, Any] = {
    "enc0_network": "pooled_embedding",
    "enc0_vocab_size": 944,
    "enc0_max_seq_len": 1,
    "enc1_network": "pooled_embedding",
    "enc1_vocab_size": 1683,
    "enc1_max_seq_len": 1,
    "enc_dim": 64,
    "mlp_dim": 64,
}
_HISTORY = 40
_HISTORY_PAIRS = 30_000
_NEGATIVES = 4
_FIRST_RANKS = 10
# Users whose scores of all movies are taken at once.
_USERS = 20


def best_loss(train: Pairs, held_out: Pairs, seed: int, epochs: int) -> float:
    """Returns the lowest held-out loss of some epochs."""
    loop = loop_of(compiled(train.hyperparameters, seed))
    losses = []
    for epoch in range(epochs):
        loop.train(train.dataset(shuffle=True, seed=seed, epoch=epoch))
        metrics = loop.evaluate(held_out.dataset(1024))
        losses.append(metrics[train.hyperparameters.loss_name])
    return min(losses)


def _read(task: str, part: str, **settings: Any) -> Pairs:
    file = Path(DATA.value) / task / f"ua.base.{part}.jsonl"
    return read_pairs(file, Hyperparameters(**_SETTINGS, **settings))


def tables(seed: int, storage: str) -> float:
    """Returns the held-out squared error of ratings."""
    settings = {
        "output_layer": "mean_squared_error",
        "token_embedding_storage_type": storage,
        "mini_batch_size": 64,
    }
    train, held_out = (
        _read("rating", part, **settings) for part in ("fit", "held_out")
    )
    return best_loss(train, held_out, seed, epochs=6)


def _with_histories(pairs: Pairs, liked: dict[int, list[int]], width: int) -> Pairs:
    """Returns pairs in which a user is the movies the user liked."""
    settings = pairs.hyperparameters.to_dict() | {
        "enc0_network": "hcnn",
        "enc0_vocab_size": 1683,
        "enc0_max_seq_len": _HISTORY,
        "enc0_token_embedding_dim": 32,
        "enc0_layers": 4,
        "bucket_width": width,
    }
    users, movies = _ids(pairs)
    # Of any length, whoever the user is.
    lengths = np.random.default_rng(1).integers(1, _HISTORY + 1, len(pairs))
    rows = [
        [m for m in liked.get(int(user), []) if m != movie][:length]
        for user, movie, length in zip(users, movies, lengths, strict=True)
    ]
    return dataclasses.replace(
        pairs,
        in0=RaggedColumn.from_rows(rows),
        hyperparameters=Hyperparameters(**settings),
    )


def buckets(seed: int, width: str) -> float:
    """Returns the held-out squared error of ratings by users' histories, by hcnn."""
    settings = {"output_layer": "mean_squared_error", "mini_batch_size": 128}
    train, held_out = (
        _read("rating", part, **settings) for part in ("fit", "held_out")
    )
    chosen = np.random.default_rng(0).permutation(len(train))
    liked: dict[int, list[int]] = {}
    users, movies = _ids(train)
    for i in chosen[train.labels.take(chosen) >= 4]:
        liked.setdefault(int(users[i]), []).append(int(movies[i]))
    fewer = _taken(train, chosen[:_HISTORY_PAIRS])
    return best_loss(
        _with_histories(fewer, liked, int(width)),
        _with_histories(held_out, liked, int(width)),
        seed,
        epochs=6,
    )


def _ids(pairs: Pairs) -> list[Ids]:
    """Returns the ids of both sides of pairs that have one id a side."""
    rows = np.arange(len(pairs))
    return [pairs.in0.take(rows).values, pairs.in1.take(rows).values]


def _taken(pairs: Pairs, rows: Splits) -> Pairs:
    return dataclasses.replace(
        pairs,
        in0=pairs.in0.take(rows),
        in1=pairs.in1.take(rows),
        labels=pairs.labels.take(rows),
    )


def _positives(pairs: Pairs) -> Pairs:
    return _taken(pairs, np.flatnonzero(np.asarray(pairs.labels) == 1))


def _drawn(pairs: Pairs, generator: np.random.Generator) -> Pairs:
    """Returns the pairs and, for each, negatives with movies of any other pairs."""
    count = len(pairs)
    times = np.tile(np.arange(count), 1 + _NEGATIVES)
    others = generator.integers(0, count, count * _NEGATIVES)
    return dataclasses.replace(
        pairs,
        in0=pairs.in0.take(times),
        in1=pairs.in1.take(np.concatenate([np.arange(count), others])),
        labels=np.concatenate([pairs.labels, np.zeros(len(others), np.int64)]),
    )


def hits(seed: int, negatives: str) -> float:
    """Returns the share of held-out liked movies among the ten of highest score.

    All movies are ranked but those that the user liked in the training pairs.
    """
    shared = negatives == "shared"
    settings = {
        "output_layer": "softmax",
        "num_classes": 2,
        "negative_sampling_rate": _NEGATIVES if shared else 0,
        "mini_batch_size": 256 if shared else 256 * (1 + _NEGATIVES),
    }
    train, held_out = (
        _positives(_read("recommendation", part, **settings))
        for part in ("fit", "held_out")
    )
    model = compiled(train.hyperparameters, seed)
    loop = loop_of(model)
    generator = np.random.default_rng(seed)
    for epoch in range(8):  # more of them overfit
        pairs = train if shared else _drawn(train, generator)
        loop.train(pairs.dataset(shuffle=True, seed=seed, epoch=epoch))
    return _hits(model, train, held_out)


def _hits(model: Any, train: Pairs, held_out: Pairs) -> float:
    import tensorflow as tf

    movies = model.enc1(tf.range(1683)[:, tf.newaxis])
    known, wanted = _movies_of(train), _movies_of(held_out)
    score = tf.function(model.comparator, reduce_retracing=True)
    users = sorted(wanted)
    found = []
    for start in range(0, len(users), _USERS):
        some = users[start : start + _USERS]
        encodings = model.enc0(tf.constant(some)[:, tf.newaxis])
        pairs = [
            tf.repeat(encodings, len(movies), axis=0),
            tf.tile(movies, [len(some), 1]),
        ]
        scores = score(pairs).numpy()[:, 1].reshape(len(some), -1)
        for user, row in zip(some, scores, strict=True):
            row[[0, *known.get(user, ())]] = -np.inf
            first = np.argsort(-row)[:_FIRST_RANKS]
            found += [movie in first for movie in wanted[user]]
    return float(np.mean(found))


def _movies_of(pairs: Pairs) -> dict[int, list[int]]:
    movies: dict[int, list[int]] = {}
    for user, movie in zip(*_ids(pairs), strict=True):
        movies.setdefault(int(user), []).append(int(movie))
    return movies


Measure = Callable[[int, str], float]


def main() -> None:
    """Runs the command."""
    compared: dict[str, tuple[str, Measure, tuple[str, str]]] = {
        "tables": ("token tables, squared error", tables, ("dense", "row_sparse")),
        "buckets": ("bucket_width of hcnn, squared error", buckets, ("0", "8")),
        "negatives": ("negatives, hits@10", hits, ("drawn", "shared")),
    }
    print("| what | variant | mean | standard deviation | each seed |")
    print("|---|---|---|---|---|")
    for what, measure, variants in (compared[name] for name in WHAT.value):
        for variant in variants:
            values = [measure(seed, variant) for seed in range(SEEDS.value)]
            print(
                f"| {what} | {variant} | {statistics.mean(values):.4f} "
                f"| {statistics.stdev(values):.4f} "
                f"| {', '.join(f'{value:.4f}' for value in values)} |",
                flush=True,
            )


if __name__ == "__main__":
    runner.run(main)
