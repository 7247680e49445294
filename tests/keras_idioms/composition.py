"""Idioms of models inside other models, and of looking at a model."""

import keras
import numpy as np
import pytest

from tests.keras_idioms.table import (
    IN0,
    IN1,
    LABELS,
    STEP,
    idiom,
    model,
    pairs,
    ragged,
    scores,
    trained,
    weights,
)

VALUES = LABELS.astype(np.float32)


def ids(name=None):
    return keras.Input((None,), ragged=True, dtype="int64", name=name)


def _encoder_idiom(network):
    built = model(enc0_network=network, enc0_layers=2)
    objects = ids()
    outer = keras.Model(objects, keras.layers.Dense(1)(built.enc0(objects)))
    outer.compile("adam", "mse")
    before = weights(built.enc0)
    outer.fit(ragged(IN0), VALUES, **STEP)
    assert all(
        np.any(one != other)
        for one, other in zip(before, weights(built.enc0), strict=True)
    )
    kernel, bias = weights(outer.layers[-1])
    np.testing.assert_allclose(
        outer.predict(ragged(IN0), verbose=0),
        built.enc0.predict(ragged(IN0), verbose=0) @ kernel + bias,
        atol=1e-6,
    )
    return outer


@idiom(inputs="in0")
def pooled_encoder_in_a_model(directory):
    return _encoder_idiom("pooled_embedding")


@idiom(inputs="in0")
def hcnn_encoder_in_a_model(directory):
    return _encoder_idiom("hcnn")


@idiom(inputs="in0")
def bilstm_encoder_in_a_model(directory):
    return _encoder_idiom("bilstm")


@idiom()
def object2vec_in_a_model(directory):
    built = model()
    inputs = {name: ids(name) for name in ("in0", "in1")}
    outer = keras.Model(inputs, keras.layers.Dense(1)(built(inputs)))
    outer.compile("adam", "mse")
    outer.fit(pairs(), VALUES, **STEP)
    kernel, bias = weights(outer.layers[-1])
    np.testing.assert_allclose(scores(outer), scores(built) @ kernel + bias, atol=1e-6)
    return outer


@idiom(inputs="none")
def several_outputs(directory):
    built = model()
    in0, in1 = ids("in0"), ids("in1")
    encodings = [built.enc0(in0), built.enc1(in1)]
    outputs = {
        "score": built.comparator(encodings),
        "cosine": keras.layers.Dot(1, normalize=True, name="cosine")(encodings),
    }
    outer = keras.Model({"in0": in0, "in1": in1}, outputs)
    outer.compile("adam", {"score": "sparse_categorical_crossentropy", "cosine": "mse"})
    outer.fit(pairs(), {"score": LABELS, "cosine": VALUES}, **STEP)
    predicted = scores(outer)
    np.testing.assert_allclose(predicted["score"], scores(built), atol=1e-6)
    first, second = built.embed(IN0, 0), built.embed(IN1, 1)
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    cosines = (first * second).sum(1) / np.where(norms, norms, 1)
    np.testing.assert_allclose(predicted["cosine"][:, 0], cosines, atol=1e-5)
    outer.save(directory / "outer.keras")
    loaded = keras.models.load_model(directory / "outer.keras")
    np.testing.assert_allclose(scores(loaded)["score"], predicted["score"], atol=1e-6)
    return None


@idiom()
def subclassed_model(directory):
    class Outer(keras.Model):
        def __init__(self):
            super().__init__()
            self.pairs = model(compiled=False)
            self.dense = keras.layers.Dense(1)

        def call(self, inputs, training=None):
            return self.dense(self.pairs(inputs, training=training))

    outer = Outer()
    outer.compile("adam", "mse")
    before = weights(outer.pairs)
    outer.fit(pairs(), VALUES, **STEP)
    assert np.any(weights(outer.pairs)[0] != before[0])
    return outer.pairs


@idiom()
def look_at_a_model(directory):
    built = trained()
    lines = []
    built.summary(print_fn=lines.append, expand_nested=True, show_trainable=True)
    text = "\n".join(lines)
    for name in ("enc0", "token_embedding0", "comparator", "mlp_0", "153"):
        assert name in text
    assert [layer.name for layer in built.layers] == ["enc0", "enc1", "comparator"]
    assert built.get_layer("enc0") is built.enc0
    assert built.count_params() == 153
    shapes = {"in0": (None, None), "in1": (None, None)}
    assert built.compute_output_shape(shapes) == (None, 2)
    assert [metric.name for metric in built.metrics] == ["loss", "compile_metrics"]
    return built


@idiom()
def plot_a_model(directory):
    pytest.importorskip("pydot")
    built = trained()
    in0, in1 = ids("in0"), ids("in1")
    graph = keras.Model(
        [in0, in1], built.comparator([built.enc0(in0), built.enc1(in1)])
    )
    try:
        dot = keras.utils.model_to_dot(graph, expand_nested=True, show_shapes=True)
        for drawn in (built, graph, built.enc0):
            path = directory / f"{drawn.name}.png"
            keras.utils.plot_model(drawn, path, expand_nested=True, show_shapes=True)
            assert path.read_bytes().startswith(b"\x89PNG")
    except ImportError as error:
        pytest.skip(str(error))  # there is no graphviz
    for name in ("token_embedding0", "token_embedding1", "mlp_0"):
        assert name in dot.to_string()
    return built
