"""Models of any precision are exported in float32, or in the precision asked for."""

import json
import subprocess

import numpy as np
import pytest
import tensorflow as tf

import object2vec_tf as o2v
from export import export_saved_model
from object2vec_tf.errors import UserError
from object2vec_tf.model.precision import computing_in
from tests.command_server import python_m
from tests.export.saved_model_test import make_model

IN0, IN1 = [[1, 2, 3], [4, -1, -1], [-1, -1, -1]], [[5, 6], [-1, -1], [9, 9]]


def in_precision(model, policy):
    """Returns a model with the same weights and another policy."""
    other = o2v.Object2Vec(model.hyperparameters, dtype=policy)
    other.set_weights(model.get_weights())
    return other


def predictions(path):
    """Returns the embeddings and scores of a SavedModel."""
    signatures = tf.saved_model.load(str(path)).signatures
    in0, in1 = (tf.constant(rows, tf.int64) for rows in (IN0, IN1))
    return [
        signatures["embed_enc0"](in0=in0)["embeddings"],
        signatures["embed_enc1"](in1=in1)["embeddings"],
        signatures["predict_pair"](in0=in0, in1=in1)["scores"],
    ]


def run(command):
    return subprocess.run(command, capture_output=True, text=True, check=False)


def expected_predictions(model):
    in0, in1 = (
        tf.RaggedTensor.from_tensor(tf.constant(rows, tf.int64), padding=-1)
        for rows in (IN0, IN1)
    )
    return [model.enc0(in0), model.enc1(in1), model({"in0": in0, "in1": in1})]


@pytest.mark.parametrize(
    "policy", ["mixed_bfloat16", pytest.param("mixed_float16", marks=pytest.mark.long)]
)
@pytest.mark.parametrize(
    "network",
    [
        pytest.param("pooled_embedding", marks=pytest.mark.long),
        pytest.param("bilstm", marks=pytest.mark.long),
        "hcnn",
    ],
)
def test_a_model_of_any_precision_is_exported_in_float32(policy, network, tmp_path):
    exact = make_model(network)
    model = in_precision(exact, policy)

    received = predictions(export_saved_model(model, tmp_path))

    for first, second in zip(received, expected_predictions(exact), strict=True):
        assert first.dtype == tf.float32
        np.testing.assert_allclose(first, second, rtol=1e-6, atol=1e-7)
    assert model.comparator.get_layer("mlp_0").dtype_policy.name == policy
    assert np.any(expected_predictions(model)[2] != received[2])


@pytest.mark.parametrize(
    ("precision", "roundoff"),
    [
        pytest.param("bfloat16", 2**-8, marks=pytest.mark.long),
        pytest.param("float16", 2**-11, marks=pytest.mark.long),
    ],
)
def test_a_saved_model_computes_in_the_precision_asked_for(
    precision, roundoff, tmp_path
):
    model = make_model("hcnn")

    received = predictions(export_saved_model(model, tmp_path, precision=precision))

    half = in_precision(model, f"mixed_{precision}")
    exact = expected_predictions(model)
    for first, second in zip(received, expected_predictions(half), strict=True):
        assert first.dtype == tf.float32
        # Graphs round at other places than ops one by one: twice per layer.
        tolerance = 2 * 5 * roundoff * np.abs(second).max()
        np.testing.assert_allclose(first, second, atol=tolerance)
    assert all(np.any(a != b) for a, b in zip(received, exact, strict=True))
    assert model.enc0.get_layer("hcnn").compute_dtype == "float32"


@pytest.mark.parametrize(
    "network",
    [
        pytest.param("pooled_embedding", marks=pytest.mark.long),
        pytest.param("hcnn", marks=pytest.mark.long),
        "bilstm",
    ],
)
def test_another_precision_of_a_model_for_a_while(network):
    model = in_precision(make_model(network), "mixed_float16")
    half = expected_predictions(model)

    with computing_in(model, "float32"):
        exact = expected_predictions(model)

    for first, second in zip(
        exact, expected_predictions(in_precision(model, "float32")), strict=True
    ):
        np.testing.assert_array_equal(first, second)
    assert np.any(exact[2] != half[2])
    for first, second in zip(half, expected_predictions(model), strict=True):
        np.testing.assert_array_equal(first, second)


def test_unknown_precisions_are_rejected(tmp_path):
    with pytest.raises(UserError, match=r"^precision: expected one of float32, bfl"):
        export_saved_model(make_model(), tmp_path, precision="mixed_bfloat16")


@pytest.mark.long
def test_commands_export_and_answer(tmp_path):
    model = in_precision(make_model("hcnn"), "mixed_bfloat16")
    model.save(tmp_path / "model.keras")
    arguments = ["--model_dir", str(tmp_path), "--format=onnx", "--precision=bfloat16"]
    refused = run([*python_m("export"), *arguments])
    assert refused.returncode == 2
    assert "--precision: expected float32 for --format=onnx" in refused.stderr

    done = run([*python_m("export"), "--model_dir", str(tmp_path)])
    assert done.returncode == 0, done.stderr
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text('{"in0": [1, 2, 3], "in1": [5, 6]}\n')
    answers = tmp_path / "answers.jsonl"
    arguments = ["--model", str(tmp_path), f"--input={pairs}", f"--output={answers}"]
    done = run([*python_m("object2vec_tf.transform"), *arguments])
    assert done.returncode == 0, done.stderr
    (answer,) = (json.loads(line) for line in answers.read_text().splitlines())
    expected = in_precision(model, "float32").score([([1, 2, 3], [5, 6])])
    np.testing.assert_allclose(answer["scores"], expected[0], rtol=1e-5)
