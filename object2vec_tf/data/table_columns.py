"""Converts columns of Arrow tables to ragged columns and numbers, if all are valid."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from object2vec_tf.data.block_parser import Numbers, whole_numbers
from object2vec_tf.files.record_batches import looks_like_numbers
from object2vec_tf.ragged.column import RaggedColumn

_types = pa.types


def plain_array(array: pa.Array) -> pa.Array:
    """Returns an array without extension types, dictionaries and run-end encoding.

    Periods of pandas, and other extension types that store no numbers as numbers,
    remain as they are.

    Raises:
        pa.ArrowNotImplementedError: pyarrow cannot convert an array of this type.
    """
    if isinstance(array, pa.ExtensionArray):
        if looks_like_numbers(array.type):
            return array
        storage = plain_array(array.storage)
        return storage.cast(pa.bool_()) if _is_bool8(array.type) else storage
    if _types.is_run_end_encoded(array.type):
        return plain_array(pc.run_end_decode(array))
    if _types.is_dictionary(array.type):
        values = plain_array(array.dictionary)
        if _types.is_string_view(values.type):  # as polars writes; take lacks it
            values = values.cast(pa.large_string())
        return values.take(array.indices)
    return array


def _is_bool8(kind: pa.DataType) -> bool:
    return bool(kind.extension_name == "arrow.bool8")


def _plain_type(kind: pa.DataType) -> pa.DataType:
    """Returns the type of `plain_array`."""
    if isinstance(kind, pa.BaseExtensionType):
        if looks_like_numbers(kind):
            return kind
        return pa.bool_() if _is_bool8(kind) else _plain_type(kind.storage_type)
    if _types.is_dictionary(kind) or _types.is_run_end_encoded(kind):
        return _plain_type(kind.value_type)
    return kind


def _item_type(kind: pa.DataType) -> pa.DataType:
    """Returns the type of the items of lists, or of single items."""
    kind = _plain_type(kind)
    return _plain_type(kind.value_type) if _is_list(kind) else kind


def _is_list(kind: pa.DataType) -> bool:
    return hasattr(kind, "value_type")


def is_text(kind: pa.DataType) -> bool:
    """Returns whether a type is that of strings, or of lists of strings."""
    kind = _item_type(kind)
    is_string = (_types.is_string, _types.is_large_string, _types.is_string_view)
    return any(check(kind) for check in is_string)


def is_numbers(kind: pa.DataType) -> bool:
    """Returns whether a type is that of numbers or of lists of them; bool is not."""
    kind = _item_type(kind)
    checks = (_types.is_integer, _types.is_floating, _types.is_decimal, _types.is_null)
    return any(check(kind) for check in checks)


def ragged_integers(
    array: pa.Array, limit: int | None, *, drop_padding: bool = False
) -> RaggedColumn | None:
    """Returns the rows of a column of token ids.

    Args:
        array: Lists of numbers or single numbers, of any type.
        limit: Ids are below it, and become int32; None for any integers of 0 or more
            below 2**63, which become int64.
        drop_padding: Whether -1 is left out, rather than invalid.

    Returns:
        None if the array is not numbers, or if one of them is null or not an id.
    """
    array = plain_array(array)
    if array.null_count:
        return None
    lists = _as_lists(array)
    values, splits = lists or (array, np.arange(len(array) + 1))
    numbers = numbers_of(values)
    ids = None if numbers is None else _whole(numbers)
    if ids is None:
        return None
    if drop_padding and np.any(ids == -1):
        kept = np.zeros(len(ids) + 1, np.int64)
        np.cumsum(ids != -1, out=kept[1:])
        ids, splits = ids[ids != -1], kept[splits]
    if len(ids):
        low, high = int(ids.min()), int(ids.max())
        if low < 0 or high >= (1 << 63 if limit is None else limit):
            return None
    kind = np.int64 if limit is None else np.int32
    return RaggedColumn(ids.astype(kind, copy=False), splits)


def _as_lists(array: pa.Array) -> tuple[pa.Array, npt.NDArray[np.int64]] | None:
    """Returns the values of an array of lists without nulls, and its row splits."""
    kind = array.type
    if _types.is_fixed_size_list(kind):
        return array.flatten(), np.arange(len(array) + 1) * kind.list_size
    if _types.is_list(kind) or _types.is_large_list(kind):
        splits = array.offsets.to_numpy().astype(np.int64)
        return array.flatten(), splits - splits[:1]
    if _types.is_list_view(kind) or _types.is_large_list_view(kind):
        splits = np.zeros(len(array) + 1, np.int64)
        np.cumsum(array.sizes.to_numpy(), out=splits[1:])
        return array.flatten(), splits
    return None


def numbers_of(array: pa.Array) -> Numbers | None:
    """Returns an array of finite numbers; None if some are not, or are null."""
    array = plain_array(array)
    kind = array.type
    if _types.is_null(kind) and not len(array):  # the values of empty lists
        return np.zeros(0, np.int64)
    if array.null_count:
        return None
    if _types.is_decimal(kind):
        array = pc.cast(array, pa.float64())
    elif not (_types.is_integer(kind) or _types.is_floating(kind)):
        return None
    numbers: Numbers = array.to_numpy(zero_copy_only=False)
    if numbers.dtype.kind == "f" and not np.isfinite(numbers).all():
        return None
    return numbers


def _whole(numbers: Numbers) -> Numbers | None:
    if numbers.dtype == np.float16:
        numbers = numbers.astype(np.float32)
    return whole_numbers(numbers)


def class_labels(array: pa.Array) -> Numbers | None:
    """Returns class labels; None if some are not whole numbers."""
    numbers = numbers_of(array)
    return None if numbers is None else _whole(numbers)


def text_rows(array: pa.Array) -> list[Any] | None:
    """Returns strings or lists of strings; None if there are nulls or other values."""
    return _rows(plain_array(array)) if is_text(array.type) else None


def item_rows(array: pa.Array) -> list[Any] | None:
    """Returns ids of any kind, integers and strings, alone or in lists; else None."""
    if is_text(array.type) or _types.is_integer(_item_type(array.type)):
        return _rows(plain_array(array))
    return None


def _rows(array: pa.Array) -> list[Any] | None:
    """Returns strings, integers or lists of them; None if there are nulls."""
    if array.null_count:
        return None
    if _is_list(array.type) and plain_array(array.flatten()).null_count:
        return None
    try:
        rows: list[Any] = array.to_pylist()
    except UnicodeDecodeError:  # Parquet does not check that strings are UTF-8
        return None
    return rows
