"""Ids of any kind, integers and strings, to ragged columns of token ids."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import cast

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from object2vec_tf.devices import on_host
from object2vec_tf.ragged.column import RaggedColumn
from object2vec_tf.text.tokenizer import Tokenizer

# An id of any kind, a whole number possibly written as 3.0, or a list of such ids.
Item = int | str | float
Items = Item | Sequence[Item]


def item_ids(tokenizer: Tokenizer, rows: Sequence[Items]) -> tuple[RaggedColumn, int]:
    """Returns the token ids of ids of any kind, and the number of unknown ones.

    Args:
        tokenizer: The tokenizer of the rows.
        rows: Integers, whole floats and strings, alone or in lists. Empty strings are
            dropped.
    """
    lists = cast(Sequence[Sequence[Item]], rows)
    if not {*map(type, rows)} <= {list}:
        lists = [[row] if isinstance(row, Item) else row for row in rows]
    items = list(itertools.chain.from_iterable(lists))
    kinds = {*map(type, items)}
    if float in kinds:
        items = [int(item) if isinstance(item, float) else item for item in items]
    if not kinds <= {str}:
        items = list(map(str, items))
    lengths = np.fromiter(map(len, lists), np.int64, len(lists))
    return list_ids(tokenizer, tf.constant(items, tf.string), lengths)


@on_host()
def list_ids(
    tokenizer: Tokenizer, items: tf.Tensor, lengths: npt.NDArray[np.int64]
) -> tuple[RaggedColumn, int]:
    """Returns the token ids of lists of strings, and the number of unknown tokens.

    Args:
        tokenizer: The tokenizer.
        items: The strings of all lists, ``[items]``.
        lengths: The number of items of each list, ``[lists]``.
    """
    rows = tf.RaggedTensor.from_row_lengths(items, lengths)
    ids, unknown = tokenizer.of_lists(rows)
    values = ids.values.numpy().astype(np.int32)
    return RaggedColumn(values, ids.row_splits.numpy()), int(tf.reduce_sum(unknown))


@on_host()
def integer_ids(
    tokenizer: Tokenizer, integers: RaggedColumn
) -> tuple[RaggedColumn, int]:
    """Returns the token ids of integers, and the number of unknown ones.

    Args:
        tokenizer: The tokenizer.
        integers: Rows of integers, int64.
    """
    ids = tokenizer.integers.lookup(integers.values.astype(np.int64, copy=False))
    missing = np.flatnonzero(ids < 0)
    if not len(missing):
        return RaggedColumn(ids.astype(np.int32), integers.row_splits), 0
    if tokenizer.tokenization.subwords is not None:
        texts = tf.strings.as_string(integers.values)
        return list_ids(tokenizer, texts, integers.lengths)
    if tokenizer.tokenization.num_oov_buckets:
        texts = tf.strings.as_string(integers.values[missing])
        ids[missing] = tokenizer.buckets(texts).numpy()
    elif tokenizer.unknown_id is not None:
        ids[missing] = tokenizer.unknown_id
    kept = ids >= 0
    counts = np.zeros(len(ids) + 1, np.int64)
    np.cumsum(kept, out=counts[1:])
    column = RaggedColumn(ids[kept].astype(np.int32), counts[integers.row_splits])
    return column, len(missing)
