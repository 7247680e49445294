"""Document frequencies of tokens, and the weights that follow from them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from object2vec_tf.ragged.column import Column, Counts, Ids, RaggedColumn

_BLOCK_ROWS = 1 << 16


def document_frequencies(columns: Sequence[Column], vocab_size: int) -> Counts:
    """Returns the number of objects that have each token.

    Args:
        columns: Columns of objects, token ids by row; each row counts once.
        vocab_size: Ids from this on are not counted; they are those of n-grams.

    Returns:
        int64 ``[vocab_size]``.

    Example:
        >>> from object2vec_tf.ragged.column import RaggedColumn
        >>> column = RaggedColumn.from_rows([[1, 2, 1], [], [2]])
        >>> document_frequencies([column], vocab_size=4).tolist()
        [0, 1, 2, 0]
    """
    frequencies = np.zeros(vocab_size, np.int64)
    for column in columns:
        for start in range(0, len(column), _BLOCK_ROWS):
            stop = min(start + _BLOCK_ROWS, len(column))
            block = column.take(np.arange(start, stop))
            tokens = np.concatenate([*_distinct_tokens(block)])
            tokens = tokens[tokens < vocab_size]
            frequencies += np.bincount(tokens, minlength=vocab_size)
    return frequencies


def inverse_document_frequencies(
    frequencies: Counts, objects: int
) -> npt.NDArray[np.float64]:
    """Returns ``log((1 + objects) / (1 + frequency)) + 1``.

    This is the smooth form of scikit-learn's ``TfidfTransformer``, which is 1 for a
    token that all objects have.

    Args:
        frequencies: Number of objects that have a token, ``[tokens]``.
        objects: Number of objects.

    Returns:
        float64 ``[tokens]``.

    Example:
        >>> import numpy as np
        >>> inverse_document_frequencies(np.array([9, 0]), objects=9).round(6).tolist()
        [1.0, 3.302585]
    """
    return np.log((1 + objects) / (1 + frequencies)) + 1


def _distinct_tokens(column: RaggedColumn) -> Iterator[Ids]:
    """Yields the distinct tokens of each row, in any order."""
    lengths = column.lengths
    order = np.argsort(lengths, kind="stable")
    # Rows of equal length form a matrix, each row of which is sorted on its own.
    edges = np.flatnonzero(np.diff(lengths[order], prepend=-1, append=-1))
    for start, stop in itertools.pairwise(edges):
        rows = order[start:stop]
        columns = np.arange(lengths[rows[0]])
        tokens = column.values[column.row_splits[rows][:, np.newaxis] + columns]
        tokens.sort(axis=1)
        is_new = np.ones(tokens.shape, bool)
        np.not_equal(tokens[:, 1:], tokens[:, :-1], out=is_new[:, 1:])
        yield tokens[is_new]
