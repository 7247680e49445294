"""The backend for a model server: batching, new versions and lost servers."""

import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from export import export_saved_model
from export.serving.tf_serving_backend import TFServingBackend
from tests.export.conftest import (
    NETWORKS,
    TIMEOUT,
    free_port,
    make_model,
    start_model_server,
)
from tests.export.gateway_test import gateway

REQUESTS = 6
BATCHING = f"""
max_batch_size {{ value: {2 * REQUESTS} }}
batch_timeout_micros {{ value: 500000 }}
pad_variable_length_inputs: true
"""


def predict_concurrently(server, name, requests):
    """Sends all requests concurrently, as the gateway does; returns predictions."""

    async def predict_all():
        backend = TFServingBackend(server.address, name)
        try:
            await backend.check()
            return await asyncio.gather(*map(backend.predict, requests))
        finally:
            await backend.close()

    return asyncio.run(predict_all())


def requests_of_many_lengths(name, size):
    """Returns requests of two rows each, which must be padded to form a batch."""
    return [
        {name: [[(7 * i + 1) % size] * (i % 4 + 1), [i, 3][: i % 3]]}
        for i in range(REQUESTS)
    ]


@pytest.fixture(scope="module")
def batching_server(exported, tmp_path_factory):
    """A server that waits for several requests and runs them in one call."""
    models = {model.name: model.directory for model in map(exported, NETWORKS)}
    directory = tmp_path_factory.mktemp("batching")
    with start_model_server(models, directory, BATCHING) as server:
        yield server


@pytest.mark.parametrize("network", NETWORKS)
def test_batching_does_not_change_predictions(
    network, exported, batching_server, model_server
):
    name = exported(network).name
    in0, in1 = requests_of_many_lengths("in0", 50), requests_of_many_lengths("in1", 30)
    pairs = [a | b for a, b in zip(in0, in1[::-1], strict=True)]
    for requests in (in0, in1, pairs):
        together = predict_concurrently(batching_server, name, requests)
        for request, predictions in zip(requests, together, strict=True):
            (alone,) = predict_concurrently(model_server, name, [request])
            np.testing.assert_array_equal(predictions, alone)


def test_rows_without_leading_padding_are_padded_with_their_first_token(
    exported, batching_server
):
    model = exported("pooled_embedding")
    rows = [[[i + 1] * (i + 1)] * 2 for i in range(REQUESTS)]
    alone = model.expected({"in0": rows[0]})
    deadline = time.monotonic() + TIMEOUT
    with ThreadPoolExecutor(REQUESTS) as pool:
        while True:  # until all requests arrive in time for one batch
            assert time.monotonic() < deadline, "the server does not batch"
            calls = [
                pool.submit(batching_server.predict, model.name, "embed_enc0", in0=row)
                for row in rows
            ]
            predictions = [call.result()["embeddings"] for call in calls]
            if not np.array_equal(predictions[0], alone):
                break
    padded = model.expected({"in0": [[1] * REQUESTS] * 2})
    np.testing.assert_array_equal(predictions[0], padded)


@pytest.mark.long
def test_a_new_version_is_noticed_in_its_first_response(tmp_path):
    base = tmp_path / "model"
    export_saved_model(make_model(), base)

    async def watch(server):
        backend = TFServingBackend(server.address, "m")
        try:
            await backend.predict({"in0": [[1]]})
            assert backend.hyperparameters.enc0_vocab_size == 50
            wider = make_model(enc0_vocab_size=70)
            await asyncio.to_thread(export_saved_model, wider, base)
            deadline = time.monotonic() + TIMEOUT
            while backend.hyperparameters.enc0_vocab_size == 50:
                assert time.monotonic() < deadline
                await backend.predict({"in0": [[1]]})
                await asyncio.sleep(0.05)
            assert backend.hyperparameters.enc0_vocab_size == 70
            return await backend.predict({"in0": [[69]]}), wider
        finally:
            await backend.close()

    with start_model_server({"m": base}, tmp_path) as server:
        predictions, wider = asyncio.run(watch(server))
    table = wider.enc0.layers[2].embeddings.numpy()
    np.testing.assert_allclose(predictions, table[[69]], rtol=1e-6)


def embed(served, token):
    status, _, text = served.request(json.dumps({"instances": [{"in0": [token]}]}))
    return status, json.loads(text)


def wait_for(status, send):
    """Sends a request again and again until it gets a status; returns the content."""
    deadline = time.monotonic() + TIMEOUT
    while True:
        actual_status, content = send()
        if actual_status == status:
            return content
        assert time.monotonic() < deadline, (actual_status, content)
        time.sleep(0.05)


@pytest.mark.long
def test_the_gateway_follows_starts_stops_and_versions_of_its_server(tmp_path):
    base, port = tmp_path / "m", free_port()
    export_saved_model(make_model(), base)
    narrower = make_model(enc0_vocab_size=20, seed=6)

    def ping():
        status, _, text = served.request(None, path="/ping", method="GET")
        return status, json.loads(text)

    with gateway(f"--tf_serving=127.0.0.1:{port}", "--model_name=m") as served:
        assert "UNAVAILABLE" in wait_for(503, ping)["error"]["message"]
        assert embed(served, 1)[0] == 503
        with start_model_server({"m": base}, tmp_path, port=port):
            wait_for(200, ping)
            assert embed(served, 49)[0] == 200
            assert embed(served, 50)[0] == 400
            export_saved_model(make_model(enc0_vocab_size=70), base)
            wait_for(200, lambda: embed(served, 69))  # without any other request
            export_saved_model(narrower, base)
            error = wait_for(400, lambda: embed(served, 49))
            assert "49" in error["error"]["message"]
            embedding = embed(served, 19)[1]["predictions"][0]["embeddings"]
            table = narrower.enc0.layers[2].embeddings.numpy()
            np.testing.assert_allclose(embedding, table[19], rtol=1e-6)
            error = embed(served, 49)[1]["error"]  # found by the gateway itself
            assert error["path"] == "$.instances[0].in0[0]"
        wait_for(503, ping)
