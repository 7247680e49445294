"""Times training of each encoder and of the same network made of Keras's layers.

    python -m tools.benchmarks.encoders

hcnn and bilstm read sequences with log-normal lengths. The Keras models get them padded
to max_seq_len, as Keras's layers require. pooled_embedding reads one id per side, as in
MovieLens. Batches are in the layout that fit chooses.
Every round runs both variants in turn, so that the ratios are valid even if the clock
speed of the machine changes.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from absl import flags

from object2vec_tf.commands import runner
from object2vec_tf.data.pairs import Pairs, Report
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.ragged.column import RaggedColumn
from tools.benchmarks.row_sparse import ROUNDS
from tools.benchmarks.training import compiled_model, training_loop

NETWORKS = flags.DEFINE_list(
    "networks", ["pooled_embedding", "hcnn", "bilstm"], "encoders"
)

_MAX_SEQ_LEN = 82
# pooled_embedding has as many ids as MovieLens-100k has movies.
_VOCABULARY = {"pooled_embedding": 1_683, "hcnn": 10_000, "bilstm": 10_000}
_TOKEN_DIM = 300
# Pairs per round, and batch size.
_SIZES = {"pooled_embedding": (32_000, 64), "hcnn": (1536, 128), "bilstm": (512, 128)}
_ENC_DIM = {"pooled_embedding": 64, "hcnn": 512, "bilstm": 512}


def make_hyperparameters(network: str) -> Hyperparameters:
    """Returns the hyperparameters for measuring an encoder."""
    pooled = network == "pooled_embedding"
    settings: dict[str, Any] = (
        {"token_embedding_storage_type": "row_sparse"}
        if pooled
        else {"enc0_token_embedding_dim": _TOKEN_DIM}
    )
    settings["enc0_network"] = network
    if network == "hcnn":
        settings["enc0_layers"] = 4
    return Hyperparameters(
        enc0_vocab_size=_VOCABULARY[network],
        enc0_max_seq_len=1 if pooled else _MAX_SEQ_LEN,
        enc_dim=_ENC_DIM[network],
        mlp_dim=256,
        mini_batch_size=_SIZES[network][1],
        **settings,
    )


def _column(
    generator: np.random.Generator, rows: int, hyperparameters: Hyperparameters
) -> RaggedColumn:
    lengths = np.exp(generator.normal(np.log(13), 0.55, rows)).round()
    lengths = np.clip(lengths, 1, hyperparameters.enc0_max_seq_len).astype(np.int64)
    values = generator.integers(
        0, hyperparameters.enc0_vocab_size, lengths.sum(), np.int32
    )
    return RaggedColumn(values, np.concatenate([[0], np.cumsum(lengths)]))


def make_pairs(hyperparameters: Hyperparameters, rows: int) -> Pairs:
    """Returns random pairs."""
    generator = np.random.default_rng(0)
    return Pairs(
        _column(generator, rows, hyperparameters),
        _column(generator, rows, hyperparameters),
        generator.integers(0, 2, rows),
        hyperparameters,
        Report((), {}, {}, (), {}, ""),
    )


def object2vec_epoch(pairs: Pairs) -> Callable[[], object]:
    """Returns a function that trains Object2Vec for an epoch, in fit's layout."""
    from object2vec_tf.distributed.replicas import Replicas
    from object2vec_tf.distributed.strategies import SingleDevice
    from object2vec_tf.training.batch_layout import layout_for, make_execution

    model = compiled_model(pairs.hyperparameters)
    strategy = SingleDevice()
    execution = make_execution(
        layout_for("auto", strategy, pairs),
        Replicas(strategy, lambda: model),
        lambda line: None,
    )
    loop, epochs = training_loop(execution), itertools.count()
    return lambda: loop.train(
        execution.batches(pairs, shuffle=True, epoch=next(epochs))
    )


def _padded(column: RaggedColumn, max_seq_len: int) -> npt.NDArray[np.int32]:
    dense = np.zeros((len(column), max_seq_len), np.int32)
    dense[np.arange(max_seq_len) < column.lengths[:, np.newaxis]] = column.values + 1
    return dense


def _keras_encoder(network: str, max_seq_len: int) -> Any:
    import keras

    ids = keras.Input((max_seq_len,), dtype="int32")
    vocab_size = _VOCABULARY[network] + 1  # 0 is padding
    dim = _ENC_DIM[network]
    if network == "pooled_embedding":
        vectors = keras.layers.Embedding(vocab_size, dim)(ids)
        return keras.Model(ids, keras.layers.GlobalAveragePooling1D()(vectors))
    mask_zero = network == "bilstm"
    steps = keras.layers.Embedding(vocab_size, _TOKEN_DIM, mask_zero=mask_zero)(ids)
    if network == "bilstm":
        lstm = keras.layers.LSTM(dim // 2, return_sequences=True)
        steps = keras.layers.Bidirectional(lstm)(steps)
        return keras.Model(ids, keras.layers.GlobalMaxPooling1D()(steps))
    maxima = []
    for _ in range(4):
        steps = keras.layers.Conv1D(dim // 4, 3, padding="same", activation="relu")(
            steps
        )
        maxima.append(keras.layers.GlobalMaxPooling1D()(steps))
    return keras.Model(ids, keras.layers.Concatenate()(maxima))


def keras_epoch(pairs: Pairs) -> Callable[[], object]:
    """Returns a function that trains the same network in Keras for an epoch."""
    import keras

    hyperparameters = pairs.hyperparameters
    network = hyperparameters.enc0_network
    max_seq_len = hyperparameters.enc0_max_seq_len
    inputs = [keras.Input((max_seq_len,), dtype="int32") for _ in range(2)]
    first, second = (_keras_encoder(network, max_seq_len)(ids) for ids in inputs)
    compared = [
        keras.layers.Multiply()([first, second]),
        first,
        second,
        keras.ops.abs(first - second),
    ]
    hidden = keras.layers.Concatenate()(compared)
    for _ in range(hyperparameters.mlp_layers):
        hidden = keras.layers.Dense(hyperparameters.mlp_dim, "relu")(hidden)
    model = keras.Model(inputs, keras.layers.Dense(2, "softmax")(hidden))
    model.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
    rows = np.arange(len(pairs))
    arrays = [
        _padded(column.take(rows), max_seq_len) for column in (pairs.in0, pairs.in1)
    ]
    return lambda: model.fit(
        arrays,
        np.asarray(pairs.labels),
        hyperparameters.mini_batch_size,
        epochs=1,
        verbose=0,
    )


def measure(network: str) -> list[str]:
    """Measures one encoder and returns its table row."""
    rows, batch = _SIZES[network]
    pairs = make_pairs(make_hyperparameters(network), rows)
    variants = {"ours": object2vec_epoch(pairs), "Keras": keras_epoch(pairs)}
    for epoch in variants.values():
        epoch()  # traces the graph
    rates: dict[str, list[float]] = {}
    for _ in range(ROUNDS.value):
        for variant, epoch in variants.items():
            start = time.perf_counter()
            epoch()
            rates.setdefault(variant, []).append(rows / (time.perf_counter() - start))
    ratios = [a / b for a, b in zip(rates["ours"], rates["Keras"], strict=True)]
    return [
        network,
        f"{batch}",
        f"{statistics.median(rates['ours']):,.0f}",
        f"{statistics.median(rates['Keras']):,.0f}",
        f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
    ]


def main() -> None:
    """Runs the command."""
    rows = [measure(network) for network in NETWORKS.value]
    print("\n| encoder | batch | pairs/s | Keras fit, pairs/s | ratio |")
    print("|---|---|---|---|---|")
    for row in rows:
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    runner.run(main)
