"""A light HTTP load generator: one thread, many connections, prepared requests."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import http.client
import socket
import time
from collections.abc import Iterator, Sequence
from typing import cast

import uvloop

_END_OF_HEADERS = b"\r\n\r\n"
_LENGTH = b"content-length: "


def request(
    body: bytes, content_type: str = "application/json", path: str = "/invocations"
) -> bytes:
    """Returns the bytes of a POST request."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: gateway\r\nContent-Type: {content_type}"
        f"\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@dataclasses.dataclass
class Load:
    """The measurements of a load.

    Attributes:
        seconds: Duration of the load.
        latencies: Seconds from sending each request to the end of its response.
        failures: Number of responses with a status other than 200.
    """

    seconds: float
    latencies: list[float]
    failures: int

    @property
    def requests_per_second(self) -> float:
        """Responses per second."""
        return len(self.latencies) / self.seconds


class _Connection(asyncio.Protocol):
    def __init__(self, requests: Iterator[bytes], load: Load, deadline: float) -> None:
        self._requests = requests
        self._load = load
        self._deadline = deadline
        self._received = b""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def _send(self) -> None:
        self._start = time.perf_counter()
        if self._start >= self._deadline:
            self._transport.close()
            self.done.set_result(None)
            return
        self._transport.write(next(self._requests))

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(_END_OF_HEADERS)
        if end < 0:
            return
        head = self._received[:end].lower()
        start = head.index(_LENGTH) + len(_LENGTH)
        length = int(head[start:].split(b"\r\n", 1)[0])
        if len(self._received) < end + len(_END_OF_HEADERS) + length:
            return
        self._load.latencies.append(time.perf_counter() - self._start)
        self._load.failures += b" 200 " not in head.split(b"\r\n", 1)[0]
        self._received = b""
        self._send()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(
                error or ConnectionError("the server closed the connection")
            )


def run(
    host: str, port: int, requests: Sequence[bytes], connections: int, seconds: float
) -> Load:
    """Sends requests over several connections; each waits for its response.

    Args:
        host: Host of the server.
        port: Port of the server.
        requests: The requests; they are repeated.
        connections: Number of concurrent connections.
        seconds: Duration of the load.
    """
    return uvloop.run(_run(host, port, requests, connections, seconds))


async def _run(
    host: str, port: int, requests: Sequence[bytes], connections: int, seconds: float
) -> Load:
    loop = asyncio.get_running_loop()
    load, start = Load(0.0, [], 0), time.perf_counter()
    finished = []
    for i in range(connections):
        repeated = _repeat(requests, i * len(requests) // connections)
        connection = _Connection(repeated, load, start + seconds)
        await loop.create_connection(
            functools.partial(_identity, connection), host, port
        )
        finished.append(connection.done)
    await asyncio.gather(*finished)
    load.seconds = time.perf_counter() - start
    return load


def _identity(connection: _Connection) -> _Connection:
    return connection


def _repeat(requests: Sequence[bytes], start: int) -> Iterator[bytes]:
    i = start
    while True:
        yield requests[i % len(requests)]
        i += 1


def responses(host: str, port: int, requests: Sequence[bytes]) -> list[bytes]:
    """Returns the bodies of the responses to requests, each over a new connection.

    Args:
        host: Host of the server.
        port: Port of the server.
        requests: The requests.
    """
    bodies = []
    for content in requests:
        with socket.create_connection((host, port)) as connection:
            connection.sendall(content)
            response = http.client.HTTPResponse(connection)
            response.begin()
            bodies.append(response.read())
    return bodies
