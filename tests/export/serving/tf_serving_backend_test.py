"""The gateway's backend in front of a model server: batching, and what changes."""

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
    PATIENCE,
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


def ask(server, name, requests):
    """Sends requests at once, as the gateway does; returns their answers."""

    async def all_of_them():
        backend = TFServingBackend(server.address, name)
        try:
            await backend.check()
            return await asyncio.gather(*map(backend.predict, requests))
        finally:
            await backend.close()

    return asyncio.run(all_of_them())


def of_many_lengths(name, size):
    """Requests of two rows each, which a batch of them all has to pad."""
    return [
        {name: [[(7 * i + 1) % size] * (i % 4 + 1), [i, 3][: i % 3]]}
        for i in range(REQUESTS)
    ]


@pytest.fixture(scope="module")
def batching_server(exported, tmp_path_factory):
    """A server that answers what comes together in one call, and waits for it."""
    models = {held.name: held.directory for held in map(exported, NETWORKS)}
    directory = tmp_path_factory.mktemp("batching")
    with start_model_server(models, directory, BATCHING) as server:
        yield server


@pytest.mark.parametrize("network", NETWORKS)
def test_what_the_server_batches_is_answered_bit_for_bit_as_if_alone(
    network, exported, batching_server, model_server
):
    name = exported(network).name
    in0, in1 = of_many_lengths("in0", 50), of_many_lengths("in1", 30)
    pairs = [a | b for a, b in zip(in0, in1[::-1], strict=True)]
    for requests in (in0, in1, pairs):
        together = ask(batching_server, name, requests)
        for request, answer in zip(requests, together, strict=True):
            (alone,) = ask(model_server, name, [request])
            np.testing.assert_array_equal(answer, alone)


def test_rows_that_begin_with_a_token_would_be_padded_with_it(
    exported, batching_server
):
    held = exported("pooled_embedding")
    rows = [[[i + 1] * (i + 1)] * 2 for i in range(REQUESTS)]
    alone = held.expected({"in0": rows[0]})
    deadline = time.monotonic() + PATIENCE
    with ThreadPoolExecutor(REQUESTS) as pool:
        while True:  # until all of them come in time for one batch
            assert time.monotonic() < deadline, "the server does not batch"
            asked = [
                pool.submit(batching_server.predict, held.name, "embed_enc0", in0=row)
                for row in rows
            ]
            answers = [request.result()["embeddings"] for request in asked]
            if not np.array_equal(answers[0], alone):
                break
    padded = held.expected({"in0": [[1] * REQUESTS] * 2})
    np.testing.assert_array_equal(answers[0], padded)


def test_a_new_version_is_learnt_of_by_its_first_answer(tmp_path):
    base = tmp_path / "model"
    export_saved_model(make_model(), base)

    async def watch(server):
        backend = TFServingBackend(server.address, "m")
        try:
            await backend.predict({"in0": [[1]]})
            assert backend.hyperparameters.enc0_vocab_size == 50
            wider = make_model(enc0_vocab_size=70)
            await asyncio.to_thread(export_saved_model, wider, base)
            deadline = time.monotonic() + PATIENCE
            while backend.hyperparameters.enc0_vocab_size == 50:
                assert time.monotonic() < deadline
                await backend.predict({"in0": [[1]]})
                await asyncio.sleep(0.05)
            assert backend.hyperparameters.enc0_vocab_size == 70
            return await backend.predict({"in0": [[69]]}), wider
        finally:
            await backend.close()

    with start_model_server({"m": base}, tmp_path) as server:
        answer, wider = asyncio.run(watch(server))
    table = wider.enc0.layers[1].embeddings.numpy()
    np.testing.assert_allclose(answer, table[[69]], rtol=1e-6)


def embed(served, token):
    status, _, text = served.ask(json.dumps({"instances": [{"in0": [token]}]}))
    return status, json.loads(text)


def until(status, answer):
    """Asks over and over until the answer has a status; returns the answer."""
    deadline = time.monotonic() + PATIENCE
    while True:
        got, content = answer()
        if got == status:
            return content
        assert time.monotonic() < deadline, (got, content)
        time.sleep(0.05)


def test_the_gateway_keeps_up_with_what_becomes_of_its_server(tmp_path):
    base, port = tmp_path / "m", free_port()
    export_saved_model(make_model(), base)
    narrower = make_model(enc0_vocab_size=20, seed=6)

    def ping():
        status, _, text = served.ask(None, path="/ping", method="GET")
        return status, json.loads(text)

    with gateway(f"--tf_serving=127.0.0.1:{port}", "--model_name=m") as served:
        assert "UNAVAILABLE" in until(503, ping)["error"]["message"]
        assert embed(served, 1)[0] == 503
        with start_model_server({"m": base}, tmp_path, port=port):
            until(200, ping)
            assert embed(served, 49)[0] == 200
            assert embed(served, 50)[0] == 400
            export_saved_model(make_model(enc0_vocab_size=70), base)
            until(200, lambda: embed(served, 69))  # nothing else is asked
            export_saved_model(narrower, base)
            refused = until(400, lambda: embed(served, 49))
            assert "49" in refused["error"]["message"]
            answer = embed(served, 19)[1]["predictions"][0]["embeddings"]
            table = narrower.enc0.layers[1].embeddings.numpy()
            np.testing.assert_allclose(answer, table[19], rtol=1e-6)
            own = embed(served, 49)[1]["error"]  # without asking the server
            assert own["path"] == "$.instances[0].in0[0]"
        until(503, ping)
