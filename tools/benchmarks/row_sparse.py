"""Times a training step of row-sparse embeddings beside what else there is.

    python -m tools.benchmarks.row_sparse

Pooled encoders with one table for both sides, multiplied, an MLP of two layers. Each
round runs all variants in turn, so ratios hold although the machine's clock drifts.
"""

from __future__ import annotations

import dataclasses
import functools
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
from object2vec_tf.hyperparameters import Hyperparameters
from tools.benchmarks.training import compiled, loop_of

SETTINGS = flags.DEFINE_list("settings", ["S", "L", "W"], "which settings are run")
MEMORY = flags.DEFINE_bool(
    "memory", False, "show the memory that 3,000,000 x 300 takes, and nothing else"
)
ROUNDS = flags.DEFINE_integer("rounds", 5, "rounds of each measurement", 1)
STEPS = flags.DEFINE_integer("steps", 8, "steps in a round", 1)

BATCH = 512
MLP_DIM = 512

Ids = npt.NDArray[np.int32]


@dataclasses.dataclass(frozen=True)
class Setting:
    """What is trained.

    Attributes:
        vocab_size: Rows of the table.
        dim: Its width.
        tokens: Tokens of in0 and of in1.
        count: Different batches.
    """

    vocab_size: int
    dim: int
    tokens: tuple[int, int]
    count: int = 4

    def batches(self) -> list[tuple[Ids, Ids, npt.NDArray[np.int64]]]:
        """Returns batches whose tokens are as skewed as words are (Zipf)."""
        generator = np.random.default_rng(0)
        weights = 1 / np.arange(1, self.vocab_size + 1)
        edges = np.cumsum(weights / weights.sum())
        order = generator.permutation(self.vocab_size).astype(np.int32)

        def ids(tokens: int) -> Ids:
            ranks = np.searchsorted(edges, generator.random((BATCH, tokens)))
            return order[np.minimum(ranks, self.vocab_size - 1)]

        return [
            (ids(self.tokens[0]), ids(self.tokens[1]), generator.integers(0, 2, BATCH))
            for _ in range(self.count)
        ]


SIZES = {
    "S": Setting(267_522, 300, (20, 50)),
    "L": Setting(267_522, 300, (50, 500)),
    "W": Setting(3_000_000, 64, (20, 50)),
    "P": Setting(50_000, 300, (20, 50), 78),
}

# The most that AWS's largest vocabulary and width may take: too large for Keras here.
_LARGE = Setting(3_000_000, 300, (20, 50))

Steps = Callable[[int], object]


def ours(setting: Setting, optimizer: str, negatives: int = 0) -> Steps:
    """Returns what runs some steps of Object2Vec with row_sparse."""
    import tensorflow as tf

    return trained(
        model_of(setting, optimizer, negatives),
        [
            (
                {
                    name: tf.RaggedTensor.from_tensor(ids)
                    for name, ids in (("in0", in0), ("in1", in1))
                },
                labels,
            )
            for in0, in1, labels in setting.batches()
        ],
    )


def model_of(setting: Setting, optimizer: str, negatives: int = 0) -> Any:
    """Returns the compiled Object2Vec of a setting."""
    settings: dict[str, Any] = {"optimizer": optimizer}
    return compiled(
        Hyperparameters(
            enc0_network="pooled_embedding",
            enc0_vocab_size=setting.vocab_size,
            enc0_max_seq_len=max(setting.tokens),
            enc_dim=setting.dim,
            tied_token_embedding_weight=True,
            token_embedding_storage_type="row_sparse",
            comparator_list="hadamard",
            mlp_dim=MLP_DIM,
            negative_sampling_rate=negatives,
            **settings,
        )
    )


def trained(model: Any, batches: Sequence[Any]) -> Steps:
    """Returns what trains a compiled model for some steps, batches in turn."""
    import tensorflow as tf

    parts = [tf.data.Dataset.from_tensors(batch) for batch in batches]
    dataset = functools.reduce(tf.data.Dataset.concatenate, parts).cache()
    for _ in dataset:  # from now on, batches come out of one cache
        pass
    loop = loop_of(model)

    def steps(count: int) -> None:
        repeated = dataset.repeat().take(count)
        repeated = repeated.apply(tf.data.experimental.assert_cardinality(count))
        loop.train(repeated)

    return steps


def plain_keras(setting: Setting, optimizer: str) -> Steps:
    """Returns what runs some steps of the same network out of Keras's own layers."""
    import keras
    import tensorflow as tf

    inputs = [keras.Input((tokens,), dtype="int32") for tokens in setting.tokens]
    table = keras.layers.Embedding(setting.vocab_size, setting.dim)
    pooled = [keras.layers.GlobalAveragePooling1D()(table(ids)) for ids in inputs]
    hidden = keras.layers.Multiply()(pooled)
    for _ in range(2):
        hidden = keras.layers.Dense(MLP_DIM, "relu")(hidden)
    model = keras.Model(inputs, keras.layers.Dense(2, "softmax")(hidden))
    model.compile(optimizer, "sparse_categorical_crossentropy", jit_compile=False)
    arrays = [np.concatenate(part) for part in zip(*setting.batches(), strict=True)]
    dataset = tf.data.Dataset.from_tensor_slices(((arrays[0], arrays[1]), arrays[2]))
    dataset = dataset.batch(BATCH).cache().repeat()
    return lambda count: model.fit(dataset, steps_per_epoch=count, verbose=0)


def _distinct(setting: Setting) -> float:
    """Returns the mean number of distinct tokens in a batch."""
    return statistics.mean(
        len(np.unique(np.concatenate([in0.ravel(), in1.ravel()])))
        for in0, in1, _ in setting.batches()
    )


def measure(name: str, setting: Setting) -> None:
    """Prints the table of one setting."""
    rates: dict[str, list[float]] = {}
    for optimizer in ("adam", "adagrad", "sgd"):
        sides = {
            f"row_sparse {optimizer}": ours(setting, optimizer),
            f"Keras {optimizer}": plain_keras(setting, optimizer),
        }
        for steps in sides.values():
            steps(2)  # traces
            steps(2)
        for _ in range(ROUNDS.value):
            for variant, steps in sides.items():
                start = time.perf_counter()
                steps(STEPS.value)
                seconds = time.perf_counter() - start
                rates.setdefault(variant, []).append(STEPS.value * BATCH / seconds)
        del sides, steps
        gc.collect()
    print(
        f"\n{name}: {setting.vocab_size:,} x {setting.dim}, "
        f"{setting.tokens[0]} + {setting.tokens[1]} tokens, batch {BATCH}, "
        f"{_distinct(setting):,.0f} distinct tokens a batch\n"
    )
    print("| variant | pairs/s | times Keras's | least | most |\n|---|---|---|---|---|")
    for variant, values in rates.items():
        base = rates[f"Keras {variant.split()[-1]}"]
        ratios = [a / b for a, b in zip(values, base, strict=True)]
        print(
            f"| {variant} | {statistics.median(values):,.0f} "
            f"| {statistics.median(ratios):.2f} "
            f"| {min(ratios):.2f} | {max(ratios):.2f} |"
        )


def measure_memory() -> None:
    """Prints what the largest table takes, in this process so far."""
    steps = ours(_LARGE, "adam")
    steps(2)
    start = time.perf_counter()
    steps(STEPS.value)
    rate = STEPS.value * BATCH / (time.perf_counter() - start)
    weights = 4 * _LARGE.vocab_size * _LARGE.dim / 2**30
    distinct = _distinct(_LARGE)
    # Forwards reads the rows; Adam reads and writes them and two slots.
    moved = 7 * 4 * distinct * _LARGE.dim / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"\n{_LARGE.vocab_size:,} x {_LARGE.dim}, adam: {rate:,.0f} pairs/s, peak "
        f"memory {peak:.1f} GiB (weights {weights:.1f}, slots {2 * weights:.1f}); a "
        f"step moves {moved:,.0f} MiB of rows, a dense one {7 * weights * 1024:,.0f}"
    )


def main() -> None:
    """Runs the command."""
    if MEMORY.value:
        measure_memory()
        return
    for name in SETTINGS.value:
        measure(name, SIZES[name])


if __name__ == "__main__":
    runner.run(main)
