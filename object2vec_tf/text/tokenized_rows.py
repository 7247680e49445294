"""Rows of text to ragged columns of token ids."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import numpy as np
import tensorflow as tf

from object2vec_tf.ragged.column import RaggedColumn
from object2vec_tf.text.item_ids import Items, item_ids, list_ids
from object2vec_tf.text.tokenizer import Tokenizer

Text = str | Sequence[str]

# Texts that one core tokenizes at a time.
_TEXTS_PER_TASK = 4096


def token_ids(
    tokenizer: Tokenizer, rows: Sequence[Text | Items]
) -> tuple[RaggedColumn, int]:
    """Returns the token ids of rows, and the number of unknown tokens.

    Args:
        tokenizer: The tokenizer of the rows.
        rows: Strings and lists of strings; for ids of any kind also integers, alone or
            in lists.
    """
    if tokenizer.tokenization.is_id:
        return item_ids(tokenizer, rows)
    return _text_ids(tokenizer, cast(Sequence[Text], rows))


def _text_ids(tokenizer: Tokenizer, rows: Sequence[Text]) -> tuple[RaggedColumn, int]:
    is_text = np.array([isinstance(row, str) for row in rows], bool)
    texts = [row for row in rows if isinstance(row, str)]
    lists = [row for row in rows if not isinstance(row, str)]
    columns, unknown = [], 0
    if texts or not lists:
        starts = range(0, len(texts), _TEXTS_PER_TASK)
        parts = [texts[i : i + _TEXTS_PER_TASK] for i in starts] or [[]]
        # The ops release Python's global lock; each runs on one core.
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            for ids, count in pool.map(
                lambda part: tokenizer.of_texts(tf.constant(part, tf.string)), parts
            ):
                columns.append(_column(ids))
                unknown += int(count.numpy().sum())
    if lists:
        items = tf.constant([item for row in lists for item in row], tf.string)
        lengths = np.array([len(row) for row in lists], np.int64)
        column, in_lists = list_ids(tokenizer, items, lengths)
        columns.append(column)
        unknown += in_lists
    if not (texts and lists):
        return RaggedColumn.concatenate(columns), unknown
    # The column has the texts first, then the lists.
    order = np.empty(len(rows), np.int64)
    order[np.flatnonzero(is_text)] = np.arange(len(texts))
    order[np.flatnonzero(~is_text)] = len(texts) + np.arange(len(lists))
    return RaggedColumn.concatenate(columns).take(order), unknown


def _column(ids: tf.RaggedTensor) -> RaggedColumn:
    return RaggedColumn(ids.values.numpy().astype(np.int32), ids.row_splits.numpy())
