"""The positive pairs of a channel: which objects must not be negatives of which."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from object2vec_tf.data.pair_filter import PairFilter
from object2vec_tf.progress import phase
from object2vec_tf.ragged.column import Column, Counts
from object2vec_tf.ragged.row_hashes import object_numbers

Numbers = npt.NDArray[np.int32]
Booleans = npt.NDArray[np.bool_]

# Partners are looked up one by one, rather than all read, for an object with more
# partners than this number times the lookups.
_READS_PER_LOOKUP = 8


@dataclasses.dataclass(frozen=True, eq=False)
class KnownPairs:
    """The distinct positive pairs of a channel, as a sorted list of partners.

    Every distinct object of a side has a number. The partners of one side's objects
    are stored end to end, as in a sparse matrix in CSR format. That side is the one
    where an object of a random pair has fewer partners.

    For r rows and p distinct positive pairs, the arrays take about 8 r + 5 p bytes (up
    to 8 r + 12 p if a large fraction of all pairs is known).

    Example:
        >>> import numpy as np
        >>> from object2vec_tf.ragged.column import RaggedColumn
        >>> in0 = RaggedColumn.from_rows([[1], [1], [2]])
        >>> in1 = RaggedColumn.from_rows([[7, 8], [9], [9]])
        >>> known = KnownPairs.of(in0, in1, np.array([1, 0, 1]))
        >>> known.contains(known.numbers[0][[0, 1]], known.numbers[1][[0, 1]])
        array([ True, False])

    Attributes:
        numbers: The number of in0's object and of in1's object in each row of the
            channel, int32 ``[rows]`` each.
        side: The side (0 or 1) whose objects have lists of partners.
        splits: int64 ``[objects + 1]``; object i of the side has the partners
            ``partners[splits[i]:splits[i + 1]]``.
        partners: Numbers of objects of the other side, int32 ``[pairs]``; ascending for
            each object.
        filter: Finds most pairs that are not known faster than a search in the lists.
    """

    numbers: tuple[Numbers, Numbers]
    side: int
    splits: npt.NDArray[np.int64]
    partners: Numbers
    filter: PairFilter

    @classmethod
    def of(cls, in0: Column, in1: Column, labels: Any) -> KnownPairs:
        """Returns the known pairs of a channel.

        Args:
            in0: Token ids of the first objects.
            in1: Token ids of the second objects.
            labels: ``[rows]``; a pair is positive if its label is above 0.
        """
        with phase("listing known pairs"):
            return cls._of(in0, in1, np.asarray(labels))

    @classmethod
    def _of(cls, in0: Column, in1: Column, labels: npt.NDArray[Any]) -> KnownPairs:
        numbers = object_numbers(in0), object_numbers(in1)
        keys = _distinct_keys(*numbers, labels > 0)
        counts = [int(side.max(initial=-1)) + 1 for side in numbers]
        degrees = [
            np.bincount(part, minlength=count)
            for part, count in zip(_split(keys), counts, strict=True)
        ]
        # The mean number of partners of the object of a random pair.
        costs = [float(np.square(d, dtype=np.float64).sum()) for d in degrees]
        side = int(costs[1] < costs[0])
        filter = PairFilter.of(*_split(keys), (counts[0], counts[1]))
        if side:
            keys = (keys << 32) | (keys >> 32)
            keys.sort()
        splits = np.zeros(counts[side] + 1, np.int64)
        np.cumsum(degrees[side], out=splits[1:])
        return cls(numbers, side, splits, _split(keys)[1], filter)

    def contains(self, first: Counts, second: Counts) -> Booleans:
        """Returns whether pairs of objects are known.

        Args:
            first: Numbers of objects of in0, ``[pairs]``.
            second: Numbers of objects of in1, ``[pairs]``.

        Returns:
            bool ``[pairs]``.
        """
        found = self.filter.may_contain(first, second)
        if not self.filter.is_exact:
            found[found] = self._contains(first[found], second[found])
        return found

    def _contains(self, first: Counts, second: Counts) -> Booleans:
        """Searches for pairs in the lists of partners; see `contains`."""
        own, other = (second, first) if self.side else (first, second)
        # The first partner that is not less, by bisection of all lists at once.
        low, stop = self.splits[own], self.splits[own + 1]
        size = stop - low
        for _ in range(int(size.max(initial=0)).bit_length()):
            half = size >> 1
            middle = low + half
            is_less = self.partners[np.minimum(middle, len(self.partners) - 1)] < other
            is_less &= size > 0
            low = np.where(is_less, middle + 1, low)
            size = np.where(is_less, size - half - 1, half)
        found = low < stop
        found[found] = self.partners[low[found]] == other[found]
        return found

    def among(self, first: Counts, second: Counts) -> Booleans:
        """Returns which of some objects form known pairs.

        Args:
            first: Distinct numbers of objects of in0, ``[n]``.
            second: Distinct numbers of objects of in1, ascending, ``[m]``.

        Returns:
            bool ``[n, m]``.
        """
        if self.side:
            order = np.argsort(first)
            result = np.empty((len(first), len(second)), bool)
            result[order] = self._among(second, first[order]).T
            return result
        return self._among(first, second)

    def _among(self, own: Counts, others: Counts) -> Booleans:
        """Returns which own objects have which others (ascending) as partners."""
        mask = np.zeros((len(own), len(others)), bool)
        if not mask.size:
            return mask
        starts = self.splits[own]
        sizes = self.splits[own + 1] - starts
        is_long = sizes > _READS_PER_LOOKUP * len(others)
        for i in np.flatnonzero(is_long):
            partners = self.partners[starts[i] : starts[i] + sizes[i]]
            positions = np.minimum(np.searchsorted(partners, others), sizes[i] - 1)
            mask[i] = partners[positions] == others
        sizes = np.where(is_long, 0, sizes)
        ends = np.cumsum(sizes)
        rows = np.repeat(np.arange(len(own)), sizes)
        reads = np.arange(ends[-1]) + np.repeat(starts - ends + sizes, sizes)
        partners = self.partners[reads]
        columns = np.minimum(np.searchsorted(others, partners), len(others) - 1)
        found = others[columns] == partners
        mask[rows[found], columns[found]] = True
        return mask


def _distinct_keys(
    first: Numbers, second: Numbers, is_positive: Booleans
) -> npt.NDArray[np.int64]:
    """Returns ``first << 32 | second`` of the distinct positive pairs, ascending."""
    keys = first[is_positive].astype(np.int64)
    keys <<= 32
    keys |= second[is_positive]
    keys.sort()
    is_new = np.ones(len(keys), bool)
    np.not_equal(keys[1:], keys[:-1], out=is_new[1:])
    return keys[is_new]


def _split(keys: npt.NDArray[np.int64]) -> tuple[Numbers, Numbers]:
    """Returns the first and the second half of each key's bits."""
    return (keys >> 32).astype(np.int32), keys.astype(np.uint32).astype(np.int32)
