"""Finds the distinct tokens of batches, and the position of each token among them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from object2vec_tf.errors import DataError
from object2vec_tf.ragged.column import Counts, Ids, Splits

# Arrays with one element per token id are used for up to this number of ids, and for
# this number per token. Otherwise the tokens are sorted.
_MAX_MARKS = 1 << 26
_MARKS_PER_TOKEN = 64


@dataclasses.dataclass(frozen=True, eq=False)
class UniqueTokens:
    """The distinct tokens of several batches.

    Attributes:
        ids: The distinct token ids of each batch, ascending, batch after batch: int32
            ``[unique]``.
        splits: Batch i has ``ids[splits[i]:splits[i + 1]]``. ``[batches + 1]``.
        positions: The position of each token among the distinct ids of its batch, int32
            ``[tokens]``.
    """

    ids: Ids
    splits: Splits
    positions: Ids


class TokenFinder:
    """Finds distinct tokens. Its buffers are reused, so a thread needs its own.

    Example:
        >>> import numpy as np
        >>> finder = TokenFinder()
        >>> tokens = np.array([7, 3, 7, 5, 3], np.int32)
        >>> found = finder.find(tokens, np.array([0, 3, 5]), vocab_size=10)
        >>> found.ids.tolist(), found.splits.tolist(), found.positions.tolist()
        ([3, 7, 3, 5], [0, 2, 4], [1, 0, 1, 1, 0])
    """

    def __init__(self) -> None:
        self._marks = np.zeros(0, bool)
        self._numbers = np.zeros(0, np.int32)

    def find(self, tokens: Ids, splits: Counts, vocab_size: int) -> UniqueTokens:
        """Returns the distinct tokens of each batch.

        Args:
            tokens: Token ids of all batches, ``[tokens]``.
            splits: The tokens of batch i are ``tokens[splits[i]:splits[i + 1]]``.
            vocab_size: Token ids are below this.

        Raises:
            DataError: A token id is not.
        """
        _check(tokens, vocab_size)
        batches = len(splits) - 1
        keys: npt.NDArray[Any] = tokens
        if batches > 1:
            # A token of another batch is another key.
            shifts = np.arange(batches, dtype=np.int64) * vocab_size
            keys = tokens + np.repeat(shifts, np.diff(splits))
        distinct, numbers = self._find(keys, batches * vocab_size)
        if batches == 1:
            return UniqueTokens(
                distinct.astype(np.int32), np.array([0, len(distinct)]), numbers
            )
        edges = np.arange(batches + 1) * vocab_size
        starts = np.searchsorted(distinct, edges)
        counts = np.diff(starts)
        ids = distinct - np.repeat(edges[:-1], counts)
        numbers -= np.repeat(starts[:-1], np.diff(splits)).astype(np.int32)
        return UniqueTokens(ids.astype(np.int32), starts, numbers)

    def _find(self, keys: npt.NDArray[Any], limit: int) -> tuple[npt.NDArray[Any], Ids]:
        """Returns the distinct keys, ascending, and the position of each key."""
        if limit > min(_MAX_MARKS, _MARKS_PER_TOKEN * len(keys)):
            return _find_by_sorting(keys)
        if limit > len(self._marks):
            self._marks = np.zeros(limit, bool)
            self._numbers = np.empty(limit, np.int32)
        marks, numbers = self._marks[:limit], self._numbers[:limit]
        marks[keys] = True
        distinct = np.flatnonzero(marks)
        marks[distinct] = False
        numbers[distinct] = np.arange(len(distinct), dtype=np.int32)
        return distinct, numbers[keys]


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
