"""Clients that are slow, stuck or unusual, and the end of the gateway.

Clients are plain sockets.
"""

import asyncio
import contextlib
import json
import re
import socket
import threading
import time

import pytest

from export.serving.http_app import Gateway
from export.serving.http_requests import SharedState
from export.serving.http_server import HttpServer
from export.serving.listening import refuse_new
from export.serving.settings import ConnectionLimits, GatewaySettings
from tests.export.serving.http_protocol_test import NoModel, read_response

TIMEOUT = 60
BODY = b'{"instances": [{"in0": [99]}]}'  # 400: the vocabulary has 10 ids
MAX_BYTES = 20_000
# Limits that a test can reach.
IMPATIENT = ConnectionLimits(
    header_timeout_seconds=0.3,
    body_timeout_seconds=1.0,
    stall_timeout_seconds=0.3,
    idle_timeout_seconds=0.3,
    max_header_bytes=10_000,
)


class Served:
    """A gateway in a thread."""

    def __init__(self, limits=IMPATIENT):
        settings = GatewaySettings(max_request_bytes=MAX_BYTES, max_concurrency=5)
        gateway = Gateway(NoModel(), settings)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port = self.listener.getsockname()[1]
        shared = SharedState(limits, MAX_BYTES, max_early_requests=2)
        self.server = HttpServer(gateway.application(), "", shared)
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        asyncio.run(self.server.serve(sockets=[self.listener]))

    def connect(self, data=b""):
        connection = socket.create_connection(("127.0.0.1", self.port), TIMEOUT)
        connection.sendall(data)
        return connection

    def answer(self, data):
        """Everything that the server sends until it closes the connection."""
        with self.connect(data) as connection:
            return read_response(connection)

    def stop(self):
        self.server.should_exit = True
        self.thread.join(TIMEOUT)
        assert not self.thread.is_alive()


@contextlib.contextmanager
def serving(*args):
    served = Served(*args)
    try:
        yield served
    finally:
        served.stop()


@pytest.fixture(scope="module")
def served():
    with serving() as served:
        yield served


def request(headers=b"", body=BODY, path=b"/invocations"):
    length = b"Content-Length: %d\r\n" % len(body)
    head = b"POST %b HTTP/1.1\r\nHost: x\r\n" % path
    return head + headers + length + b"\r\n" + body


LAST = request(b"Connection: close\r\n")
CHUNKED = b"POST /invocations HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
# The answer to BODY, which shows that the whole body has arrived.
ANSWER = b"expected a token id below enc0_vocab_size=10, got 99"
UPGRADES = {
    # What java.net.http.HttpClient sends by default.
    "Java": b"Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAEAAEAAAA\r\n"
    b"Upgrade: h2c\r\n",
    "WebSocket": b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n",
}


def statuses(answers):
    return [int(status) for status in re.findall(rb"HTTP/1.1 (\d+)", answers)]


@pytest.mark.parametrize("kind", UPGRADES)
@pytest.mark.parametrize("parts", [1, 3, 50])
def test_a_request_to_upgrade_is_answered_in_http_1(served, kind, parts):
    data = request(UPGRADES[kind]) * 2 + LAST
    size = -(-len(data) // parts)
    with served.connect() as connection:
        for start in range(0, len(data), size):
            connection.sendall(data[start : start + size])
            time.sleep(0.05 / parts)
        answers = read_response(connection)
    assert statuses(answers) == [400] * 3
    assert answers.count(ANSWER) == 3


@pytest.mark.parametrize("count", [1, 3])
def test_a_client_that_ends_its_side_gets_the_response(served, count):
    with served.connect(request() * count) as connection:
        connection.shutdown(socket.SHUT_WR)
        answers = read_response(connection)
    assert answers.count(ANSWER) == count


@pytest.mark.parametrize("size", [30, len(LAST) - 1])
def test_a_client_that_ends_its_side_too_early_gets_a_400(served, size):
    with served.connect(request() + LAST[:size]) as connection:
        connection.shutdown(socket.SHUT_WR)
        answers = read_response(connection)
    assert statuses(answers) == [400, 400]
    assert answers.count(ANSWER) == 1
    assert b"got the end of the stream" in answers


MALFORMED = [
    b"no HTTP\r\n\r\n",
    b"GET / HTTP/1.1\r\nno header\r\n\r\n",
    b"\x16\x03\x01",
    # Paths that are not URLs, which the application cannot get.
    b"CONNECT x:443 HTTP/1.1\r\n\r\n",
    b"GET http://x HTTP/1.1\r\n\r\n",
    b"GET /\xc3\xa9 HTTP/1.1\r\n\r\n",
]


@pytest.mark.parametrize("malformed", MALFORMED)
def test_complete_requests_are_answered_before_a_malformed_one(
    served, malformed, caplog
):
    answers = served.answer(request() * 2 + malformed + b" " * 100_000)
    assert statuses(answers) == [400] * 3
    assert answers.count(ANSWER) == 2
    error = json.loads(answers[answers.rindex(b'{"error') :])["error"]
    assert error["message"] == "expected an HTTP request, got a malformed one"
    assert statuses(served.answer(malformed)) == [400]
    assert not caplog.records


@pytest.mark.parametrize("first", [b"", request() * 2])
def test_a_malformed_chunk_gets_one_response(served, first, caplog):
    answers = served.answer(first + CHUNKED + b"5\r\n" + BODY[:5] + b"XX")
    assert statuses(answers) == [400] * (3 if first else 1)
    assert not caplog.records


def test_chunks_are_a_body(served):
    chunks = b"".join(b"1;x=y\r\n%c\r\n" % byte for byte in BODY) + b"0\r\nA: b\r\n\r\n"
    answers = served.answer(CHUNKED + chunks + CHUNKED + chunks + LAST)
    assert answers.count(ANSWER) == 3
    large = b"%x\r\n%b\r\n" % (MAX_BYTES + 1, b" " * (MAX_BYTES + 1))
    assert statuses(served.answer(CHUNKED + large)) == [413]  # without the last chunk


def test_a_large_head_is_a_431(served):
    size = IMPATIENT.max_header_bytes
    one = b"X: " + b"x" * size + b"\r\n"
    many = b"X: x\r\n" * size
    # Many small headers take more memory than their bytes.
    small = b"X:\r\n" * (size // 32)
    for large in (one, many, small, b"X: " + b"x" * 100 * size):
        assert statuses(served.answer(request(large))) == [431]
        assert statuses(served.answer(request() * 3 + request(large))) == [400] * 3 + [
            431
        ]
    assert statuses(served.answer(b"GET /" + b"x" * size + b" HTTP/1.1\r\n")) == [431]
    trailers = b"0\r\n" + many + b"\r\n"
    assert statuses(served.answer(CHUNKED + trailers)) == [431]
    # A large body before the head of the next request does not count.
    body = b" " * (MAX_BYTES - 1)
    plain = request(b"Content-Encoding: gzip\r\n", body)
    assert statuses(served.answer(plain * 3 + LAST)) == [415] * 3 + [400]


def test_an_incomplete_request_is_a_408(served):
    sizes = (len(LAST) - 1, len(LAST) - len(BODY), 30, 0)
    connections = [served.connect(LAST[:size]) for size in sizes]
    connections.append(served.connect(CHUNKED + b"5\r\n"))
    answers = [read_response(connection) for connection in connections]
    for connection in connections:
        connection.close()
    assert [*map(statuses, answers)] == [[408], [408], [408], [], [408]]
    tf_serving = request(path=b"/v1/models/object2vec:predict")[:-1]
    error = json.loads(served.answer(tf_serving).partition(b"\r\n\r\n")[2])["error"]
    assert error == (
        "expected the rest of the body, got nothing for 0.3 s, or not all of it within "
        "1 s. Send the request again."
    )


def slowly(connection, data, seconds):
    """Sends bytes over a time, or until the server answers; returns the answer."""
    connection.settimeout(seconds / len(data))
    answer = b""
    for byte in data:
        connection.sendall(b"%c" % byte)
        with contextlib.suppress(TimeoutError):
            answer = connection.recv(1 << 16)
            break
    connection.settimeout(TIMEOUT)
    return answer + read_response(connection)


def test_a_slow_request_has_limits_for_its_head_and_its_body(served):
    head, body = LAST[: -len(BODY)], LAST[-len(BODY) :]
    with served.connect() as connection:
        assert statuses(slowly(connection, head, 1.5)) == [408]
    with served.connect(head) as connection:
        start = time.monotonic()
        assert statuses(slowly(connection, body, 6)) == [408]
        # The total, although something arrived every 0.2 s.
        assert 0.8 < time.monotonic() - start < 3
    with served.connect(head) as connection:
        assert ANSWER in slowly(connection, body, 0.6)


def test_an_idle_connection_is_closed(served):
    with served.connect(request() * 2) as connection:
        start = time.monotonic()
        assert read_response(connection).count(ANSWER) == 2
        assert 0.2 < time.monotonic() - start < 3


def test_half_sent_requests_take_no_place_of_others():
    """`max_concurrency` is 5."""
    with serving(ConnectionLimits()) as patient:
        half_sent = [patient.connect(LAST[:-1]) for _ in range(20)]
        assert ANSWER in patient.answer(LAST)
        half_sent[0].sendall(LAST[-1:])
        assert ANSWER in read_response(half_sent[0])
        start = time.monotonic()
        patient.server.force_exit = True
    assert time.monotonic() - start < 2
    for connection in half_sent:
        connection.close()


def test_expect_100_continue(served):
    head = request(b"Expect: 100-continue\r\nConnection: close\r\n")[: -len(BODY)]
    with served.connect(head) as connection:
        assert connection.recv(1 << 16) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(BODY)
        assert ANSWER in read_response(connection)
    large = b"POST /invocations HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
    assert statuses(served.answer(large + b"Content-Length: 20001\r\n\r\n")) == [413]
    # Those that wait for their body take only a part of the places.
    half_sent = [served.connect(head) for _ in range(20)]
    assert ANSWER in served.answer(LAST)
    for connection in half_sent:
        with connection:
            assert statuses(read_response(connection)) == [100, 408]
    assert served.server._shared.early_requests == 0
    assert served.server._shared.received_bytes == 0


def test_a_client_that_reads_nothing_is_disconnected(served):
    """Its responses do not fit into the buffers of the kernel and of the gateway."""
    large = request(path=b"/" + b"x" * 9000, body=b"")
    with served.connect() as connection:
        connection.settimeout(0.2)
        with contextlib.suppress(TimeoutError, ConnectionError):
            while True:
                connection.sendall(large * 30)
        deadline = time.monotonic() + 5
        while served.server.server_state.connections and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not served.server.server_state.connections
        assert not served.server.server_state.tasks


def test_more_connections_than_the_limit_get_a_503():
    limits = ConnectionLimits(max_connections=3)
    with serving(limits) as served:
        half_sent = [served.connect(LAST[:-1]) for _ in range(3)]
        time.sleep(0.05)
        answer = served.answer(LAST)
        assert statuses(answer) == [503]
        assert b"retry-after: 1" in answer
        # A connection that is idle makes room for a new one.
        half_sent[0].sendall(LAST[-1:])
        assert ANSWER in read_response(half_sent[0])
        half_sent[0].close()
        idle = served.connect(request())
        time.sleep(0.1)
        assert ANSWER in served.answer(LAST)
        assert ANSWER in read_response(idle)
        served.server.force_exit = True
        for connection in (idle, *half_sent):
            connection.close()


@pytest.mark.parametrize("size", [len(LAST) - 1, 30, 0])
def test_a_silent_client_does_not_delay_the_end(size, monkeypatch):
    monkeypatch.setattr("export.serving.http_connections.COMPLETION_SECONDS", 0.3)
    with serving(ConnectionLimits()) as served:
        connection = served.connect(LAST[:size])
        time.sleep(0.1)
        start = time.monotonic()
        served.stop()
        assert time.monotonic() - start < 3
    assert statuses(read_response(connection)) == ([503] if size else [])
    connection.close()


def test_the_end_resets_no_request_that_was_sent_before(monkeypatch):
    with serving(ConnectionLimits()) as served:
        idle = served.connect(request())
        new, half_sent = served.connect(), served.connect(LAST[:-1])
        time.sleep(0.05)  # until they are accepted
        connections = [idle, new]
        shutdown = served.server.shutdown

        async def late_shutdown(sockets):
            # The kernel accepts these connections and data; the server does not run.
            connections.extend(served.connect() for _ in range(20))
            for connection in connections:
                connection.sendall(request())
            half_sent.sendall(LAST[-1:])
            await shutdown(sockets)

        def late_refuse_new(listener):
            connections.extend(served.connect(request()) for _ in range(20))
            refuse_new(listener)
            with pytest.raises(TimeoutError):
                socket.create_connection(("127.0.0.1", served.port), 0.1)

        monkeypatch.setattr("export.serving.http_server.refuse_new", late_refuse_new)
        served.server.shutdown = late_shutdown
        served.stop()
        for connection in (*connections, half_sent):
            with connection:
                answers = read_response(connection)
                assert answers.count(ANSWER) == (2 if connection is idle else 1)
                assert answers.count(b"connection: close") == 1
