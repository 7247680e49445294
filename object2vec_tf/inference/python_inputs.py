"""Objects given in Python as model inputs: lists, arrays, tensors and texts."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import tensorflow as tf

from object2vec_tf.errors import DataError
from object2vec_tf.files.object_lines import MAX_EXACT_FLOAT
from object2vec_tf.files.record_batches import looks_like_numbers
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.inference.ragged_inputs import PADDING, RaggedInputs, input_limits
from object2vec_tf.inference.text_inputs import is_text
from object2vec_tf.ragged.column import RaggedColumn
from object2vec_tf.text.item_ids import item_ids
from object2vec_tf.text.tokenized_rows import token_ids
from object2vec_tf.text.tokenizer import Tokenizer
from object2vec_tf.text.tokenizer_loading import Tokenizers

_SHOWN_CHARACTERS = 60  # longer values are abbreviated in messages


def object_inputs(
    objects: Any, name: str, hyperparameters: Hyperparameters, tokenizers: Tokenizers
) -> RaggedInputs:
    """Returns objects of one side as model inputs, truncated to their maximum length.

    Args:
        objects: One of these. Each -1 in ids is padding, which is dropped.

            * A sequence of objects: lists or arrays of token ids, or single ids. For a
              side with a tokenizer also texts and lists of strings.
            * An integer array or tensor ``[objects, time]``, or ``[objects]`` with one
              id each.
            * A RaggedTensor of integers ``[objects, (time)]``.
            * An array or tensor of strings, or a RaggedTensor of strings, for a side
              with a tokenizer.

            Where ``encX_tokenizer`` is id, integers and strings are ids of any kind; -1
            is padding in arrays only.
        name: The side: in0 or in1.
        hyperparameters: The model's.
        tokenizers: The model's.

    Raises:
        DataError: An object is invalid. The message has its position, such as
            ``in0[3][2]``.
    """
    limits = input_limits(hyperparameters)[name]
    side = _Side(name, limits.size, tokenizers[int(name[-1])])
    return RaggedInputs({name: side.column(objects)}).truncate({name: limits})


def side_column(
    objects: Any, name: str, vocab_size: int, tokenizer: Tokenizer | None = None
) -> RaggedColumn:
    """Returns objects of one side without padding, for the methods of Keras.

    Args:
        objects: As for `object_inputs`, except that integers are always token ids, as
            in tensors, also where ``encX_tokenizer`` is id. There, objects have either
            token ids or strings.
        name: The side: in0 or in1.
        vocab_size: All token ids are below it.
        tokenizer: Its tokenizer; None for a side of ids.

    Raises:
        DataError: An object is invalid.
    """
    objects = _in_memory(objects)
    if tokenizer is not None and tokenizer.tokenization.is_id:
        has_text = isinstance(objects, list) and any(map(_has_text, objects))
        if not has_text:
            tokenizer = None
        else:
            _check_all_text(objects, name)
    return _Side(name, vocab_size, tokenizer).column(objects)


def pair_inputs(
    pairs: Any, hyperparameters: Hyperparameters, tokenizers: Tokenizers
) -> RaggedInputs:
    """Returns pairs of objects as model inputs, truncated to their maximum lengths.

    Args:
        pairs: A sequence of pairs ``(in0, in1)``, or a mapping of in0 and in1 to
            objects as `object_inputs` takes them.
        hyperparameters: The model's.
        tokenizers: The model's.

    Raises:
        DataError: A pair is invalid.
    """
    sides = _sides(pairs)
    columns: dict[str, RaggedColumn] = {}
    for name, objects in sides.items():
        inputs = object_inputs(objects, name, hyperparameters, tokenizers)
        columns |= inputs.columns
    counts = [len(column) for column in columns.values()]
    if counts[0] != counts[1]:
        raise DataError(
            f"in1: expected {counts[0]} objects, one for each of in0, got {counts[1]}."
        )
    return RaggedInputs(columns)


def _sides(pairs: Any) -> dict[str, Any]:
    """Returns the objects of in0 and of in1."""
    if isinstance(pairs, Mapping):
        if set(pairs) != {"in0", "in1"}:
            raise DataError(
                f"pairs: expected the keys in0 and in1, got {_shown(list(pairs))}."
            )
        return {"in0": pairs["in0"], "in1": pairs["in1"]}
    rows = _as_list(pairs, "pairs")
    for i, pair in enumerate(rows):
        if isinstance(pair, str | bytes | Mapping) or _length(pair) != 2:
            raise DataError(
                f"pairs[{i}]: expected a pair (in0, in1) such as ([3], [7]), got "
                f"{_shown(pair)}."
            )
    return {f"in{i}": [pair[i] for pair in rows] for i in (0, 1)}


class _Side:
    """Converts the objects of one side to token ids.

    Args:
        name: in0 or in1.
        vocab_size: Its vocabulary size.
        tokenizer: Its tokenizer; None for a side of ids.
    """

    def __init__(self, name: str, vocab_size: int, tokenizer: Tokenizer | None) -> None:
        self._name = name
        self._vocab_size = vocab_size
        self._tokenizer = tokenizer

    def column(self, objects: Any) -> RaggedColumn:
        """Returns the token ids of all objects, none of which is padding."""
        objects = _in_memory(objects)
        if self._tokenizer is not None and self._tokenizer.tokenization.is_id:
            return item_ids(self._tokenizer, self._items(objects))[0]
        if isinstance(objects, tf.RaggedTensor):
            return self._of_ragged(objects)
        if isinstance(objects, np.ndarray) and objects.dtype.kind in "iuf":
            return self._of_array(objects)
        return self._of_rows(_as_list(objects, self._name))

    def _items(self, objects: Any) -> list[list[int | str]]:
        """Returns lists of ids of any kind."""
        if isinstance(objects, tf.RaggedTensor):
            objects = objects.to_list()
        if isinstance(objects, np.ndarray) and objects.dtype.kind in "iuf":
            if objects.ndim == 1:
                objects = objects[:, np.newaxis]
            if objects.ndim == 2:
                objects = [row[row != PADDING] for row in objects]
        lists = []
        for i, row in enumerate(_as_list(objects, self._name)):
            if isinstance(row, np.ndarray | tf.Tensor):
                row = np.asarray(row).tolist()
            items = list(row) if isinstance(row, list | tuple) else [row]
            for position, item in enumerate(items):
                if isinstance(item, str) or type(item) is int:
                    continue
                if isinstance(item, np.integer) or _is_whole(item):
                    items[position] = int(item)
                elif isinstance(item, bytes):
                    items[position] = _decoded(item)
                else:
                    raise DataError(
                        f"{self._name}[{i}][{position}]: expected an integer or a "
                        f"string as an id, got {_shown(item)}."
                    )
            lists.append(items)
        return lists

    def _of_ragged(self, objects: tf.RaggedTensor) -> RaggedColumn:
        if objects.ragged_rank != 1 or objects.shape.rank != 2:
            raise DataError(
                f"{self._name}: expected a RaggedTensor [objects, (time)], got the "
                f"shape {objects.shape}."
            )
        splits = objects.row_splits.numpy().astype(np.int64)
        values = objects.values.numpy()
        if values.dtype.kind in "iuf":
            return self._checked(values, splits)
        return self._of_rows(
            [values[start:end].tolist() for start, end in itertools.pairwise(splits)]
        )

    def _of_array(self, objects: npt.NDArray[Any]) -> RaggedColumn:
        if objects.ndim == 1:
            objects = objects[:, np.newaxis]
        if objects.ndim != 2:
            raise DataError(
                f"{self._name}: expected an array [objects, time], got the shape "
                f"{objects.shape}."
            )
        count, time = objects.shape
        splits = np.arange(count + 1, dtype=np.int64) * time
        return self._checked(objects.reshape(-1), splits)

    def _of_rows(self, objects: Sequence[Any]) -> RaggedColumn:
        rows = [self._row(i, row) for i, row in enumerate(objects)]
        are_texts = np.array([is_text(row) for row in rows], bool)
        if not are_texts.any():
            return self._of_ids(rows)
        if self._tokenizer is None:
            first = int(np.argmax(are_texts))
            raise DataError(
                f"{self._name}[{first}]: expected token ids, got "
                f"{_shown(objects[first])}. This model has no tokenizer for "
                f"{self._name}: it was trained on token ids."
            )
        texts = [row for row in rows if is_text(row)]
        numbers = np.flatnonzero(are_texts)
        for number, row in zip(numbers, texts, strict=True):
            self._check_strings(int(number), row)
        column, _ = token_ids(self._tokenizer, texts)
        if are_texts.all():
            return column
        ids = self._of_ids([row for row in rows if not is_text(row)], ~are_texts)
        order = np.empty(len(rows), np.int64)
        order[numbers] = np.arange(len(texts))
        order[~are_texts] = np.arange(len(texts), len(rows))
        return RaggedColumn.concatenate([column, ids]).take(order)

    def _row(self, number: int, row: Any) -> Any:
        """Returns an object as a text, or as a sequence of ids or strings."""
        if isinstance(row, str):
            return row
        if isinstance(row, tf.Tensor):
            row = row.numpy()
        if isinstance(row, bytes):
            return _decoded(row)
        if isinstance(row, int | float | np.number) and not isinstance(row, bool):
            return [row]
        if not isinstance(row, list | tuple) and hasattr(row, "__array__"):
            row = np.asarray(row)
        if isinstance(row, np.ndarray) and row.ndim == 1:
            row = row.tolist()
        if isinstance(row, list | tuple) and not isinstance(row, pa.MonthDayNano):
            has_bytes = len(row) > 0 and isinstance(row[0], bytes)
            return [_decoded(item) for item in row] if has_bytes else row
        expected = "a list of token ids"
        if self._tokenizer is not None:
            expected += ", a text or a list of strings"
        raise DataError(
            f"{self._name}[{number}]: expected {expected}, got {_shown(row)}."
        )

    def _check_strings(self, number: int, row: Any) -> None:
        for position, item in enumerate(() if isinstance(row, str) else row):
            if not isinstance(item, str):
                raise DataError(
                    f"{self._name}[{number}][{position}]: expected only strings or "
                    f"only token ids in a list, got both: {_shown(item)}."
                )

    def _of_ids(
        self, rows: Sequence[Sequence[Any]], is_row: npt.NDArray[np.bool_] | None = None
    ) -> RaggedColumn:
        """Returns lists of token ids as a column.

        Args:
            rows: The lists.
            is_row: Which of all objects they are; None for all.
        """
        splits = np.zeros(len(rows) + 1, np.int64)
        np.cumsum([len(row) for row in rows], out=splits[1:])
        flat = list(itertools.chain.from_iterable(rows))
        numbers = None if is_row is None else np.flatnonzero(is_row)
        for kind in {*map(type, flat)} - {int}:
            if not issubclass(kind, float | np.integer | np.floating):
                first = next(i for i, item in enumerate(flat) if type(item) is kind)
                place = self._place(first, splits, numbers)
                raise DataError(
                    f"{place}: expected a token id, got {_shown(flat[first])}."
                )
        try:
            values = np.array(flat or np.zeros(0, np.int64))
        except OverflowError:
            values = np.array(flat, object)
        return self._checked(values, splits, numbers)

    def _checked(
        self,
        values: npt.NDArray[Any],
        splits: npt.NDArray[np.int64],
        numbers: npt.NDArray[np.int64] | None = None,
    ) -> RaggedColumn:
        """Returns a column of ids without padding.

        Args:
            values: Numbers, ``[tokens]``.
            splits: Row splits.
            numbers: The positions of the rows among all objects; None for all.

        Raises:
            DataError: A number is not an id of the vocabulary.
        """
        invalid = (values != PADDING) & ~((values >= 0) & (values < self._vocab_size))
        if values.dtype.kind not in "iu":
            with np.errstate(invalid="ignore"):  # the remainder of infinity
                invalid |= np.array(values % 1 != 0, bool)
        if invalid.any():
            first = int(np.argmax(invalid))
            raise DataError(
                f"{self._place(first, splits, numbers)}: expected a token id in "
                f"[0, {self._vocab_size}), or -1 as padding, got "
                f"{_shown(values[first])}."
            )
        return RaggedColumn(values.astype(np.int32), splits).where(values != PADDING)

    def _place(
        self,
        token: int,
        splits: npt.NDArray[np.int64],
        numbers: npt.NDArray[np.int64] | None,
    ) -> str:
        row = int(np.searchsorted(splits, token, side="right")) - 1
        number = row if numbers is None else int(numbers[row])
        return f"{self._name}[{number}][{token - int(splits[row])}]"


def _in_memory(objects: Any) -> Any:
    """Returns columns of tables, and arrays of other libraries, as lists or arrays."""
    if isinstance(objects, list | np.ndarray | tf.RaggedTensor | str | bytes):
        return objects
    kind = getattr(objects, "type", None)
    if isinstance(kind, pa.DataType) and looks_like_numbers(kind):
        raise DataError(f"column: expected numbers or text, got {kind}. Convert it.")
    for method in ("to_pylist", "to_list"):  # pyarrow; pandas and polars
        if hasattr(objects, method):
            return getattr(objects, method)()
    return np.asarray(objects) if hasattr(objects, "__array__") else objects


def _has_text(row: Any) -> bool:
    """Returns whether a row is a string, or starts with one."""
    if isinstance(row, list | tuple | np.ndarray) and len(row):
        row = row[0]
    return isinstance(row, str | bytes)


def _check_all_text(objects: Sequence[Any], name: str) -> None:
    """Rejects numbers beside strings, since both are ids but of different kinds."""
    for i, row in enumerate(objects):
        items = row if isinstance(row, list | tuple | np.ndarray) else [row]
        for position, item in enumerate(items):
            if not isinstance(item, str | bytes):
                raise DataError(
                    f"{name}[{i}][{position}]: expected a string, as in other objects, "
                    f"got {_shown(item)}. Integers are rows of the token table here: "
                    "write ids as strings, or call Object2Vec.score."
                )


def _is_whole(item: Any) -> bool:
    """Returns whether a value is a float that is exactly an integer, such as 3.0."""
    return (
        isinstance(item, float | np.floating)
        and float(item).is_integer()
        and abs(float(item)) < MAX_EXACT_FLOAT
    )


def _as_list(objects: Any, name: str) -> list[Any]:
    if isinstance(objects, str | bytes | Mapping) or not isinstance(objects, Iterable):
        raise DataError(
            f"{name}: expected a sequence of objects, got {_shown(objects)}. Put a "
            "single object into a list."
        )
    return list(objects)


def _decoded(item: Any) -> Any:
    return item.decode("utf-8", "replace") if isinstance(item, bytes) else item


def _length(value: Any) -> int:
    try:
        return len(value)
    except TypeError:
        return -1


def _shown(value: object) -> str:
    text = repr(value.item() if isinstance(value, np.generic) else value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "..."
