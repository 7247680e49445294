"""Tables and rows in memory as sources of pairs.

A source is a DataFrame of pandas or polars, a table of pyarrow or another object with
Arrow's C interface, a dataset of Hugging Face, or an iterable of mappings.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from object2vec_tf.data.line_diagnosis import FIELDS
from object2vec_tf.data.table_reader import REQUIRED, Rows, check_names
from object2vec_tf.errors import DataError
from object2vec_tf.files.record_batches import BATCH_ROWS

_MAPPINGS = 1 << 12


@dataclasses.dataclass(frozen=True)
class TableSource:
    """Rows in memory.

    Attributes:
        name: The name of the table's type, for messages.
        parts: The rows in order, as record batches or sequences of mappings.
    """

    name: str
    parts: Iterable[Rows]


def is_file_source(source: object) -> bool:
    """Returns whether a source is paths, rather than rows.

    Example:
        >>> is_file_source("a.jsonl"), is_file_source(["a", "b"]), is_file_source([{}])
        (True, True, False)
    """
    if isinstance(source, str | bytes | os.PathLike):
        return True
    return isinstance(source, list | tuple) and all(
        isinstance(item, str | os.PathLike) for item in source
    )


def is_given(source: object) -> bool:
    """Returns whether a channel has a source: a table, even without rows, or paths.

    Example:
        >>> is_given(pa.table({})), is_given("a.jsonl"), is_given(""), is_given(None)
        (True, True, False, False)
    """
    return source is not None and (not is_file_source(source) or bool(source))


def is_table(source: object) -> bool:
    """Returns whether an object is a table, or a list or tuple of mappings.

    Iterators are not: to look into them would consume them.

    Example:
        >>> is_table([{"in0": 1}]), is_table([[1, 2]]), is_table(pa.table({"in0": [1]}))
        (True, False, True)
    """
    if isinstance(source, list | tuple):
        return bool(source) and isinstance(source[0], Mapping)
    if isinstance(source, pa.Array | pa.ChunkedArray) or _is_series(source):
        return False
    return (
        _is_pandas(source)
        or _is_polars(source)
        or _is_hugging_face(source)
        or _has_arrow_interface(source)
    )


def table_source(source: Any, required: Sequence[str] = REQUIRED) -> TableSource:
    """Returns rows in memory as record batches or sequences of mappings.

    Args:
        source: The table or the iterable.
        required: The names of columns that a table must have.

    Raises:
        DataError: It is not a table or an iterable, or it lacks a column.
    """
    name = type(source).__name__
    if _is_pandas(source):
        check_names(list(source.columns), name, required)
        return TableSource(name, _pandas_parts(source))
    if _is_polars(source):
        check_names(source.columns, name, required)
        source = source.select([f for f in FIELDS if f in source.columns])
    elif _is_hugging_face(source) and hasattr(source, "with_format"):
        return _hugging_face_source(source, name, required)
    if is_table(source) and _has_arrow_interface(source):
        names, batches = _arrow_batches(source, name)
        check_names(names, name, required)
        return TableSource(name, _selected(batches))
    if isinstance(source, Mapping) or not isinstance(source, Iterable):
        advice = "Give one of its values." if isinstance(source, Mapping) else ""
        if hasattr(source, "collect"):  # a LazyFrame of polars
            advice = "Call its collect()."
        raise DataError(
            f"{name}: expected files, a table, Pairs or an iterable of mappings such "
            'as {"in0": [1], "in1": [2], "label": 1}, got an object of type '
            f"{type(source).__module__}.{name}. {advice}".rstrip()
        )
    return TableSource(name, _mappings(source))


def _has_arrow_interface(source: object) -> bool:
    return hasattr(source, "__arrow_c_stream__") or hasattr(source, "__arrow_c_array__")


def _arrow_batches(
    source: Any, name: str
) -> tuple[list[str], Iterator[pa.RecordBatch]]:
    """Returns the names of columns and the batches of an object with Arrow's interface.

    Raises:
        DataError: Arrow lacks the type of a column. The iterator raises it if the
            source fails.
    """
    with _arrow_errors(name):
        if hasattr(source, "__arrow_c_stream__"):
            reader = pa.RecordBatchReader.from_stream(source)
            return reader.schema.names, _checked(reader, name)
        batch = pa.record_batch(source)
        return batch.schema.names, iter([batch])


def _checked(batches: Iterable[pa.RecordBatch], name: str) -> Iterator[pa.RecordBatch]:
    with _arrow_errors(name):
        yield from batches


@contextmanager
def _arrow_errors(name: str) -> Iterator[None]:
    try:
        yield
    except pa.ArrowException as error:
        raise DataError(
            f"{name}: cannot be read as an Arrow table: {error}. Convert its columns."
        ) from error


def _is_series(source: object) -> bool:
    return type(source).__name__ == "Series"


def _is_pandas(source: object) -> bool:
    return _is_of(source, "pandas") and hasattr(source, "columns")


def _is_polars(source: object) -> bool:
    is_frame = hasattr(source, "__arrow_c_stream__") and not _is_series(source)
    return is_frame and _is_of(source, "polars")


def _is_hugging_face(source: object) -> bool:
    return _is_of(source, "datasets") and hasattr(source, "column_names")


def _is_of(source: object, package: str) -> bool:
    return any(
        kind.__module__.partition(".")[0] == package for kind in type(source).__mro__
    )


def _selected(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        selected = batch.select([f for f in FIELDS if f in batch.schema.names])
        for start in range(0, len(batch), BATCH_ROWS):
            yield selected.slice(start, BATCH_ROWS)


def _mappings(rows: Iterable[Any]) -> Iterator[Sequence[Any]]:
    iterator = iter(rows)
    while part := list(itertools.islice(iterator, _MAPPINGS)):
        yield part


def _pandas_parts(frame: Any) -> Iterator[Rows]:
    """Yields the rows of a DataFrame, as mappings where pyarrow has no type."""
    names = [field for field in FIELDS if field in frame.columns]
    for start in range(0, len(frame), BATCH_ROWS):
        part = frame.iloc[start : start + BATCH_ROWS]
        try:
            # Without from_pandas, NaN is not taken for null.
            arrays = [pa.array(part[name], from_pandas=False) for name in names]
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            columns = [part[name].tolist() for name in names]
            rows = zip(*columns, strict=True)
            yield from _mappings(dict(zip(names, row, strict=True)) for row in rows)
        else:
            table = pa.Table.from_arrays(arrays, names)
            yield from _selected(table.to_batches(BATCH_ROWS))


def _hugging_face_source(
    dataset: Any, name: str, required: Sequence[str]
) -> TableSource:
    names = dataset.column_names
    if isinstance(names, Mapping):  # a DatasetDict
        raise DataError(
            f"{name}: expected one dataset, got {', '.join(names)}. Give one of them, "
            f"such as dataset[{next(iter(names), 'train')!r}]."
        )
    if not hasattr(dataset, "num_rows"):  # an IterableDataset
        return TableSource(name, _mappings(dataset))
    check_names(names, name, required)
    dataset = dataset.select_columns([f for f in FIELDS if f in names])
    tables = dataset.with_format("arrow").iter(BATCH_ROWS)
    return TableSource(
        name, _selected(batch for table in tables for batch in table.to_batches())
    )
