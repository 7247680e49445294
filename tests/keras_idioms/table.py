"""The table of idioms: functions that train a small model as Keras's users do."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import object2vec_tf as o2v

SETTINGS = {
    "enc0_network": "pooled_embedding",
    "enc0_max_seq_len": 4,
    "enc0_vocab_size": 7,
    "enc_dim": 4,
    "mlp_layers": 1,
    "mlp_dim": 5,
    "num_classes": 2,
    "learning_rate": 0.05,
}
# Eight pairs: two steps of four.
IN0 = [[1, 1, 2], [], [5], [4, 0, 3, 3], [6], [2], [3, 1], [0]]
IN1 = [[6, 1], [2, 2, 0], [], [3], [1], [5, 5], [4], [2, 6]]
LABELS = np.array([1, 0, 0, 1, 1, 0, 1, 0])
WEIGHTS = np.array([1, 5, 0, 2, 1, 1, 3, 1], np.float32)
STEP = {"batch_size": 4, "shuffle": False, "verbose": 0}


@dataclasses.dataclass(frozen=True)
class Idiom:
    """One row of the table.

    Attributes:
        train: Trains a model, checks it, and returns what is saved and loaded again;
            None if it checked that itself.
        inputs: What the returned model takes: "pairs", or "in0" for objects.
        compiles: Whether the fresh process, which lacks the functions of the tests, can
            also load the loss and the optimizer.
    """

    train: Callable[[Path], keras.Model | None]
    inputs: str = "pairs"
    compiles: bool = True


TABLE: dict[str, Idiom] = {}


def idiom(inputs="pairs", compiles=True):
    """Adds a function to the table."""

    def add(function):
        TABLE[function.__name__] = Idiom(function, inputs, compiles)
        return function

    return add


def ragged(rows):
    return tf.ragged.constant(rows, dtype=tf.int64, ragged_rank=1)


def pairs():
    return {"in0": ragged(IN0), "in1": ragged(IN1)}


def dataset(*weights):
    data = (pairs(), LABELS, *weights)
    return tf.data.Dataset.from_tensor_slices(data).batch(4)


def model(compiled=True, seed=1, dtype=None, **settings):
    built = o2v.Object2Vec({**SETTINGS, **settings}, seed=seed, dtype=dtype)
    if compiled:
        built.compile()
    return built


def trained(built=None, **fit):
    """A model after two steps on the pairs in order."""
    built = built or model()
    built.fit(pairs(), LABELS, **{**STEP, **fit})
    return built


def weights(built):
    return [weight.numpy() for weight in built.weights]


def scores(built):
    return built.predict(pairs(), verbose=0)


def assert_same_weights(first, second, atol=1e-6):
    for one, other in zip(weights(first), weights(second), strict=True):
        np.testing.assert_allclose(one, other, atol=atol)


def assert_same_state(first, second):
    """Checks the weights and everything that training continues with."""
    assert_same_weights(first, second)
    states = first.optimizer.variables, second.optimizer.variables
    for one, other in zip(*states, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), atol=1e-6)


def hit_rate(built, counts=None):
    """The accuracy in numpy."""
    hits = scores(built).argmax(1) == LABELS
    return np.average(hits, weights=counts)
