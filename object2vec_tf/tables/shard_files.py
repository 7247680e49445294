"""Shards of a table in files, and the table that several shards make up.

Shard ``s`` of ``n`` has the rows ``s, s + n, s + 2n, ...`` of the table: row ``i`` is
row ``i // n`` of shard ``i % n``. Vocabularies are sorted by frequency, so that ranges
of rows would give one shard all frequent tokens. A shard is a ``.npy`` file, which is
written and read in chunks: a table need not fit into memory.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import xxhash

from object2vec_tf.files.digests import FileDigest
from object2vec_tf.tables.table_reader import (
    CHUNK_BYTES,
    Rows,
    TableReader,
    read_chunks,
    rows_per_chunk,
)

_DTYPE = np.dtype("<f4")


def own_rows(rows: int, shard: int, shards: int) -> int:
    """Returns the number of rows of a shard.

    Args:
        rows: Number of rows of the table.
        shard: Index of the shard.
        shards: Number of shards.

    Example:
        >>> [own_rows(7, shard, 3) for shard in range(3)]
        [3, 2, 2]
    """
    return len(range(shard, rows, shards))


def write_rows(
    path: Path, reader: TableReader, max_bytes: int = CHUNK_BYTES
) -> FileDigest:
    """Writes a table, or a shard of one, and waits until it is on the disk.

    Args:
        path: The ``.npy`` file, in a directory that becomes visible later.
        reader: The rows, which are read in chunks.
        max_bytes: Largest size of a chunk; a chunk has at least one row.

    Returns:
        The digest of the file, computed while it was written.

    Raises:
        OSError: The file cannot be written.
    """
    digest, size = xxhash.xxh3_128(), 0
    with path.open("wb") as file:

        def write(data: bytes | memoryview) -> None:
            nonlocal size
            digest.update(data)
            size += file.write(data)

        write(_header(reader.rows, reader.width))
        for _, rows in read_chunks(reader, max_bytes):
            write(np.ascontiguousarray(rows, _DTYPE).reshape(-1).view(np.uint8).data)
        file.flush()
        os.fsync(file.fileno())
    return {"size": size, "xxh3_128": digest.hexdigest()}


class RowFile:
    """The rows in a ``.npy`` file; a `TableReader`.

    Rows are read, not mapped, so that they do not count as memory of the process.

    Args:
        path: The file, as `write_rows` writes it.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not a table of float32.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            if version != (1, 0):
                raise ValueError(f"{path}: expected version 1.0, got {version}")
            shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
            self._offset = file.tell()  # versions of numpy pad headers differently
        if len(shape) != 2 or is_fortran or dtype != _DTYPE:
            raise ValueError(
                f"{path}: expected float32 rows, got {dtype} of shape {shape}"
            )
        self.rows, self.width = shape
        expected = self._offset + self.rows * self.width * _DTYPE.itemsize
        if path.stat().st_size != expected:
            raise ValueError(
                f"{path}: expected {expected:,} bytes, got {path.stat().st_size:,}"
            )

    def read(self, start: int, stop: int) -> Rows:
        """See `TableReader`."""
        values = np.fromfile(
            self._path,
            _DTYPE,
            count=(stop - start) * self.width,
            offset=self._offset + start * self.width * _DTYPE.itemsize,
        )
        return values.reshape(stop - start, self.width)


class ShardedTableReader:
    """A table in shards; a `TableReader` of its rows in the order of ids.

    Args:
        shards: The shards, in the order of their indices.

    Raises:
        ValueError: They are not all shards of one table.

    Example:
        >>> import numpy as np
        >>> from object2vec_tf.tables.shard_files import ShardedTableReader
        >>> from object2vec_tf.tables.table_reader import ArrayReader
        >>> table = np.arange(10.0).reshape(5, 2)
        >>> shards = [ArrayReader(table[shard::3]) for shard in range(3)]
        >>> ShardedTableReader(shards).read(1, 4).tolist()
        [[2.0, 3.0], [4.0, 5.0], [6.0, 7.0]]
    """

    def __init__(self, shards: Sequence[TableReader]) -> None:
        if not shards:
            raise ValueError("shards: expected at least one, got none")
        self._shards = list(shards)
        self.rows = sum(shard.rows for shard in shards)
        self.width = shards[0].width
        count = len(shards)
        for index, shard in enumerate(shards):
            expected = (own_rows(self.rows, index, count), self.width)
            if (shard.rows, shard.width) != expected:
                raise ValueError(
                    f"shard {index} of {count}: expected rows and width {expected}, "
                    f"got {(shard.rows, shard.width)}"
                )

    def read(self, start: int, stop: int) -> Rows:
        """See `TableReader`."""
        return self.read_strided(start, 1, stop - start)

    def read_strided(self, start: int, step: int, count: int) -> Rows:
        """Returns the rows ``start, start + step, ...``.

        Of each shard, only the range of rows that contains them is read, and only of
        shards that have such rows.

        Args:
            start: The first row.
            step: Distance between two rows.
            count: Number of rows. The last one must be in the table.

        Returns:
            float32 ``[count, width]``.
        """
        shards = len(self._shards)
        found = np.empty([count, self.width], np.float32)
        divisor = math.gcd(step, shards)
        # Every `period`-th of the rows is in the same shard, `distance` rows apart.
        period, distance = shards // divisor, step // divisor
        for first in range(min(period, count)):
            row = start + first * step
            position, number = row // shards, len(range(first, count, period))
            last = position + (number - 1) * distance
            rows = self._shards[row % shards].read(position, last + 1)
            found[first::period] = rows[::distance]
        return found


def read_shard(
    table: TableReader, shard: int, shards: int, max_bytes: int = CHUNK_BYTES
) -> Iterator[tuple[int, Rows]]:
    """Yields the rows of one shard of a table in chunks of bounded size.

    The table may itself be in another number of shards.

    Args:
        table: The table.
        shard: Index of the shard.
        shards: Number of shards.
        max_bytes: Largest size of a chunk; a chunk has at least one row.

    Yields:
        The first row's position in the shard, and float32 ``[chunk, width]``.
    """
    if not isinstance(table, ShardedTableReader):
        table = ShardedTableReader([table])
    count = own_rows(table.rows, shard, shards)
    # What is read of a table with fewer shards contains rows of others.
    step = rows_per_chunk(table.width * shards, max_bytes)
    for start in range(0, count, step):
        size = min(step, count - start)
        yield start, table.read_strided(shard + start * shards, shards, size)


def _header(rows: int, width: int) -> bytes:
    """Returns the header of a ``.npy`` file of float32 rows."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream,
        {"descr": _DTYPE.str, "fortran_order": False, "shape": (rows, width)},
    )
    return stream.getvalue()
