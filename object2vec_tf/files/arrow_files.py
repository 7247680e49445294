"""Files in Arrow's IPC format, read batch by batch.

They are not memory-mapped: if another program cuts a mapped file while it is read, the
system ends the process (SIGBUS).
"""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from object2vec_tf.errors import DataError

# What pyarrow raises for damaged files.
DAMAGE_ERRORS = (OSError, pa.ArrowException, UnicodeDecodeError)
_FILE_MAGIC = b"ARROW1"
# The start of each message of a stream, and its end. Before Arrow 0.15 the former was
# missing. See "IPC Streaming Format" in Arrow's specification.
_CONTINUATION = b"\xff\xff\xff\xff"
_END = bytes(4)


@contextmanager
def open_arrow(
    path: Path, columns: Collection[str] | None
) -> Iterator[tuple[pa.Schema, Iterator[pa.RecordBatch]]]:
    """Opens a file in Arrow's IPC format, as a file (Feather) or as a stream.

    Args:
        path: The file.
        columns: Names of the columns to read; None for all.

    Yields:
        The file's schema, and an iterator over its batches. Memory holds one of them.

    Raises:
        DataError: The file cannot be opened, or it is not an Arrow file.
    """
    with _open(path) as file:
        try:
            is_file = _first_bytes(file, len(_FILE_MAGIC)) == _FILE_MAGIC
            open_reader = pa.ipc.open_file if is_file else pa.ipc.open_stream
            schema = open_reader(file).schema
            wanted = [
                number
                for number, name in enumerate(schema.names)  # they may not be UTF-8
                if columns is None or name in columns
            ]
            if not is_file:
                _check_end(file)
            file.seek(0)
            options = pa.ipc.IpcReadOptions(included_fields=wanted)
            reader = open_reader(file, options=options)
        except (*DAMAGE_ERRORS, ValueError) as error:
            raise DataError(
                f"{path}: cannot be read as an Arrow IPC file or stream: "
                f"{reason(error)}. Write the file again."
            ) from error
        yield schema, _file_batches(reader) if is_file else iter(reader)


def reason(error: Exception) -> str:
    """Returns the message of an error of pyarrow in one line."""
    return " ".join(str(error).split()).rstrip(".")


@contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise DataError(f"{path}: cannot be opened: {error.strerror}.") from error
    with file:
        yield file


def _first_bytes(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    file.seek(0)
    return data


def _check_end(file: BinaryIO) -> None:
    """Checks that a stream is complete, which Arrow does not.

    Raises:
        ValueError: It has no end mark.
    """
    end = _END
    if _first_bytes(file, len(_CONTINUATION)) == _CONTINUATION:
        end = _CONTINUATION + _END
    size = file.seek(0, io.SEEK_END)
    file.seek(max(size - len(end), 0))
    if file.read() != end:
        raise ValueError("the stream has no end mark, so it is not complete")


def _file_batches(reader: Any) -> Iterator[pa.RecordBatch]:
    for number in range(reader.num_record_batches):
        yield reader.get_batch(number)
