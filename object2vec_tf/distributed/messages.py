"""JSON messages between workers, one per line."""

from __future__ import annotations

import asyncio
import json
from typing import Any


async def read_message(reader: asyncio.StreamReader) -> dict[str, Any]:
    """Returns the next message.

    Raises:
        ValueError: It is no JSON object, or the connection was closed.
    """
    message = json.loads(await reader.readline())
    if not isinstance(message, dict):
        raise ValueError("not an object")
    return message


async def write_message(writer: asyncio.StreamWriter, message: dict[str, Any]) -> None:
    """Sends a message."""
    writer.write(json.dumps(message).encode() + b"\n")
    await writer.drain()
