"""The inputs of shuffled batches that keep negatives from being known pairs."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from object2vec_tf.data.arrow_store import MappedNumbers
from object2vec_tf.data.known_pairs import KnownPairs
from object2vec_tf.data.negative_draws import NegativeDraws
from object2vec_tf.data.negative_settings import NegativeSettings
from object2vec_tf.ragged.column import Counts

# Keys of a dataset's inputs. int32 [batch, rate]: the positions in the batch whose in1
# are the negatives of each pair, or -1.
NEGATIVES = "negatives"
# int32 [batch, 2]: numbers of in0 and in1 in the batch; equal objects share a number.
BATCH_OBJECTS = "batch_objects"
# int32 [known]: number of in0 * (largest number of in1 + 1) + number of in1, of the
# known pairs among the objects of the batch.
KNOWN_PAIRS = "known_pairs"

# Negatives are drawn for at least this number of pairs at once, if batches are smaller.
_PAIRS_PER_DRAW = 8192
# Separates the random stream of negatives from those of the order of rows.
_STREAM = 2

Extra = dict[str, npt.NDArray[Any]]


NO_NEGATIVES_YET: Mapping[str, Any] = {"asked": 0, "made": 0, "weight": 0.0}


def sum_negatives(tallies: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns the sums of what `NegativeTally.totals` returned."""
    sums = dict(NO_NEGATIVES_YET)
    for tally in tallies:
        for name in sums:
            sums[name] += tally[name]
    return sums


class NegativeTally:
    """Counts the negatives of the batches of one epoch.

    The input pipeline records batches in its own threads.

    Example:
        >>> tally = NegativeTally()
        >>> tally.record(0, asked=6, made=5, weight=5.0)
        >>> tally.record(1, asked=6, made=6, weight=6.0)
        >>> tally.totals()
        {'asked': 12, 'made': 11, 'weight': 11.0}
        >>> tally.totals(batches=1)
        {'asked': 6, 'made': 5, 'weight': 5.0}
    """

    def __init__(self) -> None:
        self._batches: dict[int, tuple[int, int, float]] = {}
        self._lock = threading.Lock()

    def record(self, batch: int, asked: int, made: int, weight: float) -> None:
        """Records a batch; several replicas may record the same one.

        Args:
            batch: The number of the batch in the epoch.
            asked: The number of pairs times the rate.
            made: The number of negatives.
            weight: The sum of the negatives' weights.
        """
        with self._lock:
            self._batches[batch] = asked, made, weight

    def update(self, other: NegativeTally, first: int) -> None:
        """Records what another tally recorded about batches from a number on."""
        for batch, values in other._recorded():
            if batch >= first:
                self.record(batch, *values)

    def totals(self, batches: int | None = None) -> dict[str, Any]:
        """Returns the sums over the recorded batches, or those before a number."""
        counted = [
            values
            for batch, values in self._recorded()
            if batches is None or batch < batches
        ]
        names = tuple(NO_NEGATIVES_YET)
        return sum_negatives(dict(zip(names, v, strict=True)) for v in counted)

    def _recorded(self) -> list[tuple[int, tuple[int, int, float]]]:
        """Returns the batches that were recorded so far, with their values."""
        with self._lock:
            return list(self._batches.items())


def batches_per_draw(batch_size: int) -> int:
    """Returns the number of batches whose negatives are drawn together."""
    return max(1, _PAIRS_PER_DRAW // batch_size)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class BatchNegatives:
    """Makes the inputs of shuffled batches that concern negatives, and counts them.

    Attributes:
        settings: The settings.
        known: The known pairs of the channel; None if they are not excluded.
        draw_weights: The weight of each row as a negative, float ``[rows]``; None if
            all rows have the same weight.
        pair_weights: How many times each pair counts, ``[rows]``; None for once.
        tally: Counts the negatives; None if nobody needs them.
    """

    settings: NegativeSettings
    known: KnownPairs | None
    draw_weights: npt.NDArray[np.float32] | None
    pair_weights: npt.NDArray[np.float32] | MappedNumbers | None
    tally: NegativeTally | None

    def batches(
        self,
        plan: Sequence[Counts],
        batch_size: int,
        first: int,
        seeds: tuple[int, int],
    ) -> Iterator[tuple[Counts, Extra]]:
        """Yields the rows of batches, and their inputs.

        Draws of a batch depend on the seeds and the number of the batch only.

        Args:
            plan: The rows of each batch of the epoch.
            batch_size: The largest number of rows of a batch.
            first: The number of the first batch to yield.
            seeds: The seed and the number of the epoch.
        """
        group = batches_per_draw(batch_size)
        for start in range(first - first % group, len(plan), group):
            negatives = self.draw(plan, batch_size, start, seeds)
            for number, drawn in enumerate(negatives, start):
                if number >= first:
                    inputs = self.inputs(number, plan[number], drawn, self.tally)
                    yield plan[number], inputs

    def draw(
        self,
        plan: Sequence[Counts],
        batch_size: int,
        start: int,
        seeds: tuple[int, int],
    ) -> Sequence[npt.NDArray[np.int32] | None]:
        """Draws the negatives of `batches_per_draw` batches.

        Args:
            plan: The rows of each batch of the epoch.
            batch_size: The largest number of rows of a batch.
            start: The number of the first of these batches, a multiple of their number.
            seeds: The seed and the number of the epoch.

        Returns:
            For each batch, int32 ``[batch, rate]``: see `NegativeDraws`; or None if the
            pipeline draws no negatives.
        """
        numbers = range(start, min(start + batches_per_draw(batch_size), len(plan)))
        if self.known is None or not self.settings.draws:
            return [None] * len(numbers)
        entropy = np.random.SeedSequence((*seeds, _STREAM, start))
        draws = NegativeDraws(self.known, self.settings.rate, self.draw_weights)
        batches = [plan[number] for number in numbers]
        return draws.draw(batches, np.random.default_rng(entropy))

    def inputs(
        self,
        number: int,
        rows: Counts,
        negatives: npt.NDArray[np.int32] | None,
        tally: NegativeTally | None,
    ) -> Extra:
        """Returns the inputs of a batch, and records its negatives.

        Args:
            number: The number of the batch.
            rows: Its rows.
            negatives: What `draw` returned for it.
            tally: Counts the negatives; None does not count them.
        """
        extra: Extra = {}
        counts = self._unrestricted_counts(len(rows))
        if self.known is not None and self.settings.lists_known:
            extra, counts = _known_inputs(self.known, rows, self.settings.rate)
        if negatives is not None:
            extra[NEGATIVES] = negatives
            counts = np.count_nonzero(negatives >= 0, axis=1)
        if tally is not None and self.settings.rate:
            made = int(counts.sum())
            weight = float(made)
            if self.pair_weights is not None:
                weight = float(counts @ self.pair_weights.take(rows).astype(float))
            tally.record(number, len(rows) * self.settings.rate, made, weight)
        return extra

    def _unrestricted_counts(self, pairs: int) -> npt.NDArray[np.integer[Any]]:
        """Returns the number of each pair's negatives if none are excluded."""
        rate, others = self.settings.rate, pairs - 1
        is_uniform = (
            self.settings.mining == "random" and self.settings.frequency_power == 1
        )
        # Uniform negatives repeat rather than end.
        return np.full(pairs, rate * (others > 0) if is_uniform else min(rate, others))


def _known_inputs(
    known: KnownPairs, rows: Counts, rate: int
) -> tuple[Extra, npt.NDArray[np.integer[Any]]]:
    """Returns a batch's objects and known pairs, and the negatives of each pair."""
    (first, index0), (second, index1) = (
        np.unique(numbers[rows], return_inverse=True) for numbers in known.numbers
    )
    mask = known.among(first, second)
    extra = {
        BATCH_OBJECTS: np.stack([index0, index1], axis=1).astype(np.int32),
        KNOWN_PAIRS: np.flatnonzero(mask).astype(np.int32),
    }
    excluded = np.count_nonzero(mask, axis=1)[index0] + ~mask[index0, index1]
    return extra, np.minimum(rate, len(second) - excluded)


def tensor_specs(settings: NegativeSettings) -> Mapping[str, tuple[int | None, ...]]:
    """Returns the shapes of the inputs that `BatchNegatives` makes, all int32."""
    shapes: dict[str, tuple[int | None, ...]] = {}
    if settings.lists_known:
        shapes[BATCH_OBJECTS] = (None, 2)
        shapes[KNOWN_PAIRS] = (None,)
    if settings.draws:
        shapes[NEGATIVES] = (None, settings.rate)
    return shapes
