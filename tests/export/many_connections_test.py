"""A minute of valid and invalid requests over many concurrent connections."""

import asyncio
import json
import random
import time

import numpy as np
import pytest

from tests.export.gateway_test import gateway

CONNECTIONS = 64
SECONDS = 60
JSON, LINES = "application/json", "application/jsonlines"
INVALID = [
    (JSON, b"", 400),
    (JSON, b"{", 400),
    (JSON, b'{"instances": [{"in0": [50]}]}', 400),
    (JSON, b'{"instances": [{"in0": [1]}, {"in1": [2]}]}', 400),
    (JSON, b'{"instances": [{"in0": "a"}]}', 400),
    (JSON, b'{"instances": [{"in1": [1, 30]}, {"in1": [2]}]}', 400),
    (JSON, b'{"instances": [{"in0": [-2], "in1": [2]}]}', 400),
    (JSON, b'[{"in0": [1]}]', 400),
    (JSON + "; infer_max_seqlens=0,1", b'{"instances": [{"in0": [1]}]}', 400),
    (LINES, b'{"in0": [1]}\n{"in0": [1.5]}', 400),
    (LINES, b'{"in0": [1]}\n{}', 400),
    (LINES, b'{"in0": [1]}\n{"in0": [1', 400),
    (JSON + "\r\nAccept: text/html", b'{"instances": [{"in0": [1]}]}', 406),
    ("text/csv", b"1,2", 415),
    (JSON + "; charset=latin-1", b'{"instances": [{"in0": [1]}]}', 415),
    (JSON + "\r\nContent-Encoding: gzip", b"", 415),
    (JSON, b" " * 10_001, 413),
]


def valid_requests(model):
    """Yields requests of every kind, with the Keras model's predictions."""
    generator = random.Random(3)
    for number in range(150):
        names = (("in0",), ("in1",), ("in0", "in1"))[number % 3]
        sizes = {"in0": 50, "in1": 30}
        count = generator.choice([1, 1, 1, 2, 7])
        rows = {
            name: [
                generator.choices(range(sizes[name]), k=generator.randrange(9))
                for _ in range(count)
            ]
            for name in names
        }
        objects = [{n: ids[i] for n, ids in rows.items()} for i in range(count)]
        if number % 2:
            body = (JSON, json.dumps({"instances": objects}).encode())
        else:
            body = (LINES, "\n".join(map(json.dumps, objects)).encode())
        yield *body, model.expected(rows)


async def send(reader, writer, media_type, body):
    """Returns the status and the body of the response."""
    head = (
        "POST /invocations HTTP/1.1\r\nHost: x\r\n"
        f"Content-Type: {media_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    headers = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = int(headers.split("content-length: ")[1].split("\r\n")[0])
    return int(headers.split()[1]), await reader.readexactly(length)


def values(media_type, text):
    if media_type == JSON:
        rows = json.loads(text)["predictions"]
    else:
        rows = list(map(json.loads, text.splitlines()))
    return [value for row in rows for value in row.values()]


async def responses_to_invalid(port):
    """Sends each invalid request alone; returns them with status and response."""
    responses = []
    for media_type, body, expected in INVALID:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        status, text = await send(reader, writer, media_type, body)
        writer.close()
        assert status == expected, text
        assert json.loads(text)["error"]["message"]
        responses.append((media_type, body, status, text))
    assert len({text for _, _, _, text in responses}) == len(INVALID)
    return responses


async def client(port, seed, valid, invalid, deadline, counts):
    generator = random.Random(seed)
    reader = writer = None
    while time.monotonic() < deadline:
        if writer is None:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        if generator.random() < 0.3:
            media_type, body, *expected = generator.choice(invalid)
            response = await send(reader, writer, media_type, body)
            assert [*response] == expected
            counts["invalid"] += 1
            if response[0] == 413:  # the gateway closes the connection
                writer.close()
                writer = None
        else:
            media_type, body, expected = generator.choice(valid)
            status, text = await send(reader, writer, media_type, body)
            assert status == 200, text
            predictions = values(media_type, text)
            np.testing.assert_allclose(predictions, expected, rtol=1e-4, atol=1e-6)
            counts["valid"] += 1
    if writer:
        writer.close()


@pytest.mark.long
@pytest.mark.parametrize("backend", ["local", "model server"])
def test_every_request_gets_its_own_response(backend, exported, request):
    model = exported("pooled_embedding")
    flags = [f"--model={model.directory}"]
    if backend == "model server":
        server = request.getfixturevalue("model_server")
        flags = [f"--tf_serving={server.address}", f"--model_name={model.name}"]
    valid = list(valid_requests(model))
    counts = {"valid": 0, "invalid": 0}

    async def run_clients(port):
        invalid = await responses_to_invalid(port)
        counts["invalid"] += len(invalid)
        deadline = time.monotonic() + SECONDS
        async with asyncio.TaskGroup() as group:
            for seed in range(CONNECTIONS):
                group.create_task(client(port, seed, valid, invalid, deadline, counts))

    with gateway(*flags, "--max_request_bytes=10000") as served:
        asyncio.run(run_clients(served.port))
        text = served.request(None, path="/metrics", method="GET")[2].decode()
    counted = {
        line.split()[0]: float(line.split()[1])
        for line in text.splitlines()
        if line.startswith("object2vec_requests_total{")
    }
    assert counted['object2vec_requests_total{status="200"}'] == counts["valid"]
    assert sum(counted.values()) == counts["valid"] + counts["invalid"]
    assert min(counts.values()) > CONNECTIONS
