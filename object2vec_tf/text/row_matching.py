"""Rows of a token table that mean the same as rows of another model's table."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from object2vec_tf.text.tokenizer import Tokenizer
from object2vec_tf.text.vocabularies import parse_vocabulary, unknown_id

# Marks a row without a counterpart.
NEW = -1


@dataclasses.dataclass(frozen=True)
class TableRows:
    """The meaning of the rows of a token table.

    Attributes:
        size: Number of rows.
        words: Row by word; None for a table of ids without a vocabulary.
        first_bucket: Row of the first hash bucket for out-of-vocabulary words.
        buckets: Number of these buckets.
    """

    size: int
    words: Mapping[str, int] | None = None
    first_bucket: int = 0
    buckets: int = 0

    @classmethod
    def of_input(
        cls, size: int, tokenizer: Tokenizer | None, id_words: bytes | None = None
    ) -> TableRows:
        """Returns the rows of a table.

        Args:
            size: Number of rows.
            tokenizer: The tokenizer of the table's input; None for ids.
            id_words: The content of a vocabulary file of ids, if there is one.
        """
        if tokenizer is None and id_words is not None:
            ids = parse_vocabulary(id_words, "vocabulary")
            return cls(size, {word: i for word, i in ids.items() if i < size}, size)
        if tokenizer is None:
            return cls(size)
        words, buckets = tokenizer.vocabulary(), tokenizer.tokenization.num_oov_buckets
        return cls(size, words, max(words.values()) + 1, buckets)

    def unnamed(self) -> npt.NDArray[np.bool_]:
        """Returns which rows are neither a word nor a bucket, bool ``[size]``."""
        unnamed = np.ones(self.size, np.bool_)
        if self.words is not None:
            unnamed[list(self.words.values())] = False
            unnamed[self.first_bucket : self.first_bucket + self.buckets] = False
        return unnamed


def match_rows(rows: TableRows, earlier: TableRows) -> npt.NDArray[np.int64]:
    """Finds each row's counterpart in an earlier table.

    Where both tables have words, a word's row is the row of the same word, and the row
    of unknown words that of unknown words, however each vocabulary spells it. Hash
    buckets correspond if the earlier number of buckets divides the new one: a bucket's
    words were then all in one earlier bucket. Rows that have neither correspond by
    their position, as all rows do where only one table has words, or none.

    Args:
        rows: The rows of the table.
        earlier: The rows of the earlier table.

    Returns:
        Rows of the earlier table, or `NEW`, int64 ``[rows.size]``.

    Example:
        >>> from object2vec_tf.text.row_matching import TableRows, match_rows
        >>> earlier = TableRows(3, {"[UNK]": 0, "cat": 1, "dog": 2})
        >>> match_rows(TableRows(3, {"<unk>": 0, "dog": 1, "cow": 2}), earlier)
        array([ 0,  2, -1])
        >>> match_rows(TableRows(4), TableRows(3))
        array([ 0,  1,  2, -1])
    """
    sources = np.full(rows.size, NEW, np.int64)
    if rows.words is None or earlier.words is None:
        common = min(rows.size, earlier.size)
        sources[:common] = np.arange(common)
        return sources
    unnamed = np.flatnonzero(rows.unnamed()[: earlier.size])
    unnamed = unnamed[earlier.unnamed()[unnamed]]
    sources[unnamed] = unnamed
    if earlier.buckets and rows.buckets % earlier.buckets == 0:
        buckets = np.arange(rows.buckets)
        sources[rows.first_bucket + buckets] = (
            earlier.first_bucket + buckets % earlier.buckets
        )
    for word, row in rows.words.items():
        sources[row] = earlier.words.get(word, NEW)
    unknown, earlier_unknown = (
        unknown_id(dict(table.words or {})) for table in (rows, earlier)
    )
    if unknown is not None and earlier_unknown is not None:
        sources[unknown] = earlier_unknown
    return sources
