"""Idioms of callbacks."""

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.keras_idioms.table import (
    assert_same_state,
    assert_same_weights,
    dataset,
    idiom,
    model,
    weights,
)

callbacks = keras.callbacks


def fit(built, *used, epochs=2):
    return built.fit(
        dataset(), validation_data=dataset(), epochs=epochs, callbacks=list(used),
        verbose=0,
    ).history  # fmt: skip


@idiom()
def early_stopping(directory):
    # The loss on validation pairs rises: the first epoch is the best.
    built = model(compiled=False)
    built.compile(keras.optimizers.SGD(-0.1))
    best = model(compiled=False)
    best.compile(keras.optimizers.SGD(-0.1))
    stopping = callbacks.EarlyStopping(
        "val_loss", patience=1, restore_best_weights=True
    )
    assert len(fit(built, stopping, epochs=5)["loss"]) == 2
    fit(best, epochs=1)
    assert_same_weights(built, best)
    return built


@idiom()
def model_checkpoint(directory):
    built = model()
    fit(
        built,
        callbacks.ModelCheckpoint(directory / "full.keras"),
        callbacks.ModelCheckpoint(directory / "w.weights.h5", save_weights_only=True),
        callbacks.ModelCheckpoint(
            str(directory / "{epoch}-{batch}.keras"), save_freq=1
        ),
        callbacks.ModelCheckpoint(
            directory / "best.keras", monitor="val_loss", save_best_only=True
        ),
    )
    assert_same_state(keras.models.load_model(directory / "full.keras"), built)
    loaded = model(seed=5)
    loaded.load_weights(directory / "w.weights.h5")
    assert_same_state(loaded, built)
    steps = keras.models.load_model(directory / "1-1.keras").optimizer.iterations
    assert int(steps) == 1
    return keras.models.load_model(directory / "best.keras")


# Trains; with an epoch, kills itself after it.
_KILLED = """
import os, signal, sys
import keras
from tests.keras_idioms.table import dataset, model
class Kill(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            os.kill(os.getpid(), signal.SIGKILL)
backup = keras.callbacks.BackupAndRestore(sys.argv[1])
built = model(dropout=0.3, negative_sampling_rate=1)
built.fit(dataset(), epochs=3, callbacks=[backup, Kill()], verbose=0)
"""


@idiom()
def backup_and_restore(directory):
    root = Path(__file__).parents[2]
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED, directory / "backup"],
        cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, timeout=120, check=False,
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL
    settings = {"dropout": 0.3, "negative_sampling_rate": 1}
    resumed, uninterrupted = model(**settings), model(**settings)
    backup = callbacks.BackupAndRestore(directory / "backup")
    assert len(fit(resumed, backup, epochs=3)["loss"]) == 2
    fit(uninterrupted, epochs=3)
    assert_same_state(resumed, uninterrupted)
    return resumed


@idiom()
def learning_rates(directory):
    built = model()
    scheduler = callbacks.LearningRateScheduler(lambda epoch, rate: 0.1 / (epoch + 1))
    fit(built, scheduler)
    assert float(built.optimizer.learning_rate) == pytest.approx(0.05)
    plateau = callbacks.ReduceLROnPlateau(
        "loss", factor=0.1, patience=1, min_delta=9, cooldown=5
    )
    fit(built, plateau)
    assert float(built.optimizer.learning_rate) == pytest.approx(0.005)
    return built


@idiom()
def csv_logger(directory):
    built = model()
    history = fit(built, callbacks.CSVLogger(directory / "log.csv"))
    with (directory / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert set(rows[0]) == {"epoch", *history}
    assert [float(row["val_loss"]) for row in rows] == history["val_loss"]
    return built


@idiom()
def tensorboard(directory):
    built = model()
    fit(built, callbacks.TensorBoard(directory, histogram_freq=1, update_freq=1))
    (log,) = (directory / "train").iterdir()
    content = log.read_bytes()
    for name in (b"epoch_loss", b"batch_loss", b"embeddings/histogram"):
        assert name in content
    return built


@idiom()
def swap_ema_weights(directory):
    built = model(compiled=False)
    built.compile(keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5))
    plain = model(compiled=False)
    plain.compile(keras.optimizers.SGD(0.1))
    fit(built, callbacks.SwapEMAWeights(swap_on_epoch=True), epochs=1)
    fit(plain, epochs=1)
    # The mean of the weights before and after the steps, not those after them.
    assert np.any(weights(built)[0] != weights(plain)[0])
    return built
