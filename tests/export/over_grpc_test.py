"""The gateway's backend in front of a model server: batching, and what changes."""

import asyncio
import contextlib
import time

import numpy as np
import pytest

from export import export_saved_model
from export.backends import Unavailable
from export.over_grpc import OverGrpc
from tests.export.conftest import PATIENCE, free_port, make_model, start_model_server

BATCHING = """
max_batch_size { value: 64 }
batch_timeout_micros { value: 200000 }
pad_variable_length_inputs: true
"""


def ask(server, name, requests):
    """Sends requests at once; returns their answers, and what the server has."""

    async def all_of_them():
        backend = OverGrpc(server.address, name)
        try:
            return await asyncio.gather(*map(backend.answer, requests))
        finally:
            await backend.close()

    return asyncio.run(all_of_them())


def test_what_the_server_batches_is_answered_as_if_alone(exported, tmp_path):
    held = exported("hcnn")
    requests = [
        {"in0": [[i % 50] * (i % 7 + 1)], "in1": [[0, i % 30][: i % 3]]}
        for i in range(24)
    ]
    with start_model_server({held.name: held.directory}, tmp_path, BATCHING) as server:
        start = time.monotonic()
        answers = ask(server, held.name, requests)
        seconds = time.monotonic() - start
    assert seconds < 24 * 0.2  # each waits .2 s for company, so they had it
    for request, answer in zip(requests, answers, strict=True):
        np.testing.assert_allclose(answer, held.expected(request), rtol=1e-6, atol=1e-7)


def test_a_new_version_is_learnt_of_by_its_first_answer(tmp_path):
    base = tmp_path / "model"
    export_saved_model(make_model(), base)

    async def watch(server):
        backend = OverGrpc(server.address, "m")
        try:
            await backend.answer({"in0": [[1]]})
            assert backend.hyperparameters.enc0_vocab_size == 50
            wider = make_model(enc0_vocab_size=70)
            await asyncio.to_thread(export_saved_model, wider, base)
            deadline = time.monotonic() + PATIENCE
            while backend.hyperparameters.enc0_vocab_size == 50:
                assert time.monotonic() < deadline
                await backend.answer({"in0": [[1]]})
                await asyncio.sleep(0.05)
            assert backend.hyperparameters.enc0_vocab_size == 70
            return await backend.answer({"in0": [[69]]}), wider
        finally:
            await backend.close()

    with start_model_server({"m": base}, tmp_path) as server:
        answer, wider = asyncio.run(watch(server))
    table = wider.enc0.layers[1].embeddings.numpy()
    np.testing.assert_allclose(answer, table[[69]], rtol=1e-6)


def test_a_server_that_comes_up_later_is_found(exported, tmp_path):
    held = exported()
    port = free_port()
    backend = OverGrpc(f"127.0.0.1:{port}", held.name, timeout=5)

    async def watch():
        with pytest.raises(Unavailable, match="UNAVAILABLE"):
            await backend.check()
        with contextlib.ExitStack() as stack:
            start = start_model_server({held.name: held.directory}, tmp_path, port=port)
            await asyncio.to_thread(stack.enter_context, start)
            deadline = time.monotonic() + PATIENCE
            while True:
                with contextlib.suppress(Unavailable):
                    await backend.check()
                    break
                assert time.monotonic() < deadline
                await asyncio.sleep(0.1)
            answer = await backend.answer({"in1": [[3]]})
            await backend.close()
            return answer

    np.testing.assert_array_equal(asyncio.run(watch()), held.expected({"in1": [[3]]}))
