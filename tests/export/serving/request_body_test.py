"""The encoding of request bodies, on every route with a body."""

import asyncio
import json

import pytest

from export.serving.request_body import checked_utf8
from tests.export.serving.asgi import App
from tests.export.serving.http_protocol_test import NoModel

BODY = '{"instances": [{"in0": [1]}]}'
PLACES = {
    "key": b'{"in\xff0": [1]}',
    "ignored field": b'{"in0": [1], "note": "\xff"}',
    "ignored list": b'{"in0": [1], "note": ["\xff"]}',
    "white space": b'{"in0": [1]}\xff',
    "overlong": b'{"in0": [1], "note": "\xc0\xaf"}',
    "surrogate": b'{"in0": [1], "note": "\xed\xa0\x80"}',
    "cut": b'{"in0": [1], "note": "\xc3',
}


def respond(body, path, media_type):
    headers = {"content-type": media_type}
    return asyncio.run(App(NoModel()).json(body, path=path, **headers))


@pytest.mark.parametrize("media_type", ["application/json", "application/jsonlines"])
@pytest.mark.parametrize(
    "path", ["/invocations", "/endpoints/x/invocations", "/recommend"]
)
@pytest.mark.parametrize("place", PLACES)
def test_invalid_utf8_is_a_400_with_its_position(place, path, media_type):
    body = PLACES[place]
    position = next(i for i, byte in enumerate(body) if byte > 127)
    if media_type == "application/json":
        body, position = b'{"instances": [%s]}' % body, position + 15
    status, response = respond(body, path, media_type)
    assert status == 400
    message = response["error"]["message"]
    assert f"expected UTF-8, got the byte 0x{body[position]:02x}" in message
    assert f" at position {position} " in message


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_utf16_is_a_400_that_names_it(encoding):
    status, response = respond(
        BODY.encode(encoding), "/invocations", "application/json"
    )
    assert status == 400
    assert "got UTF-16 or UTF-32. Encode" in response["error"]["message"]


def test_a_byte_order_mark_is_dropped():
    assert checked_utf8(BODY.encode("utf-8-sig")) == BODY.encode()
    assert json.loads(checked_utf8('{"é": 1}'.encode("utf-8-sig"))) == {"é": 1}
    assert checked_utf8(b"") == b""
