"""Rows of text to ragged columns of token ids."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf

from object2vec_tf.ragged.column import RaggedColumn
from object2vec_tf.text.tokenizer import Tokenizer

Text = str | Sequence[str]

# Texts that are tokenized at a time, on each core.
_PART = 4096


def token_ids(tokenizer: Tokenizer, rows: Sequence[Text]) -> tuple[RaggedColumn, int]:
    """Returns the token ids of texts and lists of strings, and the unknown tokens."""
    is_text = np.array([isinstance(row, str) for row in rows], bool)
    texts = [row for row in rows if isinstance(row, str)]
    lists = [row for row in rows if not isinstance(row, str)]
    columns, unknown = [], 0
    if texts or not lists:
        parts = [texts[i : i + _PART] for i in range(0, len(texts), _PART)] or [[]]
        # The ops run outside Python's lock, each on one core.
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            for ids, count in pool.map(
                lambda part: tokenizer.of_texts(tf.constant(part, tf.string)), parts
            ):
                columns.append(_column(ids))
                unknown += int(tf.reduce_sum(count))
    if lists:
        items = tf.RaggedTensor.from_row_lengths(
            tf.constant([item for row in lists for item in row], tf.string),
            np.array([len(row) for row in lists], np.int64),
        )
        ids, count = tokenizer.of_lists(items)
        columns.append(_column(ids))
        unknown += int(tf.reduce_sum(count))
    if not (texts and lists):
        return RaggedColumn.concatenate(columns), unknown
    order = np.empty(len(rows), np.int64)
    order[np.flatnonzero(is_text)] = np.arange(len(texts))
    order[np.flatnonzero(~is_text)] = len(texts) + np.arange(len(lists))
    return RaggedColumn.concatenate(columns).take(order), unknown


def _column(ids: tf.RaggedTensor) -> RaggedColumn:
    return RaggedColumn(ids.values.numpy().astype(np.int32), ids.row_splits.numpy())
