"""A model server's predictions equal the Keras model's to the last bit."""

import subprocess
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import classification_pb2, regression_pb2

import export
from export.warmup import examples
from object2vec_tf.inference.ragged_inputs import RaggedInputs
from tests.command_server import python_c
from tests.export.conftest import NETWORKS, SERVED

IN0 = [[1, 2, 3], [4], [0, 0], [], [7, 8, 9, 10, 11, 12, 13]]
IN1 = [[5, 6], [], [29], [9, 9, 9], [1, 2, 3, 4, 5]]
REQUESTS = {
    "embed_enc0": {"in0": IN0},
    "embed_enc1": {"in1": IN1},
    "predict_pair": {"in0": IN0, "in1": IN1},
    "serving_default": {"in0": IN0, "in1": IN1},
}


def padded(rows, leading=0):
    width = max(map(len, rows), default=1) or 1
    return [[-1] * leading + row + [-1] * (width - len(row)) for row in rows]


@pytest.mark.parametrize(("network", "output"), SERVED)
@pytest.mark.parametrize("leading", [0, 1])
def test_predictions_are_the_models(exported, model_server, network, output, leading):
    model = exported(network, output)
    for signature, rows in REQUESTS.items():
        inputs = {name: padded(ids, leading) for name, ids in rows.items()}
        (together,) = model_server.predict(model.name, signature, **inputs).values()
        np.testing.assert_array_equal(together, model.expected(rows))
        for i in range(len(IN0)):
            one = {name: [ids[i]] for name, ids in rows.items()}
            inputs = {name: padded(ids, leading) for name, ids in one.items()}
            (alone,) = model_server.predict(model.name, signature, **inputs).values()
            np.testing.assert_array_equal(alone, model.expected(one))
            np.testing.assert_allclose(alone[0], together[i], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("network", "output"), SERVED)
def test_examples_take_lists_without_padding(exported, model_server, network, output):
    rows = {"in0": IN0, "in1": IN1}
    model = exported(network, output)
    inputs = examples(RaggedInputs.from_rows(rows))
    if output == "softmax":
        request, name = classification_pb2.ClassificationRequest(), "classify_pair"
        method = model_server.prediction.Classify
    else:
        request, name = regression_pb2.RegressionRequest(), "regress_pair"
        method = model_server.prediction.Regress
    request.model_spec.name = model.name
    request.model_spec.signature_name = name
    request.input.example_list.examples.extend(inputs)
    result = method(request, timeout=60).result
    if output == "softmax":
        scores = [[c.score for c in row.classes] for row in result.classifications]
        labels = [c.label for c in result.classifications[0].classes]
        assert labels == ["0", "1", "2"]
    else:
        scores = [[row.value] for row in result.regressions]
    np.testing.assert_allclose(scores, model.expected(rows), rtol=1e-6)


@pytest.mark.parametrize("network", NETWORKS)
def test_an_id_out_of_range_is_an_error(exported, model_server, network):
    name = exported(network).name
    for invalid in (30, -2, 2**40):
        with pytest.raises(grpc.RpcError) as error:
            model_server.predict(name, "embed_enc1", in1=[[1, 2], [3, invalid]])
        assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        text = f"in1: row 1, position 1: expected an id in [0, 30), got {invalid}"
        assert text in error.value.details()


def test_describe_returns_the_hyperparameters_once_per_row(exported, model_server):
    model = exported()
    rows = np.zeros(2, np.int64)
    outputs = model_server.predict(model.name, "describe", rows=rows)
    texts = [tf.io.decode_raw(t, tf.uint8) for t in outputs["hyperparameters"]]
    assert len(texts) == 2
    assert b'"enc0_vocab_size": 50' in outputs["hyperparameters"][0]


def test_the_example_client_gets_predictions(exported, model_server):
    model = exported("pooled_embedding", "mean_squared_error")
    client = Path(export.__file__).with_name("tf_serving") / "clients/grpc_client.py"
    program = f"import runpy; runpy.run_path({str(client)!r}, run_name='__main__')"
    done = subprocess.run(
        [*python_c(program), model_server.address, model.name],
        capture_output=True,
        text=True,
        check=True,
    )
    shape, score = done.stdout.splitlines()
    assert shape == "(2, 8)"
    expected = model.expected({"in0": [[3, 7]], "in1": [[4]]})
    np.testing.assert_allclose(float(score.strip("[] ")), expected[0, 0], rtol=1e-6)
