"""Blocks of lines that hold text to columns of token ids."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import msgspec
import numpy as np
import tensorflow as tf

from object2vec_tf.data.block_parser import Parsed
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.ragged.column import RaggedColumn
from object2vec_tf.text.tokenizer import Tokenizer
from object2vec_tf.text.tokenizer_loading import Tokenizers

Text = str | Sequence[str]

# Texts that are tokenized at a time, on each core.
_PART = 4096


class TextReader:
    """Reads blocks of lines in which in0, in1 or both are text.

    Args:
        hyperparameters: The model's vocabulary sizes, output layer and classes.
        tokenizers: What makes token ids of each side; None where it holds ids.

    Attributes:
        unknown: Tokens that the vocabulary lacks, by side that is text.
    """

    def __init__(
        self, hyperparameters: Hyperparameters, tokenizers: Tokenizers
    ) -> None:
        self._tokenizers = dict(zip(("in0", "in1"), tokenizers, strict=True))
        self.unknown = {name: 0 for name, held in self._tokenizers.items() if held}
        fields: list[Any] = []
        for i, (name, tokenizer) in enumerate(self._tokenizers.items()):
            size = hyperparameters.of_encoder(i, "vocab_size")
            token = Annotated[int, msgspec.Meta(ge=0, lt=size)]
            fields.append((name, str | list[str] if tokenizer else list[token]))
        self._softmax = hyperparameters.output_layer == "softmax"
        classes = msgspec.Meta(ge=0, lt=hyperparameters.num_classes)
        fields.append(("label", Annotated[int, classes] if self._softmax else float))
        weight = Annotated[float, msgspec.Meta(ge=0)] | msgspec.UnsetType
        fields.append(("weight", weight, msgspec.UNSET))
        line: Any = msgspec.defstruct("Line", fields, gc=False)
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(line)

    def read(self, blocks: Iterable[bytes]) -> Iterator[Parsed]:
        """Yields what each block holds, in order; None when a line may not be right."""
        for block in blocks:
            try:
                lines = self._decoder.decode_lines(block)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                yield None
                continue
            columns = {
                name: self.column(name, [getattr(line, name) for line in lines])
                for name in self._tokenizers
            }
            given = [line.weight for line in lines]
            weights = None
            if any(weight is not msgspec.UNSET for weight in given):
                weights = np.array([1.0 if w is msgspec.UNSET else w for w in given])
            kind = np.int64 if self._softmax else np.float64
            yield columns, np.array([line.label for line in lines], kind), weights

    def column(self, name: str, rows: Sequence[Any]) -> RaggedColumn:
        """Returns the token ids of one side's rows."""
        tokenizer = self._tokenizers[name]
        if tokenizer is None:
            return RaggedColumn.from_rows(rows)
        column, unknown = token_ids(tokenizer, rows)
        self.unknown[name] += unknown
        return column

    def close(self) -> None:
        """Does nothing; `BlockReader` has a process to end."""


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
