"""Early responses reach every client, whatever it still sends."""

import asyncio
import contextlib
import http.client
import json
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request

import boto3
import botocore.config
import botocore.exceptions
import pytest
import requests

import object2vec_tf as o2v
from export.serving.http_app import Gateway
from export.serving.http_connections import GatewayProtocol
from export.serving.http_requests import SharedState
from export.serving.http_server import HttpServer
from export.serving.settings import GatewaySettings

LIMIT = 10_000
TIMEOUT = 60
JSON = {"Content-Type": "application/json"}


class NoModel:
    """A backend for requests that are rejected before they reach a model."""

    hyperparameters = o2v.Hyperparameters(enc0_vocab_size=10, enc0_max_seq_len=5)
    texts = ()
    version = 1

    async def check(self):
        pass

    async def catalog(self):
        return None

    async def close(self):
        pass


class Impatient(GatewayProtocol):
    """The protocol with limits that a test can reach."""

    drained_bytes = 40 << 20
    drain_seconds = 0.6
    idle_seconds = 0.2


@contextlib.contextmanager
def running(protocol=Impatient):
    """Serves in a thread of this process, and yields the port."""
    app = Gateway(NoModel(), GatewaySettings(max_request_bytes=LIMIT)).application()
    server = HttpServer(app, "", SharedState(max_request_bytes=LIMIT), protocol)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(
            target=lambda: asyncio.run(server.serve(sockets=[listener]))
        )
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(TIMEOUT)


@pytest.fixture(scope="module")
def port():
    with running() as port:
        yield port


def chunks(size):
    for _ in range(size >> 16):
        yield b" " * (1 << 16)


def by_urllib(port, body, headers, path):
    url = f"http://127.0.0.1:{port}{path}"
    request = urllib.request.Request(url, body, headers | JSON, method="POST")
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(request, timeout=TIMEOUT)
    with raised.value as response:
        return response.status, response.read()


def by_requests(port, body, headers, path):
    url = f"http://127.0.0.1:{port}{path}"
    response = requests.post(url, body, headers=headers | JSON, timeout=TIMEOUT)
    return response.status_code, response.content


def by_curl(port, body, headers, path):
    if not shutil.which("curl"):
        pytest.skip("this machine has no curl")
    lines = [f"-H{name}: {value}" for name, value in (headers | JSON).items()]
    if not isinstance(body, bytes):
        body, lines = b"".join(body), [*lines, "-HTransfer-Encoding: chunked"]
    url = f"http://127.0.0.1:{port}{path}"
    done = subprocess.run(
        ["curl", "-sS", "--data-binary", "@-", "-w", "\n%{http_code}", *lines, url],
        input=body,
        stdout=subprocess.PIPE,
        check=True,
        timeout=TIMEOUT,
    )
    content, _, status = done.stdout.rpartition(b"\n")
    return int(status), content


CLIENTS = [by_urllib, by_requests, by_curl]


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("megabytes", [7, 30])
@pytest.mark.parametrize("chunked", [False, True])
def test_every_client_gets_the_413(port, client, megabytes, chunked):
    size = megabytes << 20
    body = chunks(size) if chunked else b" " * size
    status, content = client(port, body, {}, "/invocations")
    assert status == 413
    assert f"at most {LIMIT} bytes" in json.loads(content)["error"]["message"]


@pytest.mark.long
@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("chunked", [False, True])
def test_every_client_gets_the_413_for_100_mb(client, chunked):
    """With the limits of the gateway."""
    size = 100 << 20
    with running(GatewayProtocol) as port:
        body = chunks(size) if chunked else b" " * size
        assert client(port, body, {}, "/invocations")[0] == 413


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/nowhere", {}, 404),
        ("/ping", {}, 405),
        ("/invocations", {"Accept": "text/html"}, 406),
        ("/invocations", {"Content-Encoding": "gzip"}, 415),
        ("/invocations", {"Connection": "close", "Content-Encoding": "gzip"}, 415),
        ("/invocations", {"Expect": "100-continue"}, 413),
    ],
)
def test_every_client_gets_other_early_errors(port, client, path, headers, status):
    assert client(port, b" " * (7 << 20), headers, path)[0] == status


@pytest.mark.parametrize("megabytes", [7, 30])
def test_boto3_gets_the_413(port, megabytes):
    client = boto3.client(
        "sagemaker-runtime",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="us-east-1",
        aws_access_key_id="none",
        aws_secret_access_key="none",
        config=botocore.config.Config(retries={"max_attempts": 0}),
    )
    with pytest.raises(botocore.exceptions.ClientError) as raised:
        client.invoke_endpoint(
            EndpointName="o2v",
            ContentType="application/json",
            Body=b" " * (megabytes << 20),
        )
    response = raised.value.response
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 413
    assert f"at most {LIMIT} bytes" in response["Error"]["Message"]


def open_request(port, headers=""):
    """Sends the headers of a request that is too large, and the first byte."""
    connection = socket.create_connection(("127.0.0.1", port), TIMEOUT)
    connection.sendall(
        b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: 1000000000\r\n" + headers.encode() + b"\r\n "
    )
    return connection


def read_response(connection):
    parts = []
    while part := connection.recv(1 << 16):
        parts.append(part)
    return b"".join(parts)


def seconds_until_closed(connection, interval):
    """Sends a byte per interval until the server has closed the connection."""
    start = time.monotonic()
    with contextlib.suppress(ConnectionError):
        while time.monotonic() - start < TIMEOUT:
            connection.sendall(b" ")
            time.sleep(interval)
    return time.monotonic() - start


def test_a_client_that_stops_sending_gets_the_response_and_is_disconnected(port):
    with open_request(port) as connection:
        response = read_response(connection)  # up to the server's end of the stream
        assert response.startswith(b"HTTP/1.1 413 ")
        time.sleep(0.3)  # more than idle_seconds
        assert seconds_until_closed(connection, 0.01) < 0.5


def test_a_slow_client_is_disconnected_after_drain_seconds(port):
    with open_request(port) as connection:
        assert read_response(connection).startswith(b"HTTP/1.1 413 ")
        assert 0.3 < seconds_until_closed(connection, 0.05) < 10


@pytest.mark.parametrize("headers", ["", "Content-Encoding: gzip\r\n"])
def test_a_fast_client_is_disconnected_after_drained_bytes(port, headers):
    """Both with a closing connection (413) and with one that is kept alive (415)."""
    sent = 0
    with (
        open_request(port, headers) as connection,
        contextlib.suppress(ConnectionError),
    ):
        while sent < 900_000_000:
            sent += connection.send(b" " * (1 << 20))
    assert Impatient.drained_bytes <= sent < 3 * Impatient.drained_bytes


def test_a_connection_is_kept_alive_after_an_error_with_a_small_body(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    with contextlib.closing(connection):
        for path, status in (("/nowhere", 404), ("/ping", 405), ("/nowhere", 404)):
            connection.request("POST", path, b" " * 100_000, JSON)
            opened = connection.sock
            with connection.getresponse() as response:
                assert response.status == status
                response.read()
            assert connection.sock is opened


def test_a_malformed_request_gets_a_400_before_its_end(port):
    with socket.create_connection(("127.0.0.1", port), TIMEOUT) as connection:
        connection.sendall(b"no HTTP\r\n\r\n")
        connection.sendall(b" " * (5 << 20))
        assert read_response(connection).startswith(b"HTTP/1.1 400 ")


def test_a_server_stops_while_a_client_is_drained():
    with running() as port:
        connection = open_request(port)
        assert read_response(connection).startswith(b"HTTP/1.1 413 ")
    assert seconds_until_closed(connection, 0.01) < 5
    connection.close()
