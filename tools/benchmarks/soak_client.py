"""The connection of a client of a soak, which can also be slow or go away."""

from __future__ import annotations

import asyncio

from tools.benchmarks.soak_requests import Request


class Client:
    """A connection, which is opened when it is needed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def write(self, data: bytes) -> None:
        """Sends data."""
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(
                "127.0.0.1", self._port
            )
        self._writer.write(data)

    async def read(self) -> bytes:
        """Returns some data; empty at the end of the stream."""
        assert self._reader
        return await self._reader.read(1 << 16)

    async def send(
        self, request: Request, send_seconds: float = 0.0, read_seconds: float = 0.0
    ) -> tuple[int, bytes]:
        """Sends a request; returns the status and the body of the answer."""
        parts = 12 if send_seconds else 1
        size = -(-len(request.data) // parts)
        for start in range(0, len(request.data), size):
            await self.write(request.data[start : start + size])
            await asyncio.sleep(send_seconds / parts)
        return await self.read_answer(read_seconds)

    async def read_answer(self, seconds: float = 0.0) -> tuple[int, bytes]:
        """Returns the status and the body of an answer."""
        assert self._reader
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
        parts, size = [], 0
        if "content-length: " in head:
            length = int(head.split("content-length: ")[1].split("\r\n")[0])
            while size < length:
                step = max(length // 10, 1) if seconds else length
                part = await self._reader.readexactly(min(step, length - size))
                parts.append(part)
                size += len(part)
                await asyncio.sleep(seconds / 10)
        else:
            while length := int(await self._reader.readline(), 16):
                parts.append(await self._reader.readexactly(length))
                await self._reader.readexactly(2)
                await asyncio.sleep(seconds / 100)
            await self._reader.readexactly(2)
        return int(head.split()[1]), b"".join(parts)

    def close(self, abort: bool = False) -> None:
        """Closes the connection."""
        if self._writer is not None:
            if abort:
                self._writer.transport.abort()
            self._writer.close()
        self._reader = self._writer = None
