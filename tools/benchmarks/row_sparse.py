"""Times a training step with row_sparse token tables and the same network in Keras.

    python -m tools.benchmarks.row_sparse
    python -m tools.benchmarks.row_sparse --variants=weighted

The network has pooled encoders with one table for both sides, the hadamard comparator
and an MLP of two layers. Every round runs all variants in turn, so that the ratios are
valid even if the clock speed of the machine changes.
"""

from __future__ import annotations

import dataclasses
import functools
import gc
import resource
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from absl import flags

from object2vec_tf.commands import runner
from object2vec_tf.hyperparameters import Hyperparameters
from tools.benchmarks.training import compiled_model, training_loop

VARIANTS = flags.DEFINE_enum(
    "variants",
    "keras",
    ["keras", "weighted"],
    "what to compare: row_sparse with Keras, or pooling=weighted with mean",
)
SETTINGS = flags.DEFINE_list("settings", ["S", "L", "W"], "settings to measure")
MEMORY = flags.DEFINE_bool(
    "memory", False, "only measure the memory of a table of 3,000,000 x 300"
)
ROUNDS = flags.DEFINE_integer("rounds", 5, "rounds per measurement", 1)
STEPS = flags.DEFINE_integer("steps", 8, "training steps per round", 1)

BATCH = 512
MLP_DIM = 512

Ids = npt.NDArray[np.int32]


@dataclasses.dataclass(frozen=True)
class Setting:
    """Sizes of a model and of its batches.

    Attributes:
        vocab_size: Rows of the token table.
        dim: Width of the token table.
        tokens: Tokens of in0 and of in1.
        count: Number of different batches.
    """

    vocab_size: int
    dim: int
    tokens: tuple[int, int]
    count: int = 4

    def batches(self) -> list[tuple[Ids, Ids, npt.NDArray[np.int64]]]:
        """Returns random batches; token frequencies follow Zipf's law, as in text."""
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


NAMED_SETTINGS = {
    "S": Setting(267_522, 300, (20, 50)),
    "L": Setting(267_522, 300, (50, 500)),
    "W": Setting(3_000_000, 64, (20, 50)),
    "P": Setting(50_000, 300, (20, 50), 78),
}

# AWS's largest vocabulary with 300 dimensions; too large for plain Keras here.
_LARGE = Setting(3_000_000, 300, (20, 50))

Steps = Callable[[int], object]
"""A function that runs the given number of training steps."""


def object2vec_steps(
    setting: Setting, optimizer: str, negatives: int = 0, **more: Any
) -> Steps:
    """Returns the training steps of Object2Vec with row_sparse."""
    model = build_model(setting, optimizer, negatives, **more)
    return training_steps(model, ragged_batches(setting))


def ragged_batches(setting: Setting) -> list[Any]:
    """Returns the batches of a setting as Object2Vec takes them."""
    import tensorflow as tf

    return [
        (
            {
                name: tf.RaggedTensor.from_tensor(ids)
                for name, ids in (("in0", in0), ("in1", in1))
            },
            labels,
        )
        for in0, in1, labels in setting.batches()
    ]


def build_model(
    setting: Setting, optimizer: str, negatives: int = 0, **more: Any
) -> Any:
    """Returns the compiled Object2Vec of a setting."""
    more = {"optimizer": optimizer, "negative_sampling_rate": negatives, **more}
    return compiled_model(hyperparameters_of(setting, **more))


def hyperparameters_of(setting: Setting, **more: Any) -> Hyperparameters:
    """Returns the hyperparameters of a setting.

    Args:
        setting: The setting.
        **more: Further hyperparameters.
    """
    settings: dict[str, Any] = {"mini_batch_size": BATCH, **more}
    return Hyperparameters(
        enc0_network="pooled_embedding",
        enc0_vocab_size=setting.vocab_size,
        enc0_max_seq_len=max(setting.tokens),
        enc_dim=setting.dim,
        tied_token_embedding_weight=True,
        token_embedding_storage_type="row_sparse",
        comparator_list="hadamard",
        mlp_dim=MLP_DIM,
        **settings,
    )


def training_steps(model: Any, batches: Sequence[Any]) -> Steps:
    """Returns the training steps of a compiled model that repeats the batches."""
    import tensorflow as tf

    from object2vec_tf.data.dataset import pipeline_options

    parts = [tf.data.Dataset.from_tensors(batch) for batch in batches]
    dataset = functools.reduce(tf.data.Dataset.concatenate, parts).cache()
    for _ in dataset:  # fills the cache
        pass
    loop = training_loop(model)

    def run(count: int) -> None:
        repeated = dataset.repeat().take(count)
        repeated = repeated.apply(tf.data.experimental.assert_cardinality(count))
        loop.train(repeated.with_options(pipeline_options()))

    return run


def keras_steps(setting: Setting, optimizer: str) -> Steps:
    """Returns the training steps of the same network made of Keras's own layers."""
    import keras
    import tensorflow as tf

    from object2vec_tf.data.dataset import pipeline_options

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
    dataset = dataset.with_options(pipeline_options())
    return lambda count: model.fit(dataset, steps_per_epoch=count, verbose=0)


def mean_distinct_tokens(setting: Setting) -> float:
    """Returns the mean number of distinct tokens per batch."""
    return statistics.mean(
        len(np.unique(np.concatenate([in0.ravel(), in1.ravel()])))
        for in0, in1, _ in setting.batches()
    )


def measure(name: str, setting: Setting) -> None:
    """Measures one setting and prints its table."""
    rates: dict[str, list[float]] = {}
    for optimizer in ("adam", "adagrad", "sgd"):
        variants = variants_of(setting, optimizer)
        for run in variants.values():
            run(2)  # traces the graph
            run(2)
        for _ in range(ROUNDS.value):
            for variant, run in variants.items():
                start = time.perf_counter()
                run(STEPS.value)
                seconds = time.perf_counter() - start
                rates.setdefault(variant, []).append(STEPS.value * BATCH / seconds)
        del variants, run
        gc.collect()
    print(
        f"\n{name}: {setting.vocab_size:,} x {setting.dim}, "
        f"{setting.tokens[0]} + {setting.tokens[1]} tokens, batch {BATCH}, "
        f"{mean_distinct_tokens(setting):,.0f} distinct tokens per batch\n"
    )
    _print_rates(rates)


def variants_of(setting: Setting, optimizer: str) -> dict[str, Steps]:
    """Returns the variants to compare by name; the last one is the base."""
    if VARIANTS.value == "weighted":
        return {
            f"{pooling} {optimizer}": object2vec_steps(
                setting, optimizer, pooling=pooling
            )
            for pooling in ("weighted", "mean")
        }
    return {
        f"row_sparse {optimizer}": object2vec_steps(setting, optimizer),
        f"Keras {optimizer}": keras_steps(setting, optimizer),
    }


def _print_rates(rates: Mapping[str, Sequence[float]]) -> None:
    name = "mean" if VARIANTS.value == "weighted" else "Keras"
    print(
        f"| variant | pairs/s | relative to {name} | min | max |\n|---|---|---|---|---|"
    )
    for variant, values in rates.items():
        base = rates[f"{name} {variant.split()[-1]}"]
        ratios = [a / b for a, b in zip(values, base, strict=True)]
        print(
            f"| {variant} | {statistics.median(values):,.0f} "
            f"| {statistics.median(ratios):.2f} "
            f"| {min(ratios):.2f} | {max(ratios):.2f} |"
        )


def measure_memory() -> None:
    """Prints the rate and the memory of the largest table, from this process's peak."""
    run = object2vec_steps(_LARGE, "adam")
    run(2)
    start = time.perf_counter()
    run(STEPS.value)
    rate = STEPS.value * BATCH / (time.perf_counter() - start)
    weights = 4 * _LARGE.vocab_size * _LARGE.dim / 2**30
    # The forward pass reads the rows. Adam reads and writes them and two slots.
    moved = 7 * 4 * mean_distinct_tokens(_LARGE) * _LARGE.dim / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"\n{_LARGE.vocab_size:,} x {_LARGE.dim}, adam: {rate:,.0f} pairs/s, peak "
        f"memory {peak:.1f} GiB (weights {weights:.1f}, slots {2 * weights:.1f}); a "
        f"step moves {moved:,.0f} MiB of rows, a dense step {7 * weights * 1024:,.0f}"
    )


def main() -> None:
    """Runs the command."""
    if MEMORY.value:
        measure_memory()
        return
    for name in SETTINGS.value:
        measure(name, NAMED_SETTINGS[name])


if __name__ == "__main__":
    runner.run(main)
