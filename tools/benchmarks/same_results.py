"""Shows that the optimizations of training do not change its results.

    python -m tools.benchmarks.same_results

Trains on MovieLens-100k (`make data`) with several seeds and compares dense and
row-sparse updates of token tables, batches with and without bucketing by length, and
negatives from the encodings of the batch with negatives drawn before each epoch. All
metrics are measured on the held-out pairs of ua.base; ua.test is not used.
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
from object2vec_tf.data.channel_reader import read_pairs
from object2vec_tf.data.pairs import Pairs
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.ragged.column import Ids, RaggedColumn, Splits
from tools.benchmarks.training import compiled_model, training_loop

DATA = flags.DEFINE_string("data", "data/movielens", "output directory of `make data`")
WHAT = flags.DEFINE_list(
    "what", ["tables", "buckets", "negatives"], "optimizations to compare"
)
SEEDS = flags.DEFINE_integer("seeds", 3, "runs per variant", 2)

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
_TOP_RANKS = 10
# Users whose scores of all movies are computed at once.
_USERS_PER_BATCH = 20


def best_loss(train: Pairs, validation: Pairs, seed: int, epochs: int) -> float:
    """Returns the lowest validation loss over the epochs."""
    loop = training_loop(compiled_model(train.hyperparameters, seed))
    losses = []
    for epoch in range(epochs):
        loop.train(train.dataset(shuffle=True, seed=seed, epoch=epoch))
        metrics = loop.evaluate(validation.dataset(1024))
        losses.append(metrics[train.hyperparameters.loss_name])
    return min(losses)


def _read(task: str, part: str, **settings: Any) -> Pairs:
    file = Path(DATA.value) / task / f"ua.base.{part}.jsonl"
    return read_pairs(file, Hyperparameters(**_SETTINGS, **settings))


def tables(seed: int, storage: str) -> float:
    """Returns the validation squared error of ratings."""
    settings = {
        "output_layer": "mean_squared_error",
        "token_embedding_storage_type": storage,
        "mini_batch_size": 64,
    }
    train, validation = (
        _read("rating", part, **settings) for part in ("fit", "held_out")
    )
    return best_loss(train, validation, seed, epochs=6)


def _with_histories(pairs: Pairs, liked: dict[int, list[int]], width: int) -> Pairs:
    """Returns pairs in which in0 is the list of movies that the user liked."""
    settings = pairs.hyperparameters.to_dict() | {
        "enc0_network": "hcnn",
        "enc0_vocab_size": 1683,
        "enc0_max_seq_len": _HISTORY,
        "enc0_token_embedding_dim": 32,
        "enc0_layers": 4,
        "bucket_width": width,
    }
    users, movies = _ids(pairs)
    # The length of each history is random and does not depend on the user.
    lengths = np.random.default_rng(1).integers(1, _HISTORY + 1, len(pairs))
    rows = [
        [other for other in liked.get(int(user), []) if other != movie][:length]
        for user, movie, length in zip(users, movies, lengths, strict=True)
    ]
    return dataclasses.replace(
        pairs,
        in0=RaggedColumn.from_rows(rows),
        settings=Hyperparameters(**settings),
    )


def buckets(seed: int, width: str) -> float:
    """Returns the validation squared error of ratings from histories, with hcnn."""
    settings = {"output_layer": "mean_squared_error", "mini_batch_size": 128}
    train, validation = (
        _read("rating", part, **settings) for part in ("fit", "held_out")
    )
    order = np.random.default_rng(0).permutation(len(train))
    liked: dict[int, list[int]] = {}
    users, movies = _ids(train)
    for i in order[train.labels.take(order) >= 4]:
        liked.setdefault(int(users[i]), []).append(int(movies[i]))
    subset = _take(train, order[:_HISTORY_PAIRS])
    return best_loss(
        _with_histories(subset, liked, int(width)),
        _with_histories(validation, liked, int(width)),
        seed,
        epochs=6,
    )


def _ids(pairs: Pairs) -> list[Ids]:
    """Returns the ids of in0 and in1 of pairs with one id per side."""
    rows = np.arange(len(pairs))
    return [pairs.in0.take(rows).values, pairs.in1.take(rows).values]


def _take(pairs: Pairs, rows: Splits) -> Pairs:
    return dataclasses.replace(
        pairs,
        in0=pairs.in0.take(rows),
        in1=pairs.in1.take(rows),
        labels=pairs.labels.take(rows),
    )


def _positives(pairs: Pairs) -> Pairs:
    return _take(pairs, np.flatnonzero(np.asarray(pairs.labels) == 1))


def _with_negatives(pairs: Pairs, generator: np.random.Generator) -> Pairs:
    """Returns the pairs and, for each of them, negatives with random other movies."""
    count = len(pairs)
    repeated = np.tile(np.arange(count), 1 + _NEGATIVES)
    others = generator.integers(0, count, count * _NEGATIVES)
    return dataclasses.replace(
        pairs,
        in0=pairs.in0.take(repeated),
        in1=pairs.in1.take(np.concatenate([np.arange(count), others])),
        labels=np.concatenate([pairs.labels, np.zeros(len(others), np.int64)]),
    )


def hits(seed: int, negatives: str) -> float:
    """Returns the share of liked validation movies among the ten best-ranked movies.

    Movies that the user liked in the training pairs are not ranked.
    """
    shared = negatives == "shared"
    settings = {
        "output_layer": "softmax",
        "num_classes": 2,
        "negative_sampling_rate": _NEGATIVES if shared else 0,
        "mini_batch_size": 256 if shared else 256 * (1 + _NEGATIVES),
    }
    train, validation = (
        _positives(_read("recommendation", part, **settings))
        for part in ("fit", "held_out")
    )
    model = compiled_model(train.hyperparameters, seed)
    loop = training_loop(model)
    generator = np.random.default_rng(seed)
    for epoch in range(8):  # more epochs overfit
        pairs = train if shared else _with_negatives(train, generator)
        loop.train(pairs.dataset(shuffle=True, seed=seed, epoch=epoch))
    return _hits(model, train, validation)


def _hits(model: Any, train: Pairs, validation: Pairs) -> float:
    import tensorflow as tf

    movies = model.enc1(tf.range(1683)[:, tf.newaxis])
    known, expected = _movies_by_user(train), _movies_by_user(validation)
    score = tf.function(model.comparator, reduce_retracing=True)
    users = sorted(expected)
    hits = []
    for start in range(0, len(users), _USERS_PER_BATCH):
        batch = users[start : start + _USERS_PER_BATCH]
        encodings = model.enc0(tf.constant(batch)[:, tf.newaxis])
        pairs = [
            tf.repeat(encodings, len(movies), axis=0),
            tf.tile(movies, [len(batch), 1]),
        ]
        scores = score(pairs).numpy()[:, 1].reshape(len(batch), -1)
        for user, row in zip(batch, scores, strict=True):
            row[[0, *known.get(user, ())]] = -np.inf
            top = np.argsort(-row)[:_TOP_RANKS]
            hits += [movie in top for movie in expected[user]]
    return float(np.mean(hits))


def _movies_by_user(pairs: Pairs) -> dict[int, list[int]]:
    movies: dict[int, list[int]] = {}
    for user, movie in zip(*_ids(pairs), strict=True):
        movies.setdefault(int(user), []).append(int(movie))
    return movies


Measure = Callable[[int, str], float]


def main() -> None:
    """Runs the command."""
    comparisons: dict[str, tuple[str, Measure, tuple[str, str]]] = {
        "tables": ("token tables, squared error", tables, ("dense", "row_sparse")),
        "buckets": ("bucket_width of hcnn, squared error", buckets, ("0", "8")),
        "negatives": ("negatives, hits@10", hits, ("drawn", "shared")),
    }
    print("| comparison | variant | mean | standard deviation | values by seed |")
    print("|---|---|---|---|---|")
    for title, measure, variants in (comparisons[name] for name in WHAT.value):
        for variant in variants:
            values = [measure(seed, variant) for seed in range(SEEDS.value)]
            print(
                f"| {title} | {variant} | {statistics.mean(values):.4f} "
                f"| {statistics.stdev(values):.4f} "
                f"| {', '.join(f'{value:.4f}' for value in values)} |",
                flush=True,
            )


if __name__ == "__main__":
    runner.run(main)
