"""HTTP requests of the gateway: received completely, or rejected."""

from __future__ import annotations

import dataclasses
import http
import json
import math
from typing import Any, Final

import httptools

from export.serving.http_errors import TF_SERVING_PATH
from export.serving.http_protocol import DrainingProtocol
from export.serving.settings import (
    MAX_CONCURRENCY,
    MAX_REQUEST_BYTES,
    ConnectionLimits,
)

# The bodies that are being received may take this many bytes together, or eight bodies
# of the maximum size if those are larger.
_RECEIVED_BYTES: Final = 512 << 20
# Headers take memory beyond their bytes. RFC 9113, section 6.5.2, counts this size.
_HEADER_BYTES: Final = 32
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


class RequestProtocol(DrainingProtocol):
    """A connection whose requests reach the application when they are complete.

    In addition to uvicorn's protocol:

    * The application gets a request when the client has sent all of it, or more than
      the application accepts. A client that stops sending uses none of its resources.
    * A request whose headers are too large gets status 431.
    * A request with a header ``Upgrade``, such as those of Java's HTTP client, is
      answered in HTTP/1.1. uvicorn loses its body.
    * Complete requests are answered although the client has sent something malformed
      after them.

    Args:
        *args: uvicorn's.
        shared: What the connections of the gateway share.
        **options: uvicorn's.

    Attributes:
        expiry: The time of the event loop at which the client is late.
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

    def _await_rest(self) -> None:
        """Limits the time until the rest of a request arrives."""

    def _set_expiry(self) -> None:
        """Limits the time of what the connection waits for."""

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
        self._count_head(len(name) + len(value) + _HEADER_BYTES)
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
        super().on_headers_complete()  # raises for a path that is not a URL
        self._unanswered += 1
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

    # Rejected requests

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


class _Rejected(Exception):
    """Ends the parsing of a request that has been rejected."""
