"""The backend that answers requests, and its replacement while requests are running."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from export.serving.backends import Backend


class ActiveBackend:
    """Holds the backend that new requests use.

    Args:
        backend: The first backend.
        on_replace: Is called after each replacement.
    """

    def __init__(
        self, backend: Backend, on_replace: Callable[[], None] = lambda: None
    ) -> None:
        self._users = _Users(backend)
        self._on_replace = on_replace

    @property
    def backend(self) -> Backend:
        """The backend that new requests use."""
        return self._users.backend

    @contextlib.asynccontextmanager
    async def use(self) -> AsyncIterator[Backend]:
        """Yields the backend, which stays open until the end of the context."""
        users = self._users
        users.count += 1
        try:
            yield users.backend
        finally:
            users.count -= 1
            if users.replaced and not users.count:
                users.idle.set()

    async def replace(self, backend: Backend) -> None:
        """Replaces the backend, and closes the old one after its last request.

        Args:
            backend: New requests use it from now on.
        """
        users, self._users = self._users, _Users(backend)
        users.replaced = True
        self._on_replace()
        if users.count:
            await users.idle.wait()
        await users.backend.close()

    async def close(self) -> None:
        """Closes the backend."""
        await self.backend.close()


class _Users:
    """Counts the requests that use a backend."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.count = 0
        self.replaced = False
        self.idle = asyncio.Event()
