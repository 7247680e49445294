"""Finds the distinct tokens of batches, and the position of each token among them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from object2vec_tf.errors import DataError
from object2vec_tf.ragged.column import Counts, Ids, repeated

# Arrays with one element per token id are used for up to this number of ids, and for
# this number per token. Otherwise the tokens are sorted.
_MAX_MARKS = 1 << 26
_MARKS_PER_TOKEN = 100
# Batches with at least this number of tokens are taken one by one: marks for the
# tokens of a single batch stay in the cache of a processor.
_MANY_TOKENS = 1 << 12


@dataclasses.dataclass(frozen=True, eq=False)
class UniqueTokens:
    """The distinct tokens of several batches.

    Attributes:
        ids: The distinct token ids of each batch, ascending, batch after batch: int32
            ``[unique]``.
        counts: The number of distinct ids of each batch, ``[batches]``.
        positions: For each array of tokens, the position of each token among the
            distinct ids of its batch, int32 ``[tokens]``.
    """

    ids: Ids
    counts: Counts
    positions: Sequence[Ids]


class TokenFinder:
    """Finds distinct tokens. Its buffers are reused, so a thread needs its own.

    Example:
        >>> import numpy as np
        >>> finder = TokenFinder()
        >>> tokens = np.array([7, 3, 7, 5, 3], np.int32)
        >>> found = finder.find([tokens], [np.array([0, 3, 5])], vocab_size=10)
        >>> found.ids.tolist(), found.counts.tolist(), found.positions[0].tolist()
        ([3, 7, 3, 5], [2, 2], [1, 0, 1, 1, 0])
    """

    def __init__(self) -> None:
        self._marks = np.zeros(0, bool)
        self._numbers = np.zeros(0, np.int32)

    def find(
        self, tokens: Sequence[Ids], splits: Sequence[Counts], vocab_size: int
    ) -> UniqueTokens:
        """Returns the distinct tokens of each batch.

        Args:
            tokens: Arrays of token ids that share a vocabulary, ``[tokens]`` each. Each
                one has tokens of all batches.
            splits: For each array, the tokens of batch i are
                ``tokens[splits[i]:splits[i + 1]]``.
            vocab_size: Token ids are below this.

        Raises:
            DataError: A token id is not.
        """
        for ids in tokens:
            _check(ids, vocab_size)
        batches = len(splits[0]) - 1
        if batches == 1:
            distinct, positions = self._find(tokens, vocab_size)
            ids = distinct.astype(np.int32)
            return UniqueTokens(ids, np.array([len(ids)]), positions)
        if sum(map(len, tokens)) >= batches * _MANY_TOKENS:
            return self._find_one_by_one(tokens, splits, vocab_size)
        # A token of another batch is another key.
        edges = np.arange(batches + 1, dtype=np.int64) * vocab_size
        sizes = [np.diff(edges) for edges in splits]
        keys = [
            ids + repeated(edges[:-1], size)
            for ids, size in zip(tokens, sizes, strict=True)
        ]
        distinct, positions = self._find(keys, batches * vocab_size)
        starts = np.searchsorted(distinct, edges)
        counts = np.diff(starts)
        ids = (distinct - repeated(edges[:-1], counts)).astype(np.int32)
        for position, size in zip(positions, sizes, strict=True):
            position -= repeated(starts[:-1], size).astype(np.int32)
        return UniqueTokens(ids, counts, positions)

    def _find_one_by_one(
        self, tokens: Sequence[Ids], splits: Sequence[Counts], vocab_size: int
    ) -> UniqueTokens:
        """Does the same as `find`, a batch at a time."""
        positions = [np.empty(len(ids), np.int32) for ids in tokens]
        found = []
        for batch in range(len(splits[0]) - 1):
            parts = [slice(edges[batch], edges[batch + 1]) for edges in splits]
            keys = [ids[part] for ids, part in zip(tokens, parts, strict=True)]
            distinct, of_keys = self._find(keys, vocab_size)
            found.append(distinct)
            for array, part, values in zip(positions, parts, of_keys, strict=True):
                array[part] = values
        counts = np.array([len(distinct) for distinct in found])
        return UniqueTokens(np.concatenate(found).astype(np.int32), counts, positions)

    def _find(
        self, keys: Sequence[npt.NDArray[Any]], limit: int
    ) -> tuple[npt.NDArray[Any], list[Ids]]:
        """Returns the distinct keys, ascending, and the position of each key."""
        count = sum(map(len, keys))
        if limit > min(_MAX_MARKS, _MARKS_PER_TOKEN * count):
            distinct, positions = _find_by_sorting(np.concatenate(keys))
            return distinct, np.split(positions, np.cumsum([len(k) for k in keys[:-1]]))
        if limit > len(self._marks):
            self._marks = np.zeros(limit, bool)
            self._numbers = np.empty(limit, np.int32)
        marks, numbers = self._marks[:limit], self._numbers[:limit]
        # numpy reads indices of this type much faster than others.
        keys = [array.astype(np.int64, copy=False) for array in keys]
        for array in keys:
            marks[array] = True
        distinct = np.flatnonzero(marks)
        marks[distinct] = False
        numbers[distinct] = np.arange(len(distinct), dtype=np.int32)
        return distinct, [numbers[array] for array in keys]


def _check(tokens: Ids, vocab_size: int) -> None:
    """Checks that token ids are in the vocabulary."""
    # Negative ids are large numbers without a sign.
    if len(tokens) and (largest := int(tokens.view(np.uint32).max())) >= vocab_size:
        wrong = np.uint32(largest).view(np.int32)
        raise DataError(
            f"token ids: expected integers from 0 to {vocab_size - 1}, got {wrong}. "
            "Read the pairs with the settings of the model."
        )


def _find_by_sorting(keys: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], Ids]:
    """Returns the distinct keys, ascending, and the position of each key."""
    count = len(keys)
    bits = max(count - 1, 0).bit_length()
    if int(keys.max(initial=0)).bit_length() + bits > 63:
        distinct, inverse = np.unique(keys, return_inverse=True)
        return distinct, inverse.astype(np.int32)
    # A plain sort of key and index together is several times as fast as an argsort.
    combined = keys.astype(np.int64)
    combined <<= bits
    combined |= np.arange(count)
    combined.sort()
    order = combined & ((1 << bits) - 1)
    combined >>= bits
    is_new = np.ones(count, bool)
    np.not_equal(combined[1:], combined[:-1], out=is_new[1:])
    positions: Ids = np.empty(count, np.int32)
    positions[order] = np.cumsum(is_new) - 1
    return combined[is_new], positions
