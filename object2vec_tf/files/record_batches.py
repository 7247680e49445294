"""Parquet and Arrow files as record batches of bounded size."""

from __future__ import annotations

import decimal
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from object2vec_tf.errors import DataError
from object2vec_tf.files.arrow_files import DAMAGE_ERRORS, open_arrow, reason
from object2vec_tf.files.channels import open_file
from object2vec_tf.files.fingerprints import Digest
from object2vec_tf.files.tensorflow_paths import tensorflow_path

# Bytes of a Parquet column that are read at a time.
_BUFFER_BYTES = 1 << 20
# Rows of a batch. With 500 ids per object, a batch has some 100 MB.
BATCH_ROWS = 1 << 14
_HASHED_BYTES = 1 << 22
_PARQUET = ".parquet"
_ARROW = (".arrow", ".arrows", ".feather", ".ipc")
_LINE_ROWS = 1 << 12
# Columns of pairs, whose types mappings() checks.
_FIELDS = ("in0", "in1", "label", "weight")
_JSON = orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY


def is_parquet(path: Path) -> bool:
    """Returns whether a file is Parquet, by its suffix, or without one by content."""
    return path.suffix.lower() == _PARQUET or _starts_with(path, b"PAR1")


def is_table_file(path: Path) -> bool:
    """Returns whether a file is Parquet or Arrow; else it is JSON Lines.

    A name without a suffix, as in many S3 buckets, says nothing: the first bytes do.

    Example:
        >>> is_table_file(Path("a.snappy.parquet")), is_table_file(Path("a.jsonl.gz"))
        (True, False)
    """
    is_arrow = path.suffix.lower() in _ARROW or _starts_with(path, b"ARROW1")
    return is_arrow or is_parquet(path)


def _starts_with(path: Path, magic: bytes) -> bool:
    """Returns whether a regular file without a suffix starts with some bytes."""
    if path.suffix or not path.is_file():
        return False
    with open_file(path) as file:
        return file.read(len(magic)) == magic


def open_parquet(path: Path) -> pq.ParquetFile:
    """Opens a Parquet file without reading whole column chunks ahead.

    Raises:
        DataError: The file is not Parquet, or it is damaged.
    """
    try:
        with tensorflow_path(path) as name:
            file = pq.ParquetFile(
                name,
                buffer_size=_BUFFER_BYTES,
                pre_buffer=False,
                page_checksum_verification=True,
            )
        _ = file.schema_arrow.names  # which may not be UTF-8
        return file
    except DAMAGE_ERRORS as error:
        raise DataError(
            f"{path}: cannot be read as Parquet: {reason(error)}. Write the file again."
        ) from error


@contextmanager
def open_batches(
    path: Path,
    columns: Sequence[str] | None,
    rows: int = BATCH_ROWS,
    groups: range | None = None,
    *,
    threads: bool = True,
) -> Iterator[tuple[pa.Schema, Iterator[pa.RecordBatch]]]:
    """Opens a table file.

    Args:
        path: A file with a suffix of `is_table_file`.
        columns: Names of the columns to read; those that the file lacks are left out.
            None for all.
        rows: The maximum number of rows of a batch.
        groups: The row groups of a Parquet file to read; None for all.
        threads: Whether several columns of a Parquet file are decoded at a time.

    Yields:
        The file's schema, and an iterator over its record batches.

    Raises:
        DataError: The file is damaged.
    """
    if is_parquet(path):
        with open_parquet(path) as file:
            schema = file.schema_arrow
            found = _found(columns, schema)
            groups = range(file.num_row_groups) if groups is None else groups
            batches = file.iter_batches(rows, groups, found, use_threads=threads)
            yield schema, _checked(batches, path)
    else:
        with open_arrow(path, columns) as (schema, batches):
            yield schema, _checked(_slices(batches, columns, rows), path)


def _checked(batches: Iterator[pa.RecordBatch], path: Path) -> Iterator[pa.RecordBatch]:
    """Yields the batches.

    Raises:
        DataError: The file is damaged.
    """
    try:
        yield from batches
    except DAMAGE_ERRORS as error:
        raise DataError(
            f"{path}: cannot be read to its end: {reason(error)}. The file is "
            "damaged: write it again."
        ) from error


def _found(columns: Sequence[str] | None, schema: pa.Schema) -> list[str]:
    names: list[str] = schema.names
    return names if columns is None else [name for name in columns if name in names]


def _slices(
    batches: Iterator[pa.RecordBatch], columns: Sequence[str] | None, rows: int
) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        selected = batch.select(_found(columns, batch.schema))
        # Arrow reads whatever offsets a damaged file has, in and out of its memory.
        selected.validate(full=True)
        for start in range(0, len(batch), rows):
            yield selected.slice(start, rows)


def table_lines(path: Path, rows: int = _LINE_ROWS) -> Iterator[bytes]:
    """Yields the rows of a table file as lines of JSON, with all columns.

    Args:
        path: A file with a suffix of `is_table_file`.
        rows: The number of rows per block. Line *i* of all blocks is row *i*.

    Raises:
        DataError: The file is damaged.
    """
    with open_batches(path, None, rows) as (_, batches):
        row = 1
        for batch in batches:
            yield json_lines(mappings(batch, f"{path}", row))
            row += len(batch)


def mappings(batch: pa.RecordBatch, name: str, first_row: int) -> list[Any]:
    """Returns the rows of a record batch as mappings.

    Args:
        batch: The rows.
        name: The file or the table, for messages.
        first_row: The number of the first of them.

    Raises:
        DataError: Python has no such value: text that is not UTF-8, or, for example, a
            time after the year 9999. Or a column of pairs has periods or intervals.
    """
    for field in batch.schema:
        if field.name in _FIELDS and looks_like_numbers(field.type):
            raise DataError(
                f"{name}: column {field.name}: expected numbers or text, got "
                f"{field.type}. Convert the column."
            )
    try:
        rows: list[Any] = batch.to_pylist()
    except (ValueError, OverflowError, pa.ArrowException) as error:
        problem = f"have a value that Python lacks: {reason(error)}. Leave it out"
        if isinstance(error, UnicodeDecodeError):
            problem = (
                f"contain text that is not UTF-8: {error.reason}. Write it as UTF-8"
            )
        raise DataError(
            f"{name}: rows {first_row} to {first_row + len(batch) - 1}: {problem}."
        ) from error
    return rows


def looks_like_numbers(kind: pa.DataType) -> bool:
    """Returns whether values are something else, but become numbers in Python.

    They are intervals, and extension types that store other things as numbers, such as
    the periods of pandas. Lists of them count too.

    Example:
        >>> looks_like_numbers(pa.month_day_nano_interval())
        True
        >>> looks_like_numbers(pa.list_(pa.int64())), looks_like_numbers(pa.bool8())
        (False, False)
    """
    if isinstance(kind, pa.BaseExtensionType):
        storage = kind.storage_type
        checks = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
        if any(check(storage) for check in checks):
            return bool(kind.extension_name != "arrow.bool8")
        return looks_like_numbers(storage)
    if hasattr(kind, "value_type"):
        return looks_like_numbers(kind.value_type)
    return bool(pa.types.is_interval(kind))


def json_lines(rows: Iterable[Any]) -> bytes:
    r"""Returns values as lines of JSON.

    Example:
        >>> json_lines([{"in0": 3, "price": decimal.Decimal("1.5")}])
        b'{"in0":3,"price":1.5}\n'
        >>> json_lines([{"in0": 10**20, "in1": ["a"]}])
        b'{"in0":100000000000000000000,"in1":["a"]}\n'
    """
    return b"".join(map(_json_line, rows))


def _json_line(row: Any) -> bytes:
    try:
        return orjson.dumps(row, _plain, _JSON)
    except TypeError:  # an integer of more than 64 bits, among others
        return json.dumps(row, default=_plain, separators=(",", ":")).encode() + b"\n"


def _plain(value: Any) -> Any:
    """Returns a value of a table for which JSON has no type in another type."""
    if isinstance(value, decimal.Decimal):
        return plain_decimal(value)
    if hasattr(value, "tolist"):  # an array of strings, among others
        return value.tolist()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value)


def plain_decimal(value: decimal.Decimal) -> float:
    """Returns a decimal number as an integer if it is one, else as a float."""
    if value.is_nan():
        return math.nan
    is_whole = value.is_finite() and value == value.to_integral_value()
    return int(value) if is_whole else float(value)


def hash_file(path: Path, digest: Digest) -> None:
    """Adds the bytes of a table file to a digest."""
    with open_file(path) as file:
        while data := file.read(_HASHED_BYTES):
            digest.update(data)
