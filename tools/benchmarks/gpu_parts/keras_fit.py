"""Times Keras's own fit of the same network, made of Keras's layers.

Objects are padded: pooled_embedding has objects of equal length. hcnn and bilstm read
batches padded to their longest object if batches are bucketed, otherwise to
max_seq_len. XLA compiles the model again for each shape, so that it is measured with
equal shapes only.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tools.benchmarks.gpu_parts.child import Task, report, timed, wait_for_go
from tools.benchmarks.gpu_parts.works import Work, load, unpack_batches


def pad(
    ids: npt.NDArray[Any], splits: npt.NDArray[Any], width: int
) -> npt.NDArray[np.int32]:
    """Returns objects as rows of equal length; ids grow by one, and 0 is padding."""
    lengths = np.diff(splits)
    dense = np.zeros((len(lengths), width), np.int32)
    dense[np.arange(width) < lengths[:, np.newaxis]] = ids + 1
    return dense


def padded_batches(work: Work, arrays: Any) -> list[Any]:
    """Returns the batches ((in0, in1), labels) with padded objects."""
    batches = []
    for ids0, splits0, ids1, splits1, labels in unpack_batches(arrays):
        sides = []
        for ids, splits in ((ids0, splits0), (ids1, splits1)):
            pads_all = not work.is_pooled and not work.bucket_width
            width = work.max_seq_len if pads_all else int(np.diff(splits).max())
            sides.append(pad(ids, splits, width))
        batches.append((tuple(sides), labels))
    return batches


def _encoder(work: Work, table: Any, ids: Any) -> Any:
    import keras

    steps = table(ids)
    if work.is_pooled:
        return keras.layers.GlobalAveragePooling1D()(steps)
    if work.network == "bilstm":
        lstm = keras.layers.LSTM(work.enc_dim // 2, return_sequences=True)
        steps = keras.layers.Bidirectional(lstm)(steps)
        return keras.layers.GlobalMaxPooling1D()(steps)
    maxima = []
    for _ in range(4):
        convolution = keras.layers.Conv1D(
            work.enc_dim // 4, 3, padding="same", activation="relu"
        )
        steps = convolution(steps)
        maxima.append(keras.layers.GlobalMaxPooling1D()(steps))
    return keras.layers.Concatenate()(maxima)


def build(work: Work, *, jit_compile: bool) -> Any:
    """Returns the compiled model."""
    import keras

    widths: tuple[int | None, int | None] = (work.max_seq_len, work.max_seq_len)
    if work.is_pooled or work.bucket_width:
        widths = work.tokens or (None, None)
    inputs = [keras.Input((width,), dtype="int32") for width in widths]

    def table() -> Any:
        mask_zero = work.network == "bilstm"
        size = work.vocab_size + 1  # 0 is padding
        return keras.layers.Embedding(size, work.token_dim, mask_zero=mask_zero)

    shared = table() if work.is_pooled else None
    first, second = (_encoder(work, shared or table(), ids) for ids in inputs)
    hidden = keras.layers.Multiply()([first, second])
    if not work.is_pooled:
        difference = keras.ops.abs(first - second)
        hidden = keras.layers.Concatenate()([hidden, first, second, difference])
    for width in work.mlp:
        hidden = keras.layers.Dense(width, "relu")(hidden)
    model = keras.Model(inputs, keras.layers.Dense(2, "softmax")(hidden))
    model.compile("adam", "sparse_categorical_crossentropy", jit_compile=jit_compile)
    return model


def measure(
    work: Work, batches: list[Any], seconds: float, jit_compile: bool
) -> Mapping[str, Any]:
    """Returns the rate of training on the batches, repeated."""
    import tensorflow as tf

    parts = [tf.data.Dataset.from_tensors(batch) for batch in batches]
    dataset = functools.reduce(tf.data.Dataset.concatenate, parts)
    dataset = dataset.cache().repeat().prefetch(4)
    model = build(work, jit_compile=jit_compile)

    def fit(steps: int) -> float:
        return timed(lambda: model.fit(dataset, steps_per_epoch=steps, verbose=0))

    count = len(batches)
    first = fit(count)  # compiles
    rounds = max(1, round(seconds / fit(count)))
    spent = fit(rounds * count)
    pairs = sum(len(labels) for _, labels in batches)
    return {
        "pairs_per_second": rounds * pairs / spent,
        "milliseconds": 1e3 * spent / (rounds * count),
        "first_pass_seconds": first,
    }


def main() -> None:
    """Runs the part."""
    import keras  # noqa: F401  imported before the wait

    task = Task.from_arguments()
    work = task.sized_work()
    batches = padded_batches(work, load(Path(task.batches)))
    wait_for_go()
    variants = {"Keras fit": lambda: measure(work, batches, task.seconds, False)}
    if not work.bucket_width:
        variants["Keras fit, XLA"] = lambda: measure(work, batches, task.seconds, True)
    report(variants)


if __name__ == "__main__":
    main()
