"""Idioms of saving, loading, copying, freezing and export."""

import copy
import json
import os
import pickle
import subprocess
import sys

import keras
import numpy as np
import pytest

import object2vec_tf as o2v
from tests.keras_idioms.table import (
    IN0,
    IN1,
    assert_same_state,
    idiom,
    model,
    scores,
    trained,
    weights,
)


@idiom()
def save_and_load(directory):
    built = trained()
    keras.saving.save_model(built, directory / "model.keras")
    loaded = keras.saving.load_model(directory / "model.keras", compile=False)
    assert not loaded.compiled
    np.testing.assert_array_equal(scores(loaded), scores(built))
    built.save(str(directory / "unzipped"), zipped=False)
    loaded = keras.models.load_model(directory / "unzipped")
    assert_same_state(loaded, built)
    return built


@idiom()
def continued_fit(directory):
    for settings in (
        {"dropout": 0.3, "negative_sampling_rate": 1},
        {"token_embedding_storage_type": "row_sparse"},
    ):
        uninterrupted = trained(model(**settings), epochs=2)
        trained(model(**settings)).save(directory / "model.keras")
        continued = trained(keras.models.load_model(directory / "model.keras"))
        assert_same_state(continued, uninterrupted)
    return continued


@idiom()
def weights_file(directory):
    built = trained()
    built.save_weights(directory / "model.weights.h5")
    built.save(directory / "model.keras")
    for name in ("model.weights.h5", "model.keras"):
        loaded = model(seed=5)
        loaded.load_weights(directory / name)
        assert_same_state(loaded, built)
        uncompiled = model(compiled=False, seed=5)
        uncompiled.load_weights(directory / name)
        np.testing.assert_array_equal(scores(uncompiled), scores(built))
    return loaded


@idiom()
def set_weights(directory):
    built, other = trained(), model(seed=5)
    other.set_weights(built.get_weights())
    np.testing.assert_array_equal(scores(other), scores(built))
    return other


@idiom()
def clone_and_config(directory):
    built = trained()
    for copied in (
        keras.models.clone_model(built),
        o2v.Object2Vec.from_config(built.get_config()),
        keras.models.model_from_json(built.to_json()),
    ):
        assert isinstance(copied, o2v.Object2Vec)
        copied.set_weights(built.get_weights())
        np.testing.assert_array_equal(scores(copied), scores(built))
    return copied


@idiom()
def pickle_and_copy(directory):
    built = trained()
    for copied in (pickle.loads(pickle.dumps(built)), copy.deepcopy(built)):
        assert copied.enc0 is not built.enc0
        assert_same_state(copied, built)
    assert_same_state(trained(copied), trained(built))
    return copied


@idiom()
def frozen_encoder(directory):
    built = trained()
    built.enc0.trainable = False
    built.compile()
    frozen, free = weights(built.enc0), weights(built.enc1)
    trained(built).save(directory / "model.keras")
    loaded = keras.models.load_model(directory / "model.keras")
    assert_same_state(loaded, built)
    for one in (trained(built), trained(loaded)):
        np.testing.assert_array_equal(weights(one.enc0)[0], frozen[0])
        assert np.any(weights(one.enc1)[0] != free[0])
    loaded.enc0.trainable = True
    loaded.compile()
    trained(loaded)
    assert np.any(weights(loaded.enc0)[0] != frozen[0])
    return loaded


@idiom()
def frozen_layer(directory):
    built = model(tied_token_embedding_weight=True)
    built.comparator.get_layer("mlp_0").trainable = False
    built.enc0.trainable = False  # and with it the tied table of enc1
    built.compile()
    trained(built).save(directory / "model.keras")
    loaded = keras.models.load_model(directory / "model.keras")
    paths = [weight.path for weight in loaded.trainable_weights]
    assert paths == ["output/kernel", "output/bias"]
    assert_same_state(loaded, built)
    return built


@idiom()
def everything_frozen(directory):
    built = trained()
    before = weights(built)
    built.trainable = False
    built.compile()
    with pytest.warns(UserWarning, match="not have any trainable weights"):
        trained(built)
    for one, other in zip(weights(built), before, strict=True):
        np.testing.assert_array_equal(one, other)
    built.save(directory / "model.keras")
    loaded = keras.models.load_model(directory / "model.keras")
    assert not loaded.trainable_weights
    loaded.trainable = True
    loaded.compile()
    return trained(loaded)


# As TensorFlow Serving does: tensor names of a signature, in a session. Keras and this
# package must not be needed.
_SERVE = """
import json, sys
sys.modules["keras"] = sys.modules["object2vec_tf"] = None
import numpy as np
import tensorflow as tf
graph = tf.Graph()
with tf.compat.v1.Session(graph=graph) as session:
    meta = tf.compat.v1.saved_model.load(session, ["serve"], sys.argv[1])
    signature = meta.signature_def["serving_default"]
    feed = {signature.inputs[k].name: v for k, v in json.loads(sys.argv[2]).items()}
    print(json.dumps(session.run(signature.outputs["scores"].name, feed).tolist()))
"""


@idiom()
def export(directory):
    built = trained()
    version = built.export(directory / "served")
    width = max(map(len, IN0 + IN1))
    inputs = {
        name: [[-1] * (width - len(row)) + row for row in rows]
        for name, rows in (("in0", IN0), ("in1", IN1))
    }
    result = subprocess.run(
        [sys.executable, "-c", _SERVE, str(version), json.dumps(inputs)],
        capture_output=True, text=True, timeout=120, check=True, cwd=directory,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
    )  # fmt: skip
    np.testing.assert_allclose(
        json.loads(result.stdout.splitlines()[-1]), scores(built), atol=1e-6
    )
    return built
