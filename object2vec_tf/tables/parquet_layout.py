"""The layout of a table's Parquet files, in which a row is read by its position.

A file is uncompressed, and each of its row groups has one page per column. So the
vectors of a row group are consecutive float32 numbers of the file, after the header and
the levels of their page. Any reader of Parquet can read the file too.

Source: https://parquet.apache.org/docs/file-format/ (pages, and their headers in
Thrift's compact protocol).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from object2vec_tf.errors import UserError
from object2vec_tf.files.digests import DIGESTS
from object2vec_tf.tables.table_reader import ITEM_BYTES

# Recent versions of pyarrow end a page after 20,000 rows, and older ones have no option
# for it, so all row groups have fewer.
GROUP_ROWS: Final = 1 << 14
ID: Final = "id"
TOKEN: Final = "token"
VALUES: Final = "values"
# The checksums of a table's files. Readers of directories of Parquet files, such as
# those of Arrow and Spark, ignore files whose names start so.
TABLE_DIGESTS: Final = f"_{DIGESTS}"

WRITE_AGAIN = (
    "Copy the directory again from where it is intact, or export the model again with "
    "python -m export."
)
_ENCODINGS = frozenset({"PLAIN", "RLE", "BIT_PACKED"})
# An upper bound: a header without statistics has about 30 bytes.
_HEADER_BYTES = 256
# The start of a field of type i32 that follows the previous field directly.
_NEXT_I32 = 0x15


@dataclasses.dataclass(frozen=True)
class PartLayout:
    """Where the rows of one file are.

    Attributes:
        rows: Number of rows.
        width: Number of components of a vector.
        offsets: The position of the first vector of each row group, int64 ``[groups]``.
            All but the last one have `GROUP_ROWS` rows.
    """

    rows: int
    width: int
    offsets: npt.NDArray[np.int64]


def table_schema(width: int, has_tokens: bool) -> pa.Schema:
    """Returns the columns of a table's files.

    Args:
        width: Number of components of a vector.
        has_tokens: Whether the vocabulary is known.
    """
    vector = pa.list_(pa.field("element", pa.float32(), nullable=False), width)
    fields = [pa.field(ID, pa.int64(), nullable=False)]
    if has_tokens:
        fields.append(pa.field(TOKEN, pa.string()))
    return pa.schema([*fields, pa.field(VALUES, vector, nullable=False)])


def read_layout(path: Path) -> PartLayout:
    """Returns the layout of a file.

    Raises:
        UserError: It is no Parquet file, or has another layout.
    """
    with reported_as_other_layout(path), path.open("rb") as file:
        return _layout(pq.read_metadata(path), file)


@contextmanager
def reported_as_other_layout(path: Path) -> Iterator[None]:
    """Turns errors of a reader of Parquet into user errors.

    Args:
        path: The file that is read.

    Raises:
        UserError: There was an error.
    """
    try:
        yield
    except UserError:
        raise
    except (pa.ArrowException, OSError, EOFError, ValueError, KeyError) as error:
        message = " ".join(str(error).split()).rstrip(".")
        raise UserError(
            f"{path}: expected a Parquet file of token vectors as object2vec_tf writes "
            f"it: uncompressed, with one page per row group: {message}. {WRITE_AGAIN}"
        ) from error


def _layout(metadata: Any, file: BinaryIO) -> PartLayout:
    """Returns the layout that a file's metadata describe.

    Raises:
        ValueError: It is another one.
    """
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    if not groups:
        raise ValueError("expected rows, got none")
    rows = np.array([group.num_rows for group in groups])
    if any(rows[:-1] != GROUP_ROWS) or not 0 < rows[-1] <= GROUP_ROWS:
        sizes = np.unique(rows).tolist()
        raise ValueError(f"expected row groups of {GROUP_ROWS} rows, got {sizes}")
    columns = [_values_column(group) for group in groups]
    width, rest = divmod(columns[0].num_values, groups[0].num_rows)
    if rest:
        raise ValueError(f"expected one vector per row in {VALUES}")
    offsets = [
        _offset(column, int(count) * width, file)
        for column, count in zip(columns, rows, strict=True)
    ]
    return PartLayout(int(rows.sum()), width, np.array(offsets, np.int64))


def _values_column(group: Any) -> Any:
    """Returns the metadata of a row group's vectors."""
    columns = [group.column(i) for i in range(group.num_columns)]
    found = [x for x in columns if x.path_in_schema.split(".")[0] == VALUES]
    if len(found) != 1 or found[0].physical_type != "FLOAT":
        raise ValueError(f"expected a column {VALUES} of lists of float32")
    return found[0]


def _offset(column: Any, count: int, file: BinaryIO) -> int:
    """Returns the position of the first of the numbers in a column of a row group.

    Args:
        column: The metadata of the column.
        count: The number of its numbers.
        file: The file.

    Raises:
        ValueError: The numbers are not consecutive in the file.
    """
    is_plain = (
        column.compression == "UNCOMPRESSED"
        and not column.has_dictionary_page
        and _ENCODINGS.issuperset(column.encodings)
    )
    if not is_plain or column.num_values != count:
        raise ValueError(
            f"expected {count} plain numbers in a row group, got {column.num_values}, "
            f"{column.compression} and {', '.join(column.encodings)}"
        )
    size = column.total_compressed_size
    file.seek(column.data_page_offset)
    page = _page_size(file.read(_HEADER_BYTES))
    if not 0 < size - page <= _HEADER_BYTES:
        raise ValueError("expected one page per row group, got several")
    offset = int(column.data_page_offset + size - count * ITEM_BYTES)
    if count * ITEM_BYTES > page:
        raise ValueError(f"expected a page of {count} numbers, got {page} bytes")
    return offset


def _page_size(header: bytes) -> int:
    """Returns the size of a page without its header, in which it is the third field.

    Raises:
        ValueError: The header is not that of a page.
    """
    position, value = 0, 0
    for _ in range(3):
        if header[position : position + 1] != bytes([_NEXT_I32]):
            raise ValueError("expected the header of a page, got other bytes")
        value, position = _varint(header, position + 1)
    return value >> 1  # zigzag encoding of a number that is not negative


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """Returns an integer of 7 bits per byte, and the position after it."""
    value = shift = 0
    while position < len(data):
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            break
    return value, position
