"""Streams of lines, cut into blocks at line ends."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import zstandard

from object2vec_tf.errors import DataError

BLOCK_BYTES = 16 * 1024 * 1024
BOM = b"\xef\xbb\xbf"


def line_blocks(
    stream: BinaryIO, path: Path, size: int = BLOCK_BYTES
) -> Iterator[bytes]:
    """Yields the stream's bytes cut behind line ends; lines of any length."""
    rest: list[bytes] = []
    while True:
        try:
            data = stream.read(size)
        except (OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
            reason = getattr(error, "strerror", None) or error
            raise DataError(
                f"{path}: cannot be read to its end: {reason}; the file is damaged or "
                "incomplete, fetch or compress it again"
            ) from error
        end = data.rfind(b"\n") + 1
        if data and not end:
            rest.append(data)
            continue
        block = b"".join([*rest, data[:end]])
        rest = [data[end:]]
        if block:
            yield block
        if not data:
            return
