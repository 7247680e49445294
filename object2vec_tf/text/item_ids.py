"""Ids of any kind, integers and strings, to ragged columns of token ids."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from object2vec_tf.ragged.column import RaggedColumn
from object2vec_tf.text.tokenizer import Tokenizer

# An id of any kind, or a list of such ids.
Item = int | str
Items = Item | Sequence[Item]


def item_ids(tokenizer: Tokenizer, rows: Sequence[Items]) -> tuple[RaggedColumn, int]:
    """Returns the token ids of ids of any kind, and the number of unknown ones.

    Each id is looked up as a Python object. An op of TensorFlow would need integers as
    strings, and strings as a tensor, and would take five times as long.

    Args:
        tokenizer: The tokenizer of the rows.
        rows: Integers and strings, alone or in lists. Empty strings are dropped.
    """
    lists = [[row] if isinstance(row, str | int) else row for row in rows]
    items: list[Item] = list(itertools.chain.from_iterable(lists))
    splits = np.zeros(len(lists) + 1, np.int64)
    np.cumsum([len(row) for row in lists], out=splits[1:])
    lookup = tokenizer.items.ids.get
    ids = np.fromiter(map(lookup, items, itertools.repeat(-1)), np.int64, len(items))
    if len(items) and ids.min() >= 0:
        return RaggedColumn(ids.astype(np.int32), splits), 0
    missing = np.flatnonzero(ids < 0)
    names = [str(items[i]) for i in missing]
    is_empty = np.array([not name for name in names], bool)
    _resolve_unknown(tokenizer, ids, missing, names)
    ids[missing[is_empty]] = -1
    return _without_dropped(ids, splits), int(np.count_nonzero(~is_empty))


def _resolve_unknown(
    tokenizer: Tokenizer,
    ids: npt.NDArray[np.int64],
    unknown: npt.NDArray[np.int64],
    names: Sequence[str],
) -> None:
    """Sets the token ids of unknown ids, in place; -1 if they are to be dropped.

    Args:
        tokenizer: The tokenizer.
        ids: All token ids, ``[tokens]``.
        unknown: The positions of unknown ids.
        names: Their texts.
    """
    if tokenizer.tokenization.num_oov_buckets and len(unknown):
        ids[unknown] = tokenizer.buckets(tf.constant(names, tf.string)).numpy()
    elif tokenizer.unknown_id is not None:
        ids[unknown] = tokenizer.unknown_id


def _without_dropped(
    ids: npt.NDArray[np.int64], splits: npt.NDArray[np.int64]
) -> RaggedColumn:
    """Returns a column without the tokens whose id is -1."""
    kept = ids >= 0
    counts = np.zeros(len(ids) + 1, np.int64)
    np.cumsum(kept, out=counts[1:])
    return RaggedColumn(ids[kept].astype(np.int32), counts[splits])
