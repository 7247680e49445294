"""TF Serving's REST interface, with a model in this process and with a model server.

The expected bodies are those of TF Serving's documentation and of its source; the
expected values are those of the Keras model.
"""

import asyncio
import base64
import contextlib
import json
import urllib.request

import numpy as np
import pytest

from export.serving.http_app import Gateway
from export.serving.local_backend import LocalBackend
from export.serving.settings import GatewaySettings
from export.serving.tf_serving_backend import TFServingBackend
from object2vec_tf.inference.predictor import SavedModelPredictor
from tests.export.conftest import REAL_SERVER
from tests.export.serving.asgi import App

ROWS = {"in0": [[1, 2, 3], [4], []], "in1": [[5], [], [6, 7, 8, 9, 1]]}
PREDICT = "/v1/models/m:predict"


@pytest.fixture(
    scope="module",
    params=["local", pytest.param("tf_serving", marks=pytest.mark.long)],
)
def backends(request, recommending, exported):
    """Makes backends of a model by its name."""
    names = {"recommending": recommending.exported}
    for output in ("softmax", "mean_squared_error"):
        names[f"pooled_embedding-{output}"] = exported("pooled_embedding", output)
    loaded = {}

    def make(name):
        if request.param == "tf_serving":
            server = request.getfixturevalue("model_server")
            return TFServingBackend(server.address, name)
        if name not in loaded:
            loaded[name] = SavedModelPredictor(names[name].path)
        return LocalBackend(loaded[name])

    return make


@pytest.fixture
def ask(backends):
    """Returns a function that sends one request and returns status and JSON."""

    def ask(body=None, path=PREDICT, model="pooled_embedding-softmax", **options):
        async def main():
            backend = backends(model)
            settings = GatewaySettings(model_name="m", max_recommended_items=60)
            app = App(backend, Gateway(backend, settings))
            try:
                return await app.json(body, path=path, **options)
            finally:
                await backend.close()

        return asyncio.run(main())

    return ask


def objects(names):
    return [{name: ROWS[name][i] for name in names} for i in range(3)]


SIGNATURES = [
    (None, ["in0", "in1"]),
    ("", ["in0", "in1"]),
    ("serving_default", ["in0", "in1"]),
    ("predict_pair", ["in0", "in1"]),
    ("embed_enc0", ["in0"]),
    ("embed_enc1", ["in1"]),
]


@pytest.mark.parametrize(("signature", "names"), SIGNATURES)
def test_rows_and_columns_get_the_outputs_of_the_signature(
    ask, exported, signature, names
):
    rows = {name: ROWS[name] for name in names}
    expected = exported("pooled_embedding").expected(rows)
    chosen = {} if signature is None else {"signature_name": signature}
    status, response = ask(chosen | {"instances": objects(names)})
    assert (status, [*response]) == (200, ["predictions"])
    np.testing.assert_allclose(response["predictions"], expected, atol=1e-6)
    status, response = ask(chosen | {"inputs": rows})
    assert (status, [*response]) == (200, ["outputs"])
    np.testing.assert_allclose(response["outputs"], expected, atol=1e-6)


def test_bare_values_are_accepted_where_the_signature_has_one_input(ask, exported):
    expected = exported("pooled_embedding").expected({"in0": ROWS["in0"]})
    for key, output in (("instances", "predictions"), ("inputs", "outputs")):
        body = {"signature_name": "embed_enc0", key: ROWS["in0"]}
        status, response = ask(body)
        assert status == 200
        np.testing.assert_allclose(response[output], expected, atol=1e-6)
    for body in (
        {"instances": [[1]]},
        {"inputs": [[1]]},
        {"signature_name": "predict_pair", "inputs": [[1]]},
    ):
        status, response = ask(body)
        assert status == 400
        assert "an object with the inputs in0 and in1" in response["error"]


def test_padding_whole_floats_and_single_ids(ask, exported):
    expected = exported("pooled_embedding").expected({"in0": [[1, 2], [3], [4]]})
    rows = [[-1, 1, -1, 2.0], [3.0, -1.0, -1, -1], 4]
    for key in ("instances", "inputs"):
        status, response = ask({"signature_name": "embed_enc0", key: rows})
        assert status == 200
        (values,) = response.values()
        np.testing.assert_allclose(values, expected, atol=1e-6)


def test_the_content_type_does_not_matter(ask):
    """As curl -d sends it, for example."""
    headers = {"content-type": "application/x-www-form-urlencoded"}
    assert ask({"instances": objects(["in0", "in1"])}, **headers)[0] == 200


def test_empty_rows_get_empty_outputs(ask):
    assert ask({"instances": []}) == (200, {"predictions": []})
    assert ask({"inputs": {"in0": [], "in1": []}}) == (200, {"outputs": []})


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ([1], "$: expected "),
        ({"signature_name": 3, "instances": [[1]]}, "$.signature_name: expected a st"),
        ({"signature_name": "x", "instances": [[1]]}, "$.signature_name: expected one"),
        ({"signature_name": "recommend", "instances": []}, "$.signature_name: "),
        ({}, "$: expected either instances or inputs, got neither"),
        ({"instances": [], "inputs": []}, "$: expected either instances or inputs, go"),
        ({"instances": 3}, "$.instances: expected a list"),
        ({"instances": [{"in0": [1], "in1": [2]}, [1]]}, "$.instances[1]: expected an"),
        ({"instances": [{"in0": [1], "in1": [50]}]}, "$.instances[0].in1[0]: expected"),
        ({"instances": [{"in0": [1]}]}, "$.instances[0]: expected in0 and in1, the in"),
        (
            {"signature_name": "embed_enc0", "instances": [{"in0": [1], "in1": [2]}]},
            "$.instances[0]: expected in0, the inputs of the signature, got in0 and in",
        ),
        (
            {"signature_name": "embed_enc0", "instances": [[1], [2, "a"]]},
            "$.instances[1][1]: expected an integer",
        ),
        ({"inputs": {"in0": [[1]]}}, "$.inputs: expected in0 and in1, the inputs of"),
        (
            {"inputs": {"in0": [[1]], "in1": [1, 2]}},
            "$.inputs.in1: expected 1 rows, as",
        ),
        ({"inputs": {"in0": 1, "in1": [1]}}, "$.inputs.in0: expected a list"),
        (
            {"inputs": {"in0": [[1], [2]], "in1": [[1], [2, 3, 99]]}},
            "$.inputs.in1[1][2]: expected a token id below enc1_vocab_size=30, got 99",
        ),
        (
            {"signature_name": "embed_enc1", "inputs": [[1], [2, True]]},
            "$.inputs[1][1]: expected an integer",
        ),
        (b'{"instances": [', "$: the body is not JSON: "),
        (
            b"",
            '$: expected {"instances": [{"in0": [1], "in1": [2]}]}, got an empty body',
        ),
        (b'{"inputs": [NaN]}', "$: the body is not JSON: "),
        (
            b'{"instances": "\xff"}',
            "$: expected UTF-8, got the byte 0xff at position 15",
        ),
    ],
)
def test_an_error_is_a_string_that_names_the_place(ask, body, error):
    status, response = ask(body)
    assert (status, [*response]) == (400, ["error"])
    assert response["error"].startswith(error)


def test_text_is_a_string_or_in_base64(ask, recommending):
    exported = recommending.exported
    model = "recommending"
    expected = exported.expected({"in0": [[0, 1], [0, 3]], "in1": [[1], [2]]})
    encoded = base64.b64encode(b"a dog").decode()
    rows = [
        {"in0": "a man", "in1": [{"b64": base64.b64encode(b"man").decode()}]},
        {"in0": {"b64": encoded}, "in1": [2]},
    ]
    body = {"signature_name": "predict_pair_text", "instances": rows}
    status, response = ask(body, model=model)
    assert status == 200
    np.testing.assert_allclose(response["predictions"], expected, atol=1e-6)
    body = {"signature_name": "embed_enc0_text", "inputs": ["a man", {"b64": encoded}]}
    status, response = ask(body, model=model)
    expected = exported.expected({"in0": [[0, 1], [0, 3]]})
    np.testing.assert_allclose(response["outputs"], expected, atol=1e-6)
    for b64, place in (("/w==", "$.instances[0]"), ("a?", "$.instances[0]")):
        body = {"signature_name": "embed_enc0_text", "instances": [{"b64": b64}]}
        status, response = ask(body, model=model)
        assert status == 400
        assert response["error"].startswith(f"{place}: expected UTF-8 text in base64")


def test_recommend_returns_positions_and_scores(ask, recommending):
    in0, exclude = [[3], [7, 2]], [[4, 5], []]
    positions, scores = recommending.best(in0, exclude)
    rows = [{"in0": [3], "exclude": [4, 5, -1]}, {"in0": [7, 2]}]
    body = {"signature_name": "recommend", "instances": rows}
    status, response = ask(body, model="recommending")
    assert status == 200
    assert [sorted(row) for row in response["predictions"]] == [["items", "scores"]] * 2
    for row, items, values in zip(
        response["predictions"], positions, scores, strict=True
    ):
        assert row["items"] == items.tolist()
        np.testing.assert_allclose(row["scores"], values, atol=2e-6)
    columns = {"in0": in0, "exclude": [[4, 5], [-1, -1]]}
    body = {"signature_name": "recommend_text", "inputs": columns}
    outputs = ask(body, model="recommending")[1]["outputs"]
    assert outputs["items"] == positions.tolist()
    np.testing.assert_allclose(outputs["scores"], scores, atol=2e-6)


def test_unknown_words_are_counted_on_every_path(backends):
    async def main():
        backend = backends("recommending")
        app = App(backend, Gateway(backend, GatewaySettings(model_name="m")))
        rest = {"signature_name": "recommend", "inputs": ["a xyz"]}
        plain = {"instances": [{"in0": "a xyz"}]}
        try:
            for path, body in (
                ("/recommend", plain),
                ("/invocations", plain),
                (PREDICT, rest),
            ):
                assert (await app.json(body, path=path))[0] == 200
            return await app.request({}, path="/metrics", method="GET")
        finally:
            await backend.close()

    text = asyncio.run(main())[2].decode()
    assert "\nobject2vec_unknown_tokens_total 3.0\n" in text


def test_recommend_has_a_maximum_number_of_items(ask):
    """4 rows with the 20 items of the export are more than the gateway's 60."""
    for path, body in (
        (PREDICT, {"signature_name": "recommend", "instances": [[1]] * 4}),
        ("/recommend", {"instances": [{"in0": [1], "k": 20}] * 4}),
    ):
        status, response = ask(body, path=path, model="recommending")
        assert status == 413
        assert "at most 60 items in a response, got 4 objects with k=20" in str(
            response
        )
    body = {"instances": [{"in0": [1], "k": 20}] * 3}
    assert ask(body, path="/recommend", model="recommending")[0] == 200


def test_classify_and_regress_take_examples(ask, exported):
    rows = {"in0": [[1, 2], [3]], "in1": [[4], []]}
    examples = [{"in0": [1, 2], "in1": 4}, {"in0": 3}]
    expected = exported("pooled_embedding").expected(rows)
    status, response = ask({"examples": examples}, path="/v1/models/m:classify")
    assert (status, [*response]) == (200, ["results"])
    for row, scores in zip(response["results"], expected, strict=True):
        assert [label for label, _ in row] == ["0", "1", "2"]
        np.testing.assert_allclose([score for _, score in row], scores, atol=1e-6)
    model = "pooled_embedding-mean_squared_error"
    expected = exported("pooled_embedding", "mean_squared_error").expected(
        {"in0": [[1], [1]], "in1": [[4], [5, 6]]}
    )
    body = {"context": {"in0": [1]}, "examples": [{"in1": [4]}, {"in1": [5, 6]}]}
    status, response = ask(body, path="/v1/models/m:regress", model=model)
    assert status == 200
    np.testing.assert_allclose(response["results"], expected[:, 0], atol=1e-5)
    status, response = ask(body, path="/v1/models/m:classify", model=model)
    assert status == 400
    assert "Use :regress" in response["error"]
    body = {"examples": [{"in0": [1]}, {"in0": [1, "a"]}]}
    status, response = ask(body, path="/v1/models/m:classify")
    assert (status, response["error"][:23]) == (400, "$.examples[1].in0[1]: e")


@pytest.mark.parametrize("version", ["", "/versions/1"])
def test_status_and_metadata(ask, version):
    status = {"error_code": "OK", "error_message": ""}
    state = {"version": "1", "state": "AVAILABLE", "status": status}
    get = {"method": "GET"}
    path = f"/v1/models/m{version}"
    assert ask(path=path, **get) == (200, {"model_version_status": [state]})
    code, response = ask(path=f"{path}/metadata", **get)
    assert code == 200
    assert response["model_spec"] == {"name": "m", "signature_name": "", "version": "1"}
    signatures = response["metadata"]["signature_def"]["signature_def"]
    signature = signatures["embed_enc0"]
    dims = [{"size": "-1", "name": ""}] * 2
    assert signature["inputs"]["in0"] == {
        "dtype": "DT_INT64",
        "tensor_shape": {"dim": dims, "unknown_rank": False},
        "name": signature["inputs"]["in0"]["name"],
    }
    assert signature["outputs"]["embeddings"]["tensor_shape"]["dim"][1]["size"] == "8"
    assert signature["method_name"] == "tensorflow/serving/predict"
    assert {"predict_pair", "serving_default", "classify_pair"} <= {*signatures}
    assert ask(path="/v1/models", **get) == (200, {"models": ["m"]})


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/v1/models/other", 404, "expected the model m, got other"),
        ("POST", "/v1/models/other:predict", 404, "expected the model m, got other"),
        ("GET", "/v1/models/m/versions/2", 404, "expected version 1, the one in use"),
        ("GET", "/v1/models/m/labels/x", 404, "got label x"),
        ("POST", "/v1/models/m/versions/2:predict", 404, "got version 2"),
        ("POST", "/v1/models/m/labels/x:predict", 404, "got label x"),
        ("GET", "/v1/models/m:predict", 405, "Use POST"),
        ("POST", "/v1/models/m", 405, "Use GET"),
        ("POST", "/v1/models/m:explain", 404, "no such path"),
        ("GET", "/v1/models/m/x", 404, "no such path"),
    ],
)
def test_an_unknown_model_version_or_path(ask, method, path, status, message):
    code, response = ask({}, path=path, method=method)
    assert (code, [*response]) == (status, ["error"])
    assert message in response["error"]


def test_the_version_in_use_may_be_named(ask):
    body = {"instances": objects(["in0", "in1"])}
    for place in ("/versions/1", "/VERSIONS/1"):
        assert ask(body, path=f"/v1/models/m{place}:predict")[0] == 200


def test_vertex_ai_paths(backends, exported):
    backend = backends("pooled_embedding-softmax")

    async def main(predict):
        settings = GatewaySettings(health_route="/health", predict_route=predict)
        app = App(backend, Gateway(backend, settings))
        body = {"instances": objects(["in0", "in1"]), "parameters": {"x": 1}}
        return (
            await app.json({}, path="/health", method="GET"),
            await app.json(body, path=predict),
        )

    async def both():
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(backend.close)
            return [await main("/v1/endpoints/1:predict"), await main(REST)]

    expected = exported("pooled_embedding").expected(ROWS)
    for (health, _), (status, response), rest in zip(
        *zip(*asyncio.run(both()), strict=True), [False, True], strict=True
    ):
        assert (health, status) == (200, 200)
        rows = response["predictions"]
        scores = rows if rest else [row["scores"] for row in rows]
        np.testing.assert_allclose(scores, expected, atol=1e-6)


REST = "/v1/models/any:predict"


@pytest.mark.long
@pytest.mark.skipif(not REAL_SERVER, reason="needs TENSORFLOW_MODEL_SERVER")
def test_tf_servings_own_rest_interface_gives_the_same(model_server, ask):
    """For rectangular rows, which TF Serving accepts too."""
    name = "pooled_embedding-softmax"
    url = f"http://{model_server.rest_address}/v1/models/{name}:predict"
    for body in (
        {"instances": [{"in0": [1, 2], "in1": [3]}, {"in0": [4, -1], "in1": [5]}]},
        {"signature_name": "embed_enc0", "inputs": {"in0": [[1, 2], [3, 4]]}},
        {"signature_name": "embed_enc0", "instances": [[1, 2], [3, 4]]},
    ):
        request = urllib.request.Request(url, json.dumps(body).encode())
        with urllib.request.urlopen(request) as response:
            expected = json.load(response)
        status, actual = ask(body)
        assert (status, [*actual]) == (200, [*expected])
        ((_, values),) = expected.items()
        np.testing.assert_allclose(next(iter(actual.values())), values, atol=1e-6)
