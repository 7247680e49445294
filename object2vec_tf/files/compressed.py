"""Compressed files as streams: no more of their content is in memory than is read."""

from __future__ import annotations

import gzip
import io
from typing import Any, BinaryIO, cast

import pyarrow as pa

_CHUNK_BYTES = 1 << 20


def open_gzip(file: BinaryIO) -> BinaryIO:
    """Returns the decompressed bytes of a gzip file with any number of members.

    Args:
        file: The compressed file, which is closed together with the stream.
    """
    stream = gzip.GzipFile(fileobj=file)
    stream.myfileobj = cast(Any, file)
    return cast(BinaryIO, stream)


def open_zstd(file: BinaryIO) -> BinaryIO:
    """Returns the decompressed bytes of a zstd file with any number of frames.

    A frame that is not complete, and anything that is not a frame, is an `OSError` of
    a read. So is a window of more than 128 MB, as that of ``zstd --ultra --long=31``.

    Args:
        file: The compressed file, which is closed together with the stream.
    """
    return io.BufferedReader(_Zstd(file), _CHUNK_BYTES)


class _Zstd(io.RawIOBase):
    """The decompressed bytes of a zstd file, which notices truncated frames."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        source = pa.PythonFile(file, mode="r")
        self._stream = pa.CompressedInputStream(source, "zstd")

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        data = self._stream.read(len(target))
        target[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()
