"""A gateway whose clients stop in the middle of their requests."""

import contextlib
import signal
import socket
import threading
import time

import pytest

from tests.export.conftest import TIMEOUT
from tests.export.gateway_test import gateway, read_all

COUNT = 1024
BODY = b'{"instances": [{"in0": [1]}]}'


def connect(port, headers=b"", cut=0):
    """Opens a connection and sends a request, except for some bytes of its end."""
    request = (
        b"POST /invocations HTTP/1.1\r\nHost: x\r\n%bContent-Length: %d\r\n\r\n%b"
        % (headers, len(BODY), BODY)
    )
    connection = socket.create_connection(("127.0.0.1", port), TIMEOUT)
    connection.sendall(request[: len(request) - cut])
    return connection


@pytest.mark.long
def test_1024_half_sent_bodies_delay_neither_others_nor_the_end(exported):
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (4 * COUNT, limits[1]))
    with contextlib.ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
        served = stack.enter_context(gateway(f"--model={exported().directory}"))
        half_sent = [
            stack.enter_context(connect(served.port, headers, cut=1))
            for headers in [b"", b"Expect: 100-continue\r\n"]
            for _ in range(COUNT)
        ]
        time.sleep(1)
        for _ in range(5):
            start = time.monotonic()
            with connect(served.port, b"Connection: close\r\n") as connection:
                assert read_all(connection).startswith(b"HTTP/1.1 200 ")
            assert time.monotonic() - start < 5
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(30) == 0
        for connection in half_sent:
            assert b"HTTP/1.1 503 " in read_all(connection)


@pytest.mark.long
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(workers, second, exported):
    flags = [f"--model={exported().directory}", f"--workers={workers}"]
    with gateway(*flags) as served, connect(served.port, cut=1) as connection:
        time.sleep(0.5)
        served.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        served.process.send_signal(second)
        connection.settimeout(4)  # less than the 5 s of a first signal
        with contextlib.suppress(ConnectionError):
            assert read_all(connection) == b""
        assert served.process.wait(TIMEOUT) == 0


@pytest.mark.long
@pytest.mark.parametrize("workers", [1, 2])
def test_no_request_is_lost_at_sigterm(workers, exported):
    """Clients connect until they are refused; each request that is sent is answered."""
    answers, refused, errors = [], [], []

    def ask(port):
        while True:
            try:
                connection = socket.create_connection(("127.0.0.1", port), TIMEOUT)
            except OSError as error:
                refused.append(type(error))
                return
            try:
                with connection:
                    connection.sendall(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
                    answers.append(read_all(connection)[:13])
            except OSError as error:
                errors.append(error)

    flags = [f"--model={exported().directory}", f"--workers={workers}"]
    with gateway(*flags) as served:
        threads = [threading.Thread(target=ask, args=[served.port]) for _ in range(16)]
        for thread in threads:
            thread.start()
        time.sleep(1)
        served.process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join()
        assert served.process.wait(TIMEOUT) == 0
    assert not errors
    assert {*answers} == {b"HTTP/1.1 200 "}
    assert {*refused} == {ConnectionRefusedError}
