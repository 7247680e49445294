"""HTTP connections that let every client read an early response before they close."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# Limits of the rest of a request that nobody reads, such as that of a body that is
# too large. They bound what one connection can cost.
DRAINED_BYTES: Final = 512 << 20
DRAIN_SECONDS: Final = 30.0
IDLE_SECONDS: Final = 5.0


class DrainingProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol, except that it reads the rest of a request first.

    A response may be sent before the request has been read, as for a body that is too
    large. A server that then closes its connection sends a reset, and a client that is
    still sending loses the response. Here, closing sends the end of the stream, reads
    and drops what the client still sends, and closes after its end, or at a limit, as
    nginx's ``lingering_close``. A connection that is kept alive has the same limits.

    Attributes:
        drained_bytes: The maximum number of bytes to drop.
        drain_seconds: The maximum time.
        idle_seconds: The maximum time without a byte.
    """

    drained_bytes = DRAINED_BYTES
    drain_seconds = DRAIN_SECONDS
    idle_seconds = IDLE_SECONDS

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # The last request that the client has sent completely.
        self._complete: object = None
        self._is_malformed = False
        self._is_closing = False
        self._dropped = 0
        self._deadline: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._socket: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Gives uvicorn a transport whose ``close`` drains."""
        self._socket = transport
        draining: Any = _DrainingTransport(transport, self)
        super().connection_made(draining)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops the timer."""
        self._stop_draining()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Drops data after the connection has been closed for writing."""
        if self._is_closing:
            self._drop(len(data))
        else:
            super().data_received(data)

    def on_message_complete(self) -> None:
        """Notes that the client has sent the whole request."""
        self._complete = self.cycle
        if self._deadline is not None:
            self._stop_draining()
        super().on_message_complete()

    def on_body(self, body: bytes) -> None:
        """Counts the parts of a body that come after its response."""
        if self.cycle is not None and self.cycle.response_complete:
            self._drop(len(body))
        else:
            super().on_body(body)

    def send_400_response(self, msg: str) -> None:
        """Answers a malformed request, the rest of which cannot be parsed."""
        self._is_malformed = True
        super().send_400_response(msg)

    def close(self) -> None:
        """Closes the connection after the rest of the current request."""
        assert self._socket
        if self._is_closing:
            return
        is_complete = self.cycle is self._complete and not self._is_malformed
        if is_complete or self._socket.is_closing():
            self._socket.close()
            return
        self._is_closing = True
        self.flow.resume_reading()
        self._socket.write_eof()
        self._drop(0)

    @property
    def is_closing(self) -> bool:
        """Whether no more requests are read from the connection."""
        assert self._socket
        return self._is_closing or self._socket.is_closing()

    def _drop(self, size: int) -> None:
        """Counts dropped bytes, and closes the connection at a limit."""
        assert self._socket
        now = self.loop.time()
        if self._deadline is None:
            self._deadline = now + self.drain_seconds
        self._dropped += size
        remaining = self._deadline - now
        if self._dropped > self.drained_bytes or remaining <= 0:
            self._socket.close()
            return
        if self._timer is not None:
            self._timer.cancel()
        seconds = min(self.idle_seconds, remaining)
        self._timer = self.loop.call_later(seconds, self._socket.close)

    def _stop_draining(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._deadline, self._dropped = None, None, 0


class _DrainingTransport:
    """A transport that leaves closing to its protocol."""

    def __init__(
        self, transport: asyncio.Transport, protocol: DrainingProtocol
    ) -> None:
        self._transport = transport
        self._protocol = protocol
        self.write = transport.write

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def close(self) -> None:
        """Closes the connection after the rest of the current request."""
        self._protocol.close()

    def is_closing(self) -> bool:
        """Returns whether no more requests are read from the connection."""
        return self._protocol.is_closing
