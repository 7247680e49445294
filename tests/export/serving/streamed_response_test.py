"""Large answers of the gateway: limits, parts, HTTP/1.0, and the event loop."""

import asyncio
import json

import numpy as np
import orjson
import pytest

import object2vec_tf as o2v
from export.serving import streamed_response
from export.serving.http_app import Gateway
from export.serving.off_loop import off_loop
from export.serving.settings import GatewaySettings
from object2vec_tf.inference.answer_parts import PART_VALUES

WIDTH = 256
PREDICT = "/v1/models/object2vec:predict"
LINES = "application/jsonlines"


class Backend:
    """A backend whose embedding of ``[n]`` is n in all its numbers, n/8 for pairs."""

    hyperparameters = o2v.Hyperparameters(
        enc0_max_seq_len=5,
        enc0_vocab_size=1000,
        enc1_max_seq_len=5,
        enc1_vocab_size=1000,
        enc_dim=WIDTH,
        output_layer="mean_squared_error",
    )
    texts = ()
    version = 1

    async def predict(self, rows):
        first = np.array([sum(row) for row in rows["in0"]], np.float32)
        if len(rows) == 2:
            return first[:, np.newaxis] / 8
        return np.tile(first[:, np.newaxis], WIDTH)

    async def catalog(self):
        return None

    async def check(self):
        pass

    async def close(self):
        pass


class Client:
    """Sends one request to the application, and notes the parts of the answer."""

    def __init__(self, max_values=GatewaySettings.max_response_values):
        settings = GatewaySettings(max_response_values=max_values)
        self.gateway = Gateway(Backend(), settings)
        self.starts = 0
        self.app = self.gateway.application()

    def post(self, path, body, media_type="application/json", version="1.1"):
        return asyncio.run(self.answer(path, body, media_type, version))

    async def answer(self, path, body, media_type, version, may_read=None):
        scope = {
            "type": "http",
            "http_version": version,
            "method": "POST",
            "path": path,
            "query_string": b"",
            "headers": [(b"content-type", media_type.encode())],
        }
        received, messages = [body], []

        async def receive():
            if not received:  # the client waits for the answer
                await asyncio.Future()
            return {"type": "http.request", "body": received.pop()}

        async def send(message):
            messages.append(message)
            self.starts += message["type"] == "http.response.start"
            if may_read:
                await may_read.wait()
            self.in_progress = self.gateway._in_progress

        await self.app(scope, receive, send)
        start, *parts = messages
        headers = dict(start["headers"])
        return start["status"], headers, [part["body"] for part in parts]


def bodies(count):
    """Requests for embeddings in all formats: path, type, body and expected answer."""
    rows = np.tile(np.arange(count, dtype=np.float32)[:, np.newaxis] % 1000, WIDTH)
    ids = [[i % 1000] for i in range(count)]
    objects = [{"in0": row} for row in ids]
    answers = [{"embeddings": row} for row in rows]
    lines = b"".join(whole(row) + b"\n" for row in answers)
    chosen = {"signature_name": "embed_enc0"}
    bare = chosen | {"instances": ids}
    columns = chosen | {"inputs": {"in0": ids}}
    return {
        "json": ("/invocations", {"instances": objects}, {"predictions": answers}),
        "lines": ("/invocations", objects, lines),
        "rows": (PREDICT, chosen | {"instances": objects}, {"predictions": rows}),
        "bare": (PREDICT, bare, {"predictions": rows}),
        "columns": (PREDICT, columns, {"outputs": rows}),
    }


def whole(value):
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


FORMATS = ["json", "lines", "rows", "bare", "columns"]


def sent(body):
    if isinstance(body, list):
        return b"\n".join(map(whole, body)), LINES
    return whole(body), "application/json"


@pytest.mark.parametrize("name", FORMATS)
def test_a_large_answer_comes_in_parts_with_the_bytes_of_the_whole(name):
    count = 3 * PART_VALUES // WIDTH + 1
    path, body, expected = bodies(count)[name]
    expected = expected if isinstance(expected, bytes) else whole(expected)
    body, media_type = sent(body)
    client = Client()
    status, headers, parts = client.post(path, body, media_type)
    assert (status, b"".join(parts)) == (200, expected)
    assert b"content-length" not in headers
    assert len(parts) >= 4
    assert max(map(len, parts)) < 2**21
    assert (client.in_progress, client.gateway._in_progress) == (1, 0)
    # A client of HTTP/1.0 needs the length.
    status, headers, parts = client.post(path, body, media_type, version="1.0")
    assert (status, b"".join(parts)) == (200, expected)
    assert headers[b"content-length"] == str(len(expected)).encode()


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_clients_that_read_slowly_take_bounded_memory(monkeypatch, version):
    count = PART_VALUES // WIDTH + 1
    limit = 2 * count * WIDTH
    monkeypatch.setattr(streamed_response, "MAX_STREAMED_VALUES", limit)
    path, body, _ = bodies(count)["json"]
    request = (path, *sent(body), version)
    client = Client()

    async def main():
        may_read = asyncio.Event()
        slow = [asyncio.create_task(client.answer(*request, may_read)) for _ in "ab"]
        while client.starts < 2:
            await asyncio.sleep(0.001)
        status, headers, parts = await client.answer(*request)
        assert (status, headers[b"retry-after"]) == (503, b"1")
        assert b"expected at most %d values in the large" % limit in parts[0]
        may_read.set()
        for answer in slow:
            assert (await answer)[0] == 200
        assert (await client.answer(*request))[0] == 200
        monkeypatch.setattr(streamed_response, "MAX_STREAMED_VALUES", 1)
        assert (await client.answer(*request))[0] == 200  # the only one

    asyncio.run(main())


@pytest.mark.parametrize("name", FORMATS)
def test_a_small_answer_has_its_length(name):
    path, body, expected = bodies(3)[name]
    expected = expected if isinstance(expected, bytes) else whole(expected)
    status, headers, parts = Client().post(path, *sent(body))
    assert (status, parts) == (200, [expected])
    assert headers[b"content-length"] == str(len(expected)).encode()


@pytest.mark.parametrize("name", FORMATS)
def test_an_answer_above_the_limit_is_rejected(name):
    client = Client(max_values=10 * WIDTH)
    path, body, _ = bodies(10)[name]
    assert client.post(path, *sent(body))[0] == 200
    path, body, _ = bodies(11)[name]
    status, _, parts = client.post(path, *sent(body))
    error = json.loads(b"".join(parts))["error"]
    message = error if isinstance(error, str) else error["message"]
    assert status == 413
    assert message == (
        "expected at most 2560 values in a response, got 11 objects with 256 values "
        "each. Send at most 10 objects per request, or start the gateway with a larger "
        "--max_response_values."
    )


def test_the_limit_counts_the_scores_of_pairs():
    client = Client(max_values=10)
    columns = {"in0": [[8]] * 10, "in1": [1] * 10}
    status, _, parts = client.post(PREDICT, whole({"inputs": columns}))
    assert (status, parts) == (
        200,
        [b'{"outputs":[' + b",".join([b"[1.0]"] * 10) + b"]}"],
    )
    columns = {"in0": [[8]] * 11, "in1": [1] * 11}
    assert client.post(PREDICT, whole({"inputs": columns}))[0] == 413


def test_a_context_may_not_multiply_a_request():
    client = Client(max_values=1000)
    path = "/v1/models/object2vec:regress"
    body = {"context": {"in0": [1] * 100, "in1": 2}, "examples": [{}] * 10}
    status, _, parts = client.post(path, whole(body))
    assert (status, parts) == (
        200,
        [b'{"results":[' + b",".join([b"0.625"] * 10) + b"]}"],
    )
    status, _, parts = client.post(path, whole(body | {"examples": [{}] * 11}))
    assert status == 413
    assert b"Send at most 10 examples per request" in parts[0]


def test_the_event_loop_runs_while_a_large_request_is_decoded():
    async def main():
        loop = asyncio.get_running_loop()

        def work():  # waits for the event loop
            asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result(timeout=60)
            return 7

        assert await off_loop(1 << 20, work) == 7

    asyncio.run(main())
