"""The rule for the token ids of an object: -1 is dropped, then the rest is cut.

The same rule holds wherever a model takes objects. This module applies it to tensors,
also in graphs; `object2vec_tf.inference.python_inputs` applies it to Python's objects.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from object2vec_tf.devices import on_host
from object2vec_tf.errors import DataError
from object2vec_tf.layers.compilation import under_xla
from object2vec_tf.layers.token_embedding import as_ragged
from object2vec_tf.ragged.token_ids import IdLimits
from object2vec_tf.registration import PACKAGE

# Pads dense objects. It is dropped at any position.
PADDING = -1

# Replaces a number that is no int64 integer, such as 2.5; it is never a valid id.
_INVALID = -2


class _Context(threading.local):
    checked = False


_context = _Context()


@contextlib.contextmanager
def checked_ids() -> Iterator[None]:
    """Lets encoders take ids as they are, since the rule was applied to them before.

    A context of this thread.
    """
    before = _context.checked
    _context.checked = True
    try:
        yield
    finally:
        _context.checked = before


def ids_are_checked() -> bool:
    """Returns whether ids are `checked_ids`."""
    return _context.checked


@keras.saving.register_keras_serializable(package=PACKAGE)
class ObjectIds(keras.layers.Layer):
    """Drops padding from objects, checks their ids, and cuts them; see `clean_ids`.

    Args:
        vocab_size: All ids are below it.
        max_len: The largest number of tokens of an object.
        side: The name of the objects in messages: in0 or in1.
        continued_from: Ids from this one on belong to the token before them; None if
            every id is a token.

    Example:
        >>> from object2vec_tf.layers.object_ids import ObjectIds
        >>> ObjectIds(vocab_size=10, max_len=2)(tf.constant([[-1, 3, 4, 5]])).to_list()
        [[3, 4]]
    """

    def __init__(
        self,
        vocab_size: int,
        max_len: int,
        side: str = "in0",
        continued_from: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.supports_jit = False  # XLA compiles no ragged inputs
        self.vocab_size = vocab_size
        self.max_len = max_len
        self.side = side
        self.continued_from = continued_from

    @property
    def limits(self) -> IdLimits:
        """The limits of objects."""
        return IdLimits(self.vocab_size, self.max_len, self.continued_from)

    def call(self, ids: Any) -> tf.RaggedTensor:
        """Returns the ids, RaggedTensor ``[batch, (time)]``.

        Args:
            ids: As for `clean_ids`.
        """
        if ids_are_checked():
            return as_ragged(ids)
        return clean_ids(ids, self.limits, self.side)

    def compute_output_spec(self, ids: Any) -> keras.KerasTensor:
        """Returns the symbolic output ``[batch, (time)]``."""
        return keras.KerasTensor((ids.shape[0], None), dtype="int64", ragged=True)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "vocab_size": self.vocab_size,
            "max_len": self.max_len,
            "side": self.side,
            **(
                {}
                if self.continued_from is None
                else {"continued_from": self.continued_from}
            ),
        }


@on_host()
def clean_ids(ids: Any, limits: IdLimits, side: str) -> tf.RaggedTensor:
    """Returns the ids of objects without padding, cut at the maximum length.

    Each -1 is dropped, then the first ``max_len`` tokens of an object remain. For clean
    objects, this takes a few comparisons.

    Args:
        ids: Whole numbers of any type: RaggedTensor ``[batch, (time)]``, or a dense
            tensor ``[batch, time]``, or ``[batch]`` with one id each.
        limits: The limits of objects.
        side: The name of the objects in messages: in0 or in1.

    Returns:
        int32 or int64 ``[batch, (time)]``.

    Raises:
        DataError: The type or the rank is wrong.
        InvalidArgumentError: An id is out of range; raised when the op runs.

    Example:
        >>> from object2vec_tf.layers.object_ids import clean_ids
        >>> from object2vec_tf.ragged.token_ids import IdLimits
        >>> ids = tf.ragged.constant([[7, -1, 8, 9], [], [3.0]])
        >>> clean_ids(ids, IdLimits(10, 2), "in0").to_list()
        [[7, 8], [], [3]]
    """
    ids = _as_rows(ids, side)
    if under_xla():  # which compiles no ragged inputs
        return ids
    given, splits = ids.values, ids.row_splits
    values = whole_numbers(given, side)
    lengths = splits[1:] - splits[:-1]
    is_valid = (values >= 0) & (values < limits.size)
    # Long rows whose tokens have several ids are counted below.
    is_clean = tf.reduce_all(is_valid) & tf.reduce_all(lengths <= limits.max_len)

    def clean() -> tuple[tf.Tensor, tf.Tensor]:
        is_token = tf.not_equal(values, PADDING)
        invalid = is_token & ~is_valid
        check = tf.cond(
            tf.reduce_any(invalid),
            lambda: _reject(given, splits, invalid, limits.size, side),
            tf.no_op,
        )
        with tf.control_dependencies([check]):
            begins = is_token & begins_token(values, limits.continued_from)
            numbers = _token_numbers(begins, splits)
        return _selected(values, splits, is_token & (numbers <= limits.max_len))

    values, splits = tf.cond(is_clean, lambda: (values, splits), clean)
    return tf.RaggedTensor.from_row_splits(values, splits, validate=False)


@on_host()
def begins_token(ids: tf.Tensor, continued_from: int | None) -> tf.Tensor:
    """Returns which ids begin a token, bool of their shape; others continue one.

    Args:
        ids: Valid ids.
        continued_from: Ids from this one on belong to the token before them; None if
            every id is a token.
    """
    if continued_from is None:
        return tf.ones_like(ids, tf.bool)
    return ids < continued_from


@on_host()
def first_tokens(
    ids: tf.RaggedTensor, tokens: int, continued_from: int | None
) -> tf.RaggedTensor:
    """Returns the first tokens of each object.

    Args:
        ids: Valid ids without padding, ``[batch, (ids)]``.
        tokens: The number of tokens to keep.
        continued_from: As for `begins_token`.
    """
    if continued_from is None:
        return ids[:, :tokens]
    begins = begins_token(ids.values, continued_from)
    kept = _token_numbers(begins, ids.row_splits) <= tokens
    values, splits = _selected(ids.values, ids.row_splits, kept)
    return tf.RaggedTensor.from_row_splits(values, splits, validate=False)


def _token_numbers(begins: tf.Tensor, splits: tf.Tensor) -> tf.Tensor:
    """Returns how many tokens of its row begin up to and including each position."""
    counts = _running_counts(begins, splits.dtype)
    before = tf.repeat(tf.gather(counts, splits[:-1]), splits[1:] - splits[:-1])
    return counts[1:] - before


def _selected(
    values: tf.Tensor, splits: tf.Tensor, kept: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the values and the row splits of the positions that are kept."""
    new_splits = tf.gather(_running_counts(kept, splits.dtype), splits)
    return tf.boolean_mask(values, kept), new_splits


def whole_numbers(values: tf.Tensor, side: str) -> tf.Tensor:
    """Returns numbers as int32 or int64; what is no integer becomes an invalid id.

    Args:
        values: Numbers of any type and shape.
        side: Their name in messages.

    Raises:
        DataError: They are not numbers.
    """
    if values.dtype in (tf.int32, tf.int64):
        return values
    if values.dtype == tf.uint64:
        largest = tf.constant(2**62, tf.uint64)
        return tf.cast(tf.minimum(values, largest), tf.int64)
    if values.dtype.is_integer:
        return tf.cast(values, tf.int64)
    if not values.dtype.is_floating:
        raise DataError(
            f"{side}: expected integers as token ids, got {values.dtype.name}. "
            "Object2Vec.embed and Object2Vec.score take texts."
        )
    values = tf.cast(values, tf.float64)
    is_whole = tf.equal(values, tf.floor(values)) & (tf.abs(values) < 2.0**62)
    safe = tf.where(is_whole, values, tf.constant(_INVALID, tf.float64))
    return tf.cast(safe, tf.int64)


def _as_rows(ids: Any, side: str) -> tf.RaggedTensor:
    """Returns ids as a RaggedTensor ``[batch, (time)]``."""
    if isinstance(ids, tf.RaggedTensor):
        if ids.ragged_rank != 1 or ids.values.shape.rank not in (None, 1):
            raise DataError(
                f"{side}: expected a RaggedTensor [batch, (time)], got the shape "
                f"{ids.shape}."
            )
        return ids.with_row_splits_dtype(tf.int64)  # as in the input pipeline
    ids = tf.convert_to_tensor(ids)
    if ids.shape.rank not in (None, 1, 2):
        raise DataError(
            f"{side}: expected ids [batch, time], or [batch] with one id each, got the "
            f"shape {ids.shape}."
        )
    count = tf.shape(ids, tf.int64)[0]
    values = tf.reshape(ids, [-1])
    time = tf.math.floordiv(tf.size(values, tf.int64), tf.maximum(count, 1))
    splits = tf.range(count + 1) * time
    return tf.RaggedTensor.from_row_splits(values, splits, validate=False)


def _running_counts(mask: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """Returns the number of true values before each position and the end."""
    return tf.pad(tf.cumsum(tf.cast(mask, dtype)), [[1, 0]])


def _reject(
    values: tf.Tensor,
    splits: tf.Tensor,
    invalid: tf.Tensor,
    vocab_size: int,
    side: str,
) -> tf.Operation:
    """Fails with the row and the position of the first invalid id."""
    first = tf.where(invalid)[0, 0]
    splits = tf.cast(splits, tf.int64)
    row = tf.searchsorted(splits, [first], side="right", out_type=tf.int64)[0] - 1
    text = tf.strings.format(
        f"{side}: row {{}}, position {{}}: expected an id in [0, {vocab_size}), or -1 "
        "as padding, got {}",
        (row, first - splits[row], values[first]),
    )
    return tf.raw_ops.Assert(condition=False, data=[text])
