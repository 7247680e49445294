"""Keras as its users write it.

The table in tests/keras_idioms has a function for each idiom. It trains two steps and
compares with numpy, or with the same training written in another way. Then the model is
saved, and a fresh process that imports only the package loads it and predicts.
"""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

import tests.keras_idioms.callbacks
import tests.keras_idioms.composition
import tests.keras_idioms.saving
import tests.keras_idioms.training  # noqa: F401
from object2vec_tf.model.keras_state import check_strategy
from tests.keras_idioms.table import (
    IN0,
    IN1,
    LABELS,
    TABLE,
    assert_same_state,
    assert_same_weights,
    model,
    pairs,
    ragged,
    weights,
)

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def fresh_process():
    """Returns predictions of a saved model, from a process that imports the package."""
    with subprocess.Popen(
        [sys.executable, ROOT / "tests/keras_idioms/reload.py"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        bufsize=1,
        env={"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"},
    ) as process:

        def predict(path, idiom):
            request = {"path": str(path), "in0": IN0, "in1": IN1}
            request |= {"inputs": idiom.inputs, "compile": idiom.compiles}
            process.stdin.write(json.dumps(request) + "\n")
            answer = json.loads(process.stdout.readline())
            assert "error" not in answer, answer["error"]
            return answer["scores"]

        yield predict
        process.stdin.close()


@pytest.mark.long
@pytest.mark.parametrize("name", TABLE)
def test_idiom(name, tmp_path, fresh_process):
    idiom = TABLE[name]
    built = idiom.train(tmp_path)
    if built is None:
        return
    path = tmp_path / "idiom.keras"
    built.save(path)
    inputs = ragged(IN0) if idiom.inputs == "in0" else pairs()
    expected = built.predict(inputs, verbose=0)
    np.testing.assert_allclose(fresh_process(path, idiom), expected, atol=1e-6)


# The following is fast enough for each run of the tests.


def eager(**settings):
    """A model whose steps are not traced, which takes most of the time."""
    built = model(compiled=False, **settings)
    built.compile(run_eagerly=True)
    return built


def batch(built, *data, **options):
    built.train_on_batch(pairs(), *data, **options)
    return built


def test_class_weights_equal_sample_weights_of_their_values():
    labels = LABELS[:, np.newaxis].astype(bool)  # a form that Keras's users have too
    settings = {"negative_sampling_rate": 1}
    by_class = batch(eager(**settings), labels, class_weight={0: 0.5, 1: 3.0})
    each = np.where(LABELS == 1, 3.0, 0.5)
    by_sample = batch(eager(**settings), LABELS, sample_weight=each)
    unweighted = batch(eager(**settings), LABELS)

    assert_same_weights(by_class, by_sample)
    assert np.any(weights(by_class)[0] != weights(unweighted)[0])


def test_training_continues_after_loading(tmp_path):
    settings = {"dropout": 0.3, "negative_sampling_rate": 1}
    interrupted, uninterrupted = (eager(**settings) for _ in range(2))
    for built in (interrupted, uninterrupted):
        built.enc0.trainable = False
    batch(interrupted, LABELS).save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    loaded.run_eagerly = True
    assert loaded.enc1.trainable
    assert not loaded.enc0.trainable
    loaded_weights = eager(seed=5, **settings)
    loaded_weights.enc0.trainable = False
    loaded_weights.load_weights(tmp_path / "model.keras")

    expected = batch(batch(uninterrupted, LABELS), LABELS)
    for built in (loaded, loaded_weights):
        assert_same_state(batch(built, LABELS), expected)


def test_model_without_trainable_weights_is_measured_only():
    built = eager()
    before = weights(built)
    built.trainable = False
    with pytest.warns(UserWarning, match="does not have any trainable weights"):
        batch(built, LABELS)
    for one, other in zip(weights(built), before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_metrics_of_a_subclass_are_left_to_it():
    class Counting(type(model())):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.calls = keras.metrics.Sum("calls")

    built = Counting(model().hyperparameters)
    built.compile(run_eagerly=True)
    results = built.test_on_batch(pairs(), LABELS, return_dict=True)
    assert results["calls"] == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: model().save("model.h5"),
            r"filepath: expected .*, got model.h5",
        ),
        (lambda: model().quantize("int8"), "quantize: expected .* got Object2Vec"),
        (
            lambda: check_strategy(SimpleNamespace(num_replicas_in_sync=2)),
            r"compile: expected .*one replica, got .*with 2.*object2vec_tf\.fit",
        ),
        (
            lambda: batch(eager(negative_sampling_rate=1), tf.one_hot(LABELS, 2)),
            r"labels: expected class ids .*, got \(8, 2\)",
        ),
    ],
)
def test_what_is_not_possible_is_a_clear_error(call, message):
    with pytest.raises(ValueError, match=message):
        call()
