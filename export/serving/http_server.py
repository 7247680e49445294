"""The gateway's HTTP server: uvicorn, except for its limits, its start and its end."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import resource
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Iterator
from types import FrameType
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette

from export.serving.http_connections import (
    GRACE_SECONDS,
    GatewayProtocol,
)
from export.serving.http_requests import SharedState
from export.serving.listening import refuse_new
from object2vec_tf.progress import end_all

# Seconds between two looks for clients that exceed a limit while the server stops;
# before, uvicorn looks every 0.1 seconds.
_LOOK_SECONDS: Final = 0.02
# Seconds for what remains after the last connection, such as a version that is being
# loaded. A thread cannot be ended: the process is.
_END_SECONDS: Final = 4.0
_FORCED_END_SECONDS: Final = 1.0
# Open files besides the connections that are within their limit.
_OTHER_FILES: Final = 512
# Seconds in which handshakes that have begun are completed.
HANDSHAKE_SECONDS: Final = 0.05


class HttpServer(uvicorn.Server):
    """A server that waits for no client longer than its limits.

    After SIGTERM or SIGINT it accepts connections for `GRACE_SECONDS` more, answers the
    requests that it has accepted, and closes all connections. It ends after
    ``drain_timeout_seconds`` at the latest. A second signal ends it at once.

    Args:
        application: Answers the requests.
        message: The line to print when it listens.
        shared: The limits, and what the connections share.
        protocol: The class of connections.
    """

    def __init__(
        self,
        application: Starlette,
        message: str,
        shared: SharedState | None = None,
        protocol: type[GatewayProtocol] = GatewayProtocol,
    ) -> None:
        self._shared = shared or SharedState()
        connection: Any = functools.partial(protocol, shared=self._shared)
        config = uvicorn.Config(
            application,
            http=connection,
            ws="none",
            log_level="warning",
            access_log=False,
            lifespan="on",
            timeout_graceful_shutdown=1,  # after the time to drain
        )
        super().__init__(config)
        self._message = message
        self._late: set[Any] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts to accept connections."""
        await super().startup(sockets)
        end_all()
        print(self._message, flush=True)

    async def on_tick(self, counter: int) -> bool:
        """Ends what clients did not complete in time; called every 0.1 seconds."""
        self._expire_connections()
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Asks the server to stop, and at the second signal to do so at once."""
        seconds = self._shared.limits.drain_timeout_seconds + _END_SECONDS
        if self.should_exit:
            self.force_exit = True
            seconds = _FORCED_END_SECONDS
        _end_process_after(seconds)
        self._captured_signals.append(sig)
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finishes the accepted requests, and closes all connections."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._shared.limits.drain_timeout_seconds
        self._shared.is_stopping = True
        for connection in self._connections():
            connection.shutdown()
        await self._drain(min(loop.time() + GRACE_SECONDS, deadline))
        for listener in sockets or []:
            refuse_new(listener)
        await self._drain(min(loop.time() + HANDSHAKE_SECONDS, deadline))
        await self._stop_accepting(sockets or [])
        await self._drain(deadline, until_closed=True)
        for connection in self._connections():
            connection.abort()
        await super().shutdown(sockets)
        if self.force_exit:  # uvicorn does not end the application then
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_FORCED_END_SECONDS / 2):
                    await self.lifespan.shutdown()

    async def _drain(self, deadline: float, until_closed: bool = False) -> None:
        """Answers requests until a time, or until all connections are closed."""
        loop = asyncio.get_running_loop()
        while not self.force_exit and loop.time() < deadline:
            if until_closed and not self.server_state.connections:
                break
            await asyncio.sleep(_LOOK_SECONDS)
            self._expire_connections()

    async def _stop_accepting(self, listeners: list[socket.socket]) -> None:
        """Closes the sockets that listen, after what the kernel has accepted."""
        waiting = [c for listener in listeners for c in _accepted(listener)]
        for server in self.servers:
            server.close()
        loop = asyncio.get_running_loop()
        for connection in waiting:
            with contextlib.suppress(OSError):  # the client has closed it
                await loop.connect_accepted_socket(self._new_connection, connection)

    def _new_connection(self) -> asyncio.Protocol:
        protocol: Any = self.config.http_protocol_class
        connection: asyncio.Protocol = protocol(
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )
        return connection

    def _connections(self) -> list[Any]:
        return list(self.server_state.connections)

    def _expire_connections(self) -> None:
        # A connection is late at two looks: if the event loop was busy, what the client
        # has sent in time is read between them.
        now = asyncio.get_running_loop().time()
        late = {c for c in self._connections() if c.expiry <= now}
        for connection in late & self._late:
            connection.expire(now)
        self._late = late


def allow_connections(count: int) -> None:
    """Raises the limit of open files of this process, for a number of connections.

    Args:
        count: The number.

    Example:
        >>> allow_connections(10)
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = count + _OTHER_FILES
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        warnings.warn(
            f"--max_connections={count} needs {needed} open files, and this system "
            f"allows {hard}. Raise the limit (ulimit -n), or give a smaller number.",
            stacklevel=1,
        )
        needed = hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def _accepted(listener: socket.socket) -> Iterator[socket.socket]:
    """Accepts the connections that wait in the kernel's queue."""
    listener.setblocking(False)
    with contextlib.suppress(OSError):  # there are no more
        while True:
            connection, _ = listener.accept()
            connection.setblocking(False)
            yield connection


def _end_process_after(seconds: float) -> None:
    """Ends this process, unless it ends before by itself.

    Args:
        seconds: The time.
    """

    def end() -> None:
        print("warning: stopped before all requests were answered", file=sys.stderr)
        sys.stderr.flush()
        os._exit(128 + signal.SIGTERM)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
