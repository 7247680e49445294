"""A set of pairs of numbers as bits: exact for small ranges, else a Bloom filter."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import numpy.typing as npt

from object2vec_tf.ragged.column import Counts

# An exact table may take this many bits for each pair of the set, or in total.
_MAX_BITS_PER_PAIR = 64
_MAX_SMALL_TABLE_BITS = 1 << 26
# A Bloom filter has from 8 to 16 bits for each pair: 6 to 12% false positives.
_MIN_BLOOM_BITS_PER_PAIR = 8
# Knuth, The Art of Computer Programming, volume 3, section 6.4: the golden ratio.
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_BLOCK = 1 << 20


@dataclasses.dataclass(frozen=True, eq=False)
class PairFilter:
    """Finds most of the pairs that are not in a set of pairs.

    Source of Bloom filters: Bloom 1970, "Space/Time Trade-offs in Hash Coding with
    Allowable Errors"; here with one hash function.

    Example:
        >>> import numpy as np
        >>> filter = PairFilter.of(np.array([0, 2]), np.array([1, 3]), (3, 4))
        >>> filter.may_contain(np.array([0, 0]), np.array([1, 3]))
        array([ True, False])
        >>> filter.is_exact
        True

    Attributes:
        bits: The bits, uint8 ``[bytes]``.
        columns: The number of second numbers.
        shift: The bits of a 64-bit hash that are not used; None for an exact table.
    """

    bits: npt.NDArray[np.uint8]
    columns: int
    shift: int | None

    @classmethod
    def of(cls, first: Counts, second: Counts, shape: tuple[int, int]) -> PairFilter:
        """Returns the filter of a set of pairs.

        Args:
            first: The first number of each pair, ``[pairs]``.
            second: The second number of each pair, ``[pairs]``.
            shape: The number of different first numbers, and of second numbers.
        """
        size, pairs = shape[0] * shape[1], max(len(first), 1)
        shift = None
        if size > max(_MAX_BITS_PER_PAIR * pairs, _MAX_SMALL_TABLE_BITS):
            exponent = math.ceil(math.log2(_MIN_BLOOM_BITS_PER_PAIR * pairs))
            size, shift = 1 << exponent, 64 - exponent
        filter = cls(np.zeros(-(-size // 8), np.uint8), shape[1], shift)
        for start in range(0, len(first), _BLOCK):
            block = slice(start, start + _BLOCK)
            positions = filter._positions(first[block], second[block])
            values = np.left_shift(1, positions & 7).astype(np.uint8)
            np.bitwise_or.at(filter.bits, positions >> 3, values)
        return filter

    @property
    def is_exact(self) -> bool:
        """Whether every pair that the set may contain is in it."""
        return self.shift is None

    def may_contain(self, first: Counts, second: Counts) -> npt.NDArray[np.bool_]:
        """Returns False for pairs that are not in the set.

        Args:
            first: ``[pairs]``.
            second: ``[pairs]``.
        """
        positions = self._positions(first, second)
        masks = np.left_shift(1, positions & 7).astype(np.uint8)
        return (self.bits[positions >> 3] & masks) > 0

    def _positions(self, first: Counts, second: Counts) -> npt.NDArray[np.int64]:
        """Returns the position of each pair's bit."""
        if self.shift is None:
            return first.astype(np.int64) * self.columns + second
        keys = (first.astype(np.uint64) << np.uint64(32)) | second.astype(np.uint64)
        return ((keys * _GOLDEN) >> np.uint64(self.shift)).view(np.int64)
