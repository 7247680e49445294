"""HTTP connections of the gateway: their limits, and clients that are slow or stuck."""

from __future__ import annotations

import asyncio
import dataclasses
import http
import json
import math
from collections.abc import Iterable
from typing import Any, Final

import httptools

from export.serving.http_errors import TF_SERVING_PATH
from export.serving.http_protocol import DrainingProtocol
from export.serving.settings import (
    MAX_CONCURRENCY,
    MAX_REQUEST_BYTES,
    ConnectionLimits,
)

# Seconds after SIGTERM in which new connections are accepted and idle ones stay open,
# for requests that have been sent before the client sees that the gateway stops.
GRACE_SECONDS: Final = 0.3
# Seconds after SIGTERM in which a client may complete a request.
COMPLETION_SECONDS: Final = 5.0
# Seconds after SIGTERM until a client that sends nothing more is disconnected after its
# response.
_LAST_IDLE_SECONDS: Final = 1.0
# Connections above the limit that get status 503; more are closed at once.
_REFUSED_CONNECTIONS: Final = 256
# The bodies that are being received may take this many bytes together, or eight bodies
# of the maximum size if those are larger.
_RECEIVED_BYTES: Final = 512 << 20
_TF_SERVING: Final = TF_SERVING_PATH.encode() + b"/"


@dataclasses.dataclass
class SharedState:
    """What the connections of a gateway share.

    Attributes:
        limits: Their limits.
        max_request_bytes: The maximum size of a body that the application accepts.
        max_early_requests: The maximum number of requests with ``Expect: 100-continue``
            that the application gets before their body. They count as in progress.
        received_bytes: The size of the bodies that are being received.
        early_requests: The number of requests that the application has without their
            body.
        is_stopping: Whether the gateway stops: connections end with their response.
    """

    limits: ConnectionLimits = dataclasses.field(default_factory=ConnectionLimits)
    max_request_bytes: int = MAX_REQUEST_BYTES
    max_early_requests: int = MAX_CONCURRENCY // 4
    received_bytes: int = 0
    early_requests: int = 0
    is_stopping: bool = False

    @property
    def max_received_bytes(self) -> int:
        """The maximum of ``received_bytes``."""
        return max(_RECEIVED_BYTES, 8 * self.max_request_bytes)


class GatewayProtocol(DrainingProtocol):
    """A connection that answers what it has accepted, and waits for no client forever.

    In addition to uvicorn's protocol:

    * The application gets a request when the client has sent all of it, or more than
      the application accepts. A client that stops sending uses none of its resources.
    * Headers, bodies, idle connections and responses have the limits of
      `ConnectionLimits`. A request whose rest does not arrive gets status 408, one
      whose headers are too large 431, and one above the limit of connections 503.
    * A request with a header ``Upgrade``, such as those of Java's HTTP client, is
      answered in HTTP/1.1. uvicorn loses its body.
    * Complete requests are answered although the client has ended its side of the
      connection, or has sent something malformed after them.
    * After SIGTERM, requests that were sent before are answered.

    Args:
        *args: uvicorn's.
        shared: What the connections of the gateway share.
        **options: uvicorn's.

    Attributes:
        expiry: The time of the event loop at which `expire` is to be called.
        idle_since: The time since which no request is open; None if there is one.
    """

    def __init__(
        self, *args: Any, shared: SharedState | None = None, **options: Any
    ) -> None:
        super().__init__(*args, **options)
        self.expiry = math.inf
        self.idle_since: float | None = None
        self._shared = shared or SharedState()
        self._limits = self._shared.limits
        self._is_refused = False
        # The head that is being received, if there is one.
        self._is_in_head = self._is_new_head = False
        self._head_bytes = self._raw_head_bytes = 0
        self._began: float | None = None
        # The request that is being received: its task starts when it is complete.
        self._incomplete: tuple[Any, Any] | None = None
        # The request whose body the application receives while it arrives.
        self._early: Any = None
        self._body_length = self._body_bytes = self._received_bytes = 0
        self._body_expiry = math.inf
        # The number of requests that the application has, or will get.
        self._unanswered = 0
        # Status and message of the last response, to a request that is not valid.
        self._rejection: tuple[int, str] | None = None
        # The size of what the client had not read at the last look.
        self._unsent = math.inf

    # The connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts to wait for the first request."""
        super().connection_made(transport)
        excess = len(self.connections) - self._limits.max_connections
        if excess > 0 and not _close_longest_idle(self.connections):
            self._is_refused = True
            if excess > _REFUSED_CONNECTIONS:
                transport.abort()
                return
        self.idle_since = self.loop.time()
        seconds = self._limits.header_timeout_seconds
        if self._shared.is_stopping:
            seconds = min(seconds, GRACE_SECONDS)
        self.expiry = self.idle_since + seconds

    def connection_lost(self, exc: Exception | None) -> None:
        """Releases what the connection has received."""
        self._forget_incomplete()
        self._end_early()
        self.expiry, self.idle_since = math.inf, None
        super().connection_lost(exc)

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """Keeps the connection open for the responses to complete requests."""
        if self.is_closing:
            return None
        if self._is_in_head or self._is_in_body:
            self._reject(400, "expected a complete request, got the end of the stream")
            return self._unanswered > 0
        if not self._unanswered:
            return None
        self.cycle.keep_alive = False
        return True

    def shutdown(self) -> None:
        """Ends the connection after the requests that were sent before."""
        now = self.loop.time()
        self.idle_seconds = min(self.idle_seconds, _LAST_IDLE_SECONDS)
        if self._is_in_head or self._is_in_body:
            self._body_expiry = min(self._body_expiry, now + COMPLETION_SECONDS)
            self.expiry = min(self.expiry, self._body_expiry)
        elif not self._unanswered and not self.is_closing:
            self.expiry = min(self.expiry, now + GRACE_SECONDS)
        if self._unanswered:
            self.cycle.keep_alive = False

    def close(self) -> None:
        """Closes the connection after the rest of the current request."""
        self.idle_since, self._unsent = None, math.inf
        self.expiry = self.loop.time() + self._limits.stall_timeout_seconds
        super().close()

    def abort(self) -> None:
        """Closes the connection at once."""
        if self._socket is not None:
            self._socket.abort()

    def pause_writing(self) -> None:
        """Starts to wait for a client that does not read its response."""
        super().pause_writing()
        self._unsent = math.inf
        self.expiry = self.loop.time() + self._limits.stall_timeout_seconds

    def resume_writing(self) -> None:
        """Waits for something else."""
        super().resume_writing()
        if not self.is_closing:
            self._set_expiry()

    # Requests

    def data_received(self, data: bytes) -> None:
        """Parses requests."""
        if self.is_closing:
            super().data_received(data)
            return
        rest: bytes | None = data
        while rest is not None and self._rejection is None:
            rest = self._parse(rest)
        if self._is_in_head or self._incomplete or self._early:
            self._await_rest()

    def _parse(self, data: bytes) -> bytes | None:
        """Parses data; returns what is to be parsed next, None if there is nothing."""
        self._is_new_head = False
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self.parser.get_method() == b"CONNECT":
                self.cycle.keep_alive = False  # after the error that it gets
                return None
            return self._without_upgrade() + data[upgrade.args[0] :]
        except httptools.HttpParserError:
            if self._rejection is None:
                self._reject(400, "expected an HTTP request, got a malformed one")
            return None
        if self._is_in_head and not self._is_new_head:
            # The parser reports a header, or a path, when it is complete.
            self._raw_head_bytes += len(data)
            if self._raw_head_bytes > self._limits.max_header_bytes:
                self._reject_large_head()
        return None

    def _without_upgrade(self) -> bytes:
        """Returns the head of the request for a new parser, which does not upgrade."""
        method, version = self.parser.get_method(), self.parser.get_http_version()
        lines = [b"%b %b HTTP/%b" % (method, self.url, version.encode())]
        lines += [b"%b: %b" % pair for pair in self.headers if pair[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return b"\r\n".join([*lines, b"", b""])

    def _await_rest(self) -> None:
        """Limits the time until the rest of a request arrives."""
        if self._rejection is not None or self.is_closing or self.flow.write_paused:
            return
        now = self.loop.time()
        if self._began is None:
            self._began = now
        if not self._is_in_head:
            if self._body_expiry == math.inf:
                self._body_expiry = now + self._limits.body_timeout_seconds
            stall = now + self._limits.stall_timeout_seconds
            self.expiry = min(self._body_expiry, stall)
        elif not self._unanswered:
            self.expiry = self._began + self._limits.header_timeout_seconds
        if self._shared.is_stopping:
            self.expiry = min(self.expiry, now + COMPLETION_SECONDS)

    @property
    def _is_upgrading(self) -> bool:
        """Whether the current request will be parsed again."""
        upgrades: bool = self.parser.should_upgrade()
        return upgrades and self.parser.get_method() != b"CONNECT"

    @property
    def _is_in_body(self) -> bool:
        """Whether the body of the newest request is not complete."""
        return self.cycle is not self._complete

    def on_message_begin(self) -> None:
        """Starts to receive a request."""
        self._is_in_head = self._is_new_head = True
        self._head_bytes = self._raw_head_bytes = self._body_length = 0
        self._began = self.idle_since = None
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Adds to the path."""
        self._count_head(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Adds a header. Those after a chunked body are dropped."""
        self._count_head(len(name) + len(value))
        if not self._is_in_head:
            return
        super().on_header(name, value)
        if self.headers[-1][0] == b"content-length" and value.isdigit():
            self._body_length = int(value)

    def _count_head(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > self._limits.max_header_bytes:
            self._reject_large_head()
            raise _Rejected

    def _reject_large_head(self) -> None:
        limit = self._limits.max_header_bytes
        self._reject(
            431, f"expected a path and headers of at most {limit} bytes, got more"
        )

    def on_headers_complete(self) -> None:
        """Starts to receive the body, of which there may be none."""
        if self._is_upgrading:
            return
        self._is_in_head = False
        self._body_bytes, self._body_expiry = 0, math.inf
        self._unanswered += 1
        super().on_headers_complete()
        if self._shared.is_stopping:
            self.cycle.keep_alive = False
        if self._is_refused:
            limit = self._limits.max_connections
            self._reject(
                503, f"expected at most {limit} connections, got more. Try again."
            )
            raise _Rejected

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        """Gives a request to the application, or waits for the rest of it."""
        if cycle is not self.cycle or cycle is self._complete:
            super()._start_asgi_task(cycle, app)
            return
        shared = self._shared
        if max(self._body_length, self._body_bytes) > shared.max_request_bytes:
            self._start_early(cycle, app)  # it gets status 413
        elif not cycle.waiting_for_100_continue:
            self._incomplete = cycle, app
        elif shared.early_requests < shared.max_early_requests:
            self._start_early(cycle, app)  # it may be rejected without its body
        else:
            self._incomplete = cycle, app
            cycle.waiting_for_100_continue = False
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _start_early(self, cycle: Any, app: Any) -> None:
        self._early = cycle
        self._shared.early_requests += 1
        if cycle.body:
            cycle.message_event.set()
        super()._start_asgi_task(cycle, app)

    def _end_early(self) -> None:
        if self._early is not None:
            self._early = None
            self._shared.early_requests -= 1

    def on_body(self, body: bytes) -> None:
        """Adds to the body that is being received."""
        if self.cycle.response_complete or not (self._incomplete or self.pipeline):
            super().on_body(body)  # dropped, or read by the application
            return
        size = len(body)
        self.cycle.body += body
        self._body_bytes += size
        self._received_bytes += size
        self._shared.received_bytes += size
        if self._shared.received_bytes > self._shared.max_received_bytes:
            self._reject(
                503, "expected bodies of other requests to be smaller. Try again."
            )
            raise _Rejected
        if self._incomplete and self._body_bytes > self._shared.max_request_bytes:
            cycle, app = self._incomplete
            self._incomplete = None
            self._release_received()
            self._start_early(cycle, app)

    def on_message_complete(self) -> None:
        """Gives a complete request to the application."""
        if self._is_upgrading:
            return
        super().on_message_complete()
        if self.cycle.response_complete:
            self._set_expiry()
            return
        if not self.flow.write_paused:
            self.expiry = math.inf
        self._end_early()
        self._release_received()
        if self._incomplete:
            cycle, app = self._incomplete
            self._incomplete = None
            super()._start_asgi_task(cycle, app)

    def _forget_incomplete(self) -> None:
        if self._incomplete:
            self._incomplete[0].body.clear()
            self._incomplete = None
        self._release_received()

    def _release_received(self) -> None:
        self._shared.received_bytes -= self._received_bytes
        self._received_bytes = 0

    # Responses

    def on_response_complete(self) -> None:
        """Answers the next request, or what came after the last one."""
        self._unanswered -= 1
        self._end_early()
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        if self._rejection is not None and not self._unanswered:
            self._send_rejection(*self._rejection)
        else:
            self._set_expiry()

    def _set_expiry(self) -> None:
        """Limits the time of what the connection waits for."""
        now = self.loop.time()
        if self.flow.write_paused:
            self.expiry = now + self._limits.stall_timeout_seconds
        elif self._is_in_head or self._incomplete or self._early:
            self._began = None
            self._await_rest()
        elif self._unanswered:
            self.expiry = math.inf
        else:
            self.idle_since = now
            seconds = self._limits.idle_timeout_seconds
            if self._shared.is_stopping:
                seconds = min(seconds, GRACE_SECONDS)
            self.expiry = now + seconds

    def send_400_response(self, msg: str) -> None:
        """Answers a malformed request, the rest of which cannot be parsed."""
        self._reject(400, msg)

    def _reject(self, status: int, message: str) -> None:
        """Sends an error after the responses to earlier requests, and closes."""
        self._rejection = status, message
        self._is_malformed = True
        if not self._is_in_head and self._is_in_body:
            self._disown_newest()
        if not self._unanswered:
            self._send_rejection(status, message)

    def _disown_newest(self) -> None:
        """Takes the newest request from the application, which sends no response."""
        cycle = self.cycle
        if cycle.response_complete:
            return
        self._unanswered -= 1
        self._end_early()
        self._forget_incomplete()
        if self.pipeline:
            self.pipeline.popleft()
        cycle.disconnected = True
        cycle.message_event.set()

    def _send_rejection(self, status: int, message: str) -> None:
        if self.is_closing:
            return
        error: Any = {"message": message}
        if self.cycle is not None and self.url.startswith(_TF_SERVING):
            error = message
        body = json.dumps({"error": error}).encode()
        lines = [
            f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}".encode(),
            *(b"%b: %b" % pair for pair in self.server_state.default_headers),
            b"content-type: application/json",
            b"content-length: %d" % len(body),
            b"connection: close",
        ]
        if status == 503:
            lines.append(b"retry-after: 1")
        self.transport.write(b"\r\n".join([*lines, b"", body]))
        self.transport.close()

    # Limits of time

    def expire(self, now: float) -> None:
        """Ends what the client did not complete in time.

        Args:
            now: The time of the event loop.
        """
        assert self._socket
        if self.is_closing or self.flow.write_paused:
            self._check_reading(now)
        elif self._is_in_head:
            seconds = self._limits.header_timeout_seconds
            self._reject_late(f"expected the end of the headers within {seconds:g} s")
        elif self._incomplete or self._early:
            limits = self._limits
            self._reject_late(
                "expected the rest of the body, got nothing for "
                f"{limits.stall_timeout_seconds:g} s, or not all of it within "
                f"{limits.body_timeout_seconds:g} s"
            )
        elif self._unanswered:
            self.expiry = math.inf
        else:
            self.transport.close()

    def _reject_late(self, message: str) -> None:
        if self._shared.is_stopping:
            self._reject(503, "the gateway stops. Send the request again.")
        else:
            self._reject(408, f"{message}. Send the request again.")

    def _check_reading(self, now: float) -> None:
        """Aborts the connection if the client reads nothing of a response."""
        assert self._socket
        unsent = self._socket.get_write_buffer_size()
        is_draining = not unsent and not self._socket.is_closing()
        if is_draining or 0 < unsent < self._unsent:
            self._unsent = unsent or math.inf
            self.expiry = now + self._limits.stall_timeout_seconds
        else:
            self._socket.abort()


class _Rejected(Exception):
    """Ends the parsing of a request that has been rejected."""


def _close_longest_idle(connections: Iterable[Any]) -> bool:
    """Closes the connection that is idle for the longest time, if there is one."""
    idle = [c for c in connections if c.idle_since is not None]
    if idle:
        min(idle, key=lambda connection: connection.idle_since).transport.close()
    return bool(idle)
