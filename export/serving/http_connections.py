"""HTTP connections of the gateway: their limits, and clients that are slow or stuck."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable
from typing import Any, Final

from export.serving.http_requests import RequestProtocol

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


class GatewayProtocol(RequestProtocol):
    """A connection that answers what it has accepted, and waits for no client forever.

    In addition to `RequestProtocol`:

    * Headers, bodies, idle connections and responses have the limits of
      `ConnectionLimits`. A request whose rest does not arrive gets status 408, and one
      above the limit of connections 503.
    * Complete requests are answered although the client has ended its side of the
      connection.
    * After SIGTERM, requests that were sent before are answered.
    """

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

    # Limits of time

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

    def expire(self, now: float) -> None:
        """Ends what the client did not complete in time.

        Args:
            now: The time of the event loop.
        """
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


def _close_longest_idle(connections: Iterable[Any]) -> bool:
    """Closes the connection that is idle for the longest time, if there is one."""
    idle = [c for c in connections if c.idle_since is not None]
    if idle:
        min(idle, key=lambda connection: connection.idle_since).transport.close()
    return bool(idle)
