"""Writes tables of any size as Parquet files that can be mapped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from object2vec_tf.files.digests import write_digests
from object2vec_tf.tables.parquet_layout import (
    GROUP_ROWS,
    ID,
    TABLE_DIGESTS,
    TOKEN,
    VALUES,
    table_schema,
)
from object2vec_tf.tables.table_reader import ITEM_BYTES, TableReader

# The words of ids; None for an id without a word.
Tokens = Sequence[str | None]

PART_BYTES = 1 << 30
_PART_NAME = "part-{:05}.parquet"
_NO_LIMIT = (1 << 31) - 1


def write_parquet_table(
    reader: TableReader,
    directory: Path,
    tokens: Tokens | None = None,
    *,
    part_bytes: int = PART_BYTES,
) -> None:
    """Writes a table as Parquet files, with their checksums in ``_digests.json``.

    The columns are ``id``, ``token`` if the words are given, and ``values``: lists of
    float32 of a fixed size. The files are in the order of ids. Their layout is that of
    `object2vec_tf.tables.parquet_layout`. A row group is in memory at a time.

    Args:
        reader: The table.
        directory: The directory of the files, which must not exist or be empty. It is
            not written atomically: see `object2vec_tf.files.atomic.atomic_directory`.
        tokens: The word of each id; its length may differ from the number of rows. None
            if they are not known.
        part_bytes: About the largest size of a file.

    Raises:
        OSError: The files cannot be written.

    Example:
        >>> import pathlib
        >>> import numpy as np
        >>> import pyarrow.parquet as pq
        >>> from object2vec_tf.tables.parquet_writer import write_parquet_table
        >>> from object2vec_tf.tables.table_reader import ArrayReader
        >>> table = ArrayReader(np.array([[0.5, 1.0], [2.0, 3.0]]))
        >>> write_parquet_table(table, pathlib.Path("tables/enc0"), ["cat", "dog"])
        >>> pq.read_table("tables/enc0/part-00000.parquet").to_pylist()[1]
        {'id': 1, 'token': 'dog', 'values': [2.0, 3.0]}
    """
    directory.mkdir(parents=True, exist_ok=True)
    group_bytes = GROUP_ROWS * reader.width * ITEM_BYTES
    part_rows = GROUP_ROWS * max(1, part_bytes // group_bytes)
    schema = table_schema(reader.width, tokens is not None)
    for number, start in enumerate(range(0, reader.rows, part_rows)):
        stop = min(start + part_rows, reader.rows)
        with _writer(directory / _PART_NAME.format(number), schema) as writer:
            for group in _row_groups(reader, tokens, start, stop):
                writer.write_table(pa.table(group, schema), row_group_size=GROUP_ROWS)
    write_digests(directory, file=TABLE_DIGESTS)


def part_files(directory: Path) -> list[Path]:
    """Returns the files of a table in the order of ids."""
    return sorted(directory.glob(_PART_NAME.format(0).replace("00000", "*")))


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    return pq.ParquetWriter(
        path,
        schema,
        compression="none",
        use_dictionary=False,
        write_statistics=[ID],
        data_page_size=_NO_LIMIT,
    )


def _row_groups(
    reader: TableReader, tokens: Tokens | None, start: int, stop: int
) -> Iterator[list[pa.Array]]:
    """Yields the columns of each row group of a file."""
    for first in range(start, stop, GROUP_ROWS):
        last = min(first + GROUP_ROWS, stop)
        columns = {ID: pa.array(np.arange(first, last))}
        if tokens is not None:
            words = list(tokens[first:last])
            words += [None] * (last - first - len(words))
            columns[TOKEN] = pa.array(words, pa.string())
        vector = table_schema(reader.width, False).field(VALUES).type
        numbers = pa.array(reader.read(first, last).ravel())
        columns[VALUES] = pa.FixedSizeListArray.from_arrays(numbers, type=vector)
        yield list(columns.values())
