"""Draws the negatives of batches while the input pipeline makes them."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from object2vec_tf.data.known_pairs import Booleans, KnownPairs, Numbers
from object2vec_tf.ragged.column import Counts

# Draws per pair before the remaining candidates are enumerated: factors of the first
# number of draws.
_ROUNDS = (1, 2, 6)

FloatArray = npt.NDArray[np.floating[Any]]


@dataclasses.dataclass(frozen=True, eq=False)
class NegativeDraws:
    """Draws negatives that are not known pairs, from the in1 of each pair's batch.

    Rows of the batch are drawn until a pair has enough negatives. A row is rejected if
    its in1 is the pair's own, forms a known pair with the pair's in0, or is a negative
    of the pair already. Objects are thus drawn without replacement, in proportion to
    the sums of the weights of their rows. A pair that several rounds leave incomplete
    chooses among all of its candidates, with the same probabilities.

    Attributes:
        known: The known pairs of the channel.
        rate: Negatives per pair.
        weights: The weight of each row of the channel, float ``[rows]``; None if all
            rows have the same weight.
    """

    known: KnownPairs
    rate: int
    weights: FloatArray | None = None

    def draw(
        self, batches: Sequence[Counts], generator: np.random.Generator
    ) -> list[Numbers]:
        """Draws the negatives of several batches at once.

        Args:
            batches: The rows of each batch, ``[batch]``.
            generator: Source of randomness.

        Returns:
            For each batch, int32 ``[batch, rate]``: positions in the batch whose in1
            are the negatives of each pair; -1 after the last negative of a pair that
            has fewer than ``rate`` candidates.
        """
        draft = _Draft.of(self, batches)
        for factor in _ROUNDS:
            pending = draft.pending()
            if not len(pending):
                break
            draws = factor * (self.rate + 1 + self.rate // 4)
            positions = draft.random_positions(pending, draws, generator)
            draft.accept(pending, positions)
        draft.enumerate(draft.pending(), generator)
        return draft.by_batch()


@dataclasses.dataclass(frozen=True, eq=False)
class _Draft:
    """Negatives of several batches, end to end, while they are drawn.

    Attributes:
        draws: The settings.
        first: The number of each pair's in0, ``[pairs]``.
        second: The number of each pair's in1, ``[pairs]``.
        splits: The position of each batch's first pair, and the end, ``[batches + 1]``.
        starts: The position of the first pair of each pair's batch, ``[pairs]``.
        sizes: The number of pairs of each pair's batch, ``[pairs]``.
        edges: The sums of the weights of the first 0 to all pairs, ``[pairs + 1]``;
            None without weights.
        chosen: The position of each negative, -1 for none, int64 ``[rate, pairs]``.
        counts: The number of negatives of each pair, ``[pairs]``.
    """

    draws: NegativeDraws
    first: Numbers
    second: Numbers
    splits: Counts
    starts: Counts
    sizes: Counts
    edges: FloatArray | None
    chosen: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]

    @classmethod
    def of(cls, draws: NegativeDraws, batches: Sequence[Counts]) -> _Draft:
        """Returns a draft without negatives."""
        rows = np.concatenate(batches)
        lengths = np.array([len(batch) for batch in batches])
        splits = np.concatenate([[0], np.cumsum(lengths)])
        first, second = (numbers[rows] for numbers in draws.known.numbers)
        edges = None
        if draws.weights is not None:
            edges = np.concatenate([[0], np.cumsum(draws.weights[rows], dtype=float)])
        return cls(
            draws,
            first,
            second,
            splits,
            np.repeat(splits[:-1], lengths),
            np.repeat(lengths, lengths),
            edges,
            np.full((draws.rate, len(rows)), -1),
            np.zeros(len(rows), np.int64),
        )

    def pending(self) -> npt.NDArray[np.int64]:
        """Returns the positions of the pairs that lack negatives."""
        return np.flatnonzero(self.counts < self.draws.rate)

    def random_positions(
        self, pairs: Counts, draws: int, generator: np.random.Generator
    ) -> Counts:
        """Draws positions in the batches of some pairs, ``[draws, pairs]``."""
        uniform = generator.random((draws, len(pairs)))
        starts, sizes = self.starts[pairs], self.sizes[pairs]
        if self.edges is None:
            return starts + (uniform * sizes).astype(np.int64)
        low, high = self.edges[starts], self.edges[starts + sizes]
        found = np.searchsorted(self.edges, low + uniform * (high - low), "right") - 1
        return np.clip(found, starts, starts + sizes - 1)

    def accept(self, pairs: Counts, positions: Counts) -> None:
        """Takes the first positions that are new negatives of their pair.

        Args:
            pairs: Positions of pairs, ``[pairs]``.
            positions: Candidates in the order of the draws, ``[draws, pairs]``.
        """
        objects = self.second[positions]
        accepted = objects != self.second[pairs]
        first = np.broadcast_to(self.first[pairs], objects.shape)
        accepted[accepted] = ~self.draws.known.contains(
            first[accepted], objects[accepted]
        )
        for earlier in self.chosen[:, pairs]:
            if not np.any(earlier >= 0):
                break
            accepted &= (objects != self.second[earlier]) | (earlier < 0)
        for i in range(1, len(objects)):
            accepted[i] &= ~(objects[:i] == objects[i]).any(axis=0)
        self._take(pairs, positions, accepted)

    def _take(self, pairs: Counts, positions: Counts, accepted: Booleans) -> None:
        """Adds the first accepted positions, up to the rate."""
        ranks = np.cumsum(accepted, axis=0) + self.counts[pairs]
        accepted &= ranks <= self.draws.rate
        draw, column = np.nonzero(accepted)
        pair = pairs[column]
        self.chosen[ranks[draw, column] - 1, pair] = positions[draw, column]
        self.counts[pairs] += accepted.sum(axis=0)

    def enumerate(self, pairs: Counts, generator: np.random.Generator) -> None:
        """Draws the missing negatives of some pairs from all of their candidates.

        The exponential variables with rates w are in the order of draws without
        replacement with the weights w.
        """
        ends = np.searchsorted(pairs, self.splits)
        for i, (low, high) in enumerate(itertools.pairwise(ends)):
            if low == high:
                continue
            own, start, stop = pairs[low:high], self.splits[i], self.splits[i + 1]
            objects, positions, numbers = np.unique(
                self.second[start:stop], return_index=True, return_inverse=True
            )
            edges = None if self.edges is None else self.edges[start : stop + 1]
            weights = np.bincount(numbers, None if edges is None else np.diff(edges))
            first, index = np.unique(self.first[own], return_inverse=True)
            excluded = self.draws.known.among(first, objects)[index]
            excluded |= objects == self.second[own, np.newaxis]
            draw, column = np.nonzero(self.chosen[:, own] >= 0)
            chosen = self.second[self.chosen[draw, own[column]]]
            excluded[column, np.searchsorted(objects, chosen)] = True
            keys = generator.standard_exponential(excluded.shape) / weights
            keys[excluded] = np.inf
            order = np.argsort(keys, axis=1)[:, : self.draws.rate].T
            accepted = np.isfinite(np.take_along_axis(keys.T, order, axis=0))
            self._take(own, start + positions[order], accepted)

    def by_batch(self) -> list[Numbers]:
        """Returns the negatives of each batch as positions in the batch."""
        local = np.where(self.chosen < 0, -1, self.chosen - self.starts)
        local = np.ascontiguousarray(local.T, np.int32)
        return np.split(local, self.splits[1:-1])
