"""Readers of token tables that need not fit into memory, and their rows in chunks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.float32]

CHUNK_BYTES = 1 << 26
ITEM_BYTES = 4


class TableReader(Protocol):
    """Reads consecutive rows of a table; row i belongs to the token with the id i.

    The memory that a call of `read` takes depends on the number of rows that it
    returns, and not on the size of the table.

    Attributes:
        rows: Number of rows.
        width: Number of columns.
    """

    @property
    def rows(self) -> int:
        """Number of rows."""

    @property
    def width(self) -> int:
        """Number of columns."""

    def read(self, start: int, stop: int) -> Rows:
        """Returns the rows from ``start`` up to ``stop``.

        Args:
            start: The first id.
            stop: The id after the last one; at most ``rows``.

        Returns:
            float32 ``[stop - start, width]``.
        """


class ArrayReader:
    """A table in memory, or an array that numpy maps; a `TableReader`.

    Args:
        array: Numbers ``[rows, width]``.

    Raises:
        ValueError: The array has another number of dimensions.

    Example:
        >>> import numpy as np
        >>> from object2vec_tf.tables.table_reader import ArrayReader
        >>> table = ArrayReader(np.arange(6.0).reshape(3, 2))
        >>> table.rows, table.width
        (3, 2)
        >>> table.read(1, 3).tolist()
        [[2.0, 3.0], [4.0, 5.0]]
    """

    def __init__(self, array: npt.NDArray[Any]) -> None:
        if array.ndim != 2:
            raise ValueError(f"array: expected [rows, width], got {array.shape}")
        self._array = array
        self.rows, self.width = map(int, array.shape)

    def read(self, start: int, stop: int) -> Rows:
        """See `TableReader`."""
        return np.ascontiguousarray(self._array[start:stop], np.float32)

    def take(self, ids: npt.NDArray[np.integer]) -> Rows:
        """Returns the rows of ids, float32 ``[ids, width]``."""
        return np.asarray(self._array[ids], np.float32)


class SideBySide:
    """The columns of several tables next to each other; a `TableReader`.

    Args:
        readers: Tables with the same number of rows.

    Raises:
        ValueError: The numbers of rows differ.

    Example:
        >>> import numpy as np
        >>> from object2vec_tf.tables.table_reader import ArrayReader, SideBySide
        >>> vectors = ArrayReader(np.zeros([2, 2]))
        >>> SideBySide([vectors, ArrayReader(np.ones([2, 1]))]).read(0, 1).tolist()
        [[0.0, 0.0, 1.0]]
    """

    def __init__(self, readers: Sequence[TableReader]) -> None:
        sizes = {reader.rows for reader in readers}
        if len(sizes) != 1:
            raise ValueError(f"readers: expected equal numbers of rows, got {sizes}")
        self._readers = readers
        (self.rows,) = sizes
        self.width = sum(reader.width for reader in readers)

    def read(self, start: int, stop: int) -> Rows:
        """See `TableReader`."""
        parts = [reader.read(start, stop) for reader in self._readers]
        return np.concatenate(parts, axis=1)


class TableColumns:
    """Some columns of a table; a `TableReader`.

    Args:
        table: The table.
        columns: Its columns.

    Attributes:
        table: As given.
    """

    def __init__(self, table: TableReader, columns: slice) -> None:
        self.table = table
        self._columns = columns
        self.rows = table.rows
        self.width = len(range(*columns.indices(table.width)))

    def read(self, start: int, stop: int) -> Rows:
        """See `TableReader`."""
        return np.ascontiguousarray(self.table.read(start, stop)[:, self._columns])


def rows_per_chunk(width: int, max_bytes: int = CHUNK_BYTES) -> int:
    """Returns how many float32 rows a number of bytes can hold, and at least one.

    Args:
        width: Number of columns.
        max_bytes: The number of bytes.
    """
    return max(1, max_bytes // (ITEM_BYTES * max(width, 1)))


def read_chunks(
    reader: TableReader, max_bytes: int = CHUNK_BYTES
) -> Iterator[tuple[int, Rows]]:
    """Yields all rows of a table in order, in chunks of bounded size.

    Args:
        reader: The table.
        max_bytes: Largest size of a chunk; a chunk has at least one row.

    Yields:
        The id of the first row, and float32 ``[chunk, width]``.

    Example:
        >>> import numpy as np
        >>> from object2vec_tf.tables.table_reader import ArrayReader, read_chunks
        >>> table = ArrayReader(np.zeros([5, 3]))
        >>> [(start, len(rows)) for start, rows in read_chunks(table, max_bytes=24)]
        [(0, 2), (2, 2), (4, 1)]
    """
    step = rows_per_chunk(reader.width, max_bytes)
    for start in range(0, reader.rows, step):
        yield start, reader.read(start, min(start + step, reader.rows))


def read_table(reader: TableReader) -> ArrayReader:
    """Returns a table in memory, which is read in chunks."""
    array = np.empty((reader.rows, reader.width), np.float32)
    for start, rows in read_chunks(reader):
        array[start : start + len(rows)] = rows
    return ArrayReader(array)
