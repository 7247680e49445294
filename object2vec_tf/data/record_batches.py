"""Parquet and Arrow files as record batches of bounded size."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from object2vec_tf.errors import DataError
from object2vec_tf.files.channels import open_file
from object2vec_tf.files.fingerprints import Digest

# Bytes of a Parquet column that are read at a time.
_BUFFER_BYTES = 1 << 20
_BATCH_ROWS = 1 << 16
_HASHED_BYTES = 1 << 22
# Bytes of a memory-mapped Arrow file after which its pages are released.
_MAPPED_BYTES = 1 << 26
_PARQUET = ".parquet"
_ARROW = (".arrow", ".arrows", ".feather", ".ipc")
_DAMAGED = (OSError, pa.ArrowException)


def is_parquet(path: Path) -> bool:
    """Returns whether a file is Parquet, by its suffix."""
    return path.suffix.lower() == _PARQUET


def is_table_file(path: Path) -> bool:
    """Returns whether a file is Parquet or Arrow, by its suffix; else JSON Lines.

    Example:
        >>> is_table_file(Path("a.snappy.parquet")), is_table_file(Path("a.jsonl.gz"))
        (True, False)
    """
    return is_parquet(path) or path.suffix.lower() in _ARROW


def open_parquet(path: Path) -> pq.ParquetFile:
    """Opens a Parquet file without reading whole column chunks ahead.

    Raises:
        DataError: The file is not Parquet, or it is damaged.
    """
    try:
        return pq.ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False)
    except _DAMAGED as error:
        raise DataError(
            f"{path}: cannot be read as Parquet: {error}. Write the file again."
        ) from error


@contextmanager
def open_batches(
    path: Path,
    columns: Sequence[str],
    rows: int = _BATCH_ROWS,
    groups: range | None = None,
) -> Iterator[tuple[pa.Schema, Iterator[pa.RecordBatch]]]:
    """Opens a table file.

    Args:
        path: A file with a suffix of `is_table_file`.
        columns: Names of the columns to read; those that the file lacks are left out.
        rows: The maximum number of rows of a batch.
        groups: The row groups of a Parquet file to read; None for all.

    Yields:
        The file's schema, and an iterator over its record batches.

    Raises:
        DataError: The file is damaged.
    """
    if is_parquet(path):
        with open_parquet(path) as file:
            schema = file.schema_arrow
            found = [name for name in columns if name in schema.names]
            groups = range(file.num_row_groups) if groups is None else groups
            batches = file.iter_batches(rows, groups, found)
            yield schema, _checked(batches, path)
    else:
        with _open_arrow(path) as (schema, batches):
            yield schema, _checked(_slices(batches, columns, rows), path)


def _checked(batches: Iterator[pa.RecordBatch], path: Path) -> Iterator[pa.RecordBatch]:
    """Yields the batches.

    Raises:
        DataError: The file is damaged.
    """
    try:
        yield from batches
    except _DAMAGED as error:
        raise DataError(
            f"{path}: cannot be read to its end: {error}. The file is damaged: write "
            "it again."
        ) from error


def _slices(
    batches: Iterator[pa.RecordBatch], columns: Sequence[str], rows: int
) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        found = [name for name in columns if name in batch.schema.names]
        selected = batch.select(found)
        for start in range(0, len(batch), rows):
            yield selected.slice(start, rows)


@contextmanager
def _open_arrow(path: Path) -> Iterator[tuple[pa.Schema, Iterator[pa.RecordBatch]]]:
    """Opens a file in Arrow's IPC format, as a file (Feather) or as a stream."""
    with open_file(path) as file:
        try:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            source = pa.BufferReader(pa.py_buffer(mapped))
            is_file = mapped[:6] == b"ARROW1"
            reader = (pa.ipc.open_file if is_file else pa.ipc.open_stream)(source)
        except (*_DAMAGED, ValueError) as error:
            raise DataError(
                f"{path}: cannot be read as an Arrow IPC file or stream: {error}. "
                "Write the file again."
            ) from error
        batches = _file_batches(reader) if is_file else iter(reader)
        yield reader.schema, _released(batches, mapped)


def _file_batches(reader: Any) -> Iterator[pa.RecordBatch]:
    for number in range(reader.num_record_batches):
        yield reader.get_batch(number)


def _released(
    batches: Iterator[pa.RecordBatch], mapped: mmap.mmap
) -> Iterator[pa.RecordBatch]:
    """Yields batches, and keeps the resident memory of the mapped file bounded."""
    size = 0
    for batch in batches:
        yield batch
        size += batch.nbytes
        if size >= _MAPPED_BYTES:
            mapped.madvise(mmap.MADV_DONTNEED)
            size = 0


def hash_file(path: Path, digest: Digest) -> None:
    """Adds the bytes of a table file to a digest."""
    with open_file(path) as file:
        while data := file.read(_HASHED_BYTES):
            digest.update(data)
