"""Lays out groups of consecutive batches, in any thread."""

from __future__ import annotations

import collections
import dataclasses
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np
import numpy.typing as npt

from object2vec_tf.data.batch_negatives import (
    BATCH_OBJECTS,
    KNOWN_PAIRS,
    NEGATIVES,
    BatchNegatives,
    Extra,
    NegativeTally,
    batches_per_draw,
)
from object2vec_tf.data.batch_plan import Batches
from object2vec_tf.data.dataset import PairBatches
from object2vec_tf.data.row_layout import (
    BatchRows,
    LaidOutRows,
    Sizes,
    shard_sizes,
)
from object2vec_tf.data.static_shapes import ShapeMenu
from object2vec_tf.data.unique_tokens import TokenFinder
from object2vec_tf.errors import UserError
from object2vec_tf.ragged.column import Counts
from object2vec_tf.ragged.static_layout import BatchShape, Layout

Draws = Sequence[npt.NDArray[np.int32] | None]
KnownNumbers = list[npt.NDArray[np.int32]]

# Batches are laid out together up to this number of tokens. numpy gets and releases
# Python's lock in each call, so that many small calls keep threads waiting for it.
_PART_TOKENS = 1 << 20
_MAX_KEPT_DRAWS = 64
# The square fits 32 bits with a sign.
_MAX_COMPARED_ROWS = 46_340


@dataclasses.dataclass(frozen=True, eq=False)
class StaticGroup:
    """Consecutive batches of an epoch, in one array.

    Attributes:
        shape: The shape of each batch.
        vectors: int32 ``[steps * replicas, shape.size]``; see `BatchShape.fields`. The
            vectors of the replicas for a batch are adjacent. Vectors after those of
            the last batch are zeros.
        first: The number of the first batch in its epoch.
        count: The number of batches.
    """

    shape: BatchShape
    vectors: npt.NDArray[np.int32]
    first: int
    count: int


@dataclasses.dataclass(frozen=True, eq=False)
class ObjectNumbers:
    """The objects of a channel.

    Attributes:
        sides: The number of the object of in0 and of in1 in each row, int32 ``[rows]``.
        counts: The number of distinct objects of in0 and of in1.
    """

    sides: tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]
    counts: tuple[int, int]


class FinderPool:
    """Token finders that threads borrow, so that their buffers are made once.

    Example:
        >>> pool = FinderPool()
        >>> with pool as finder:
        ...     first = finder
        >>> with pool as finder:
        ...     finder is first
        True
    """

    def __init__(self) -> None:
        self._idle: collections.deque[TokenFinder] = collections.deque()
        self._local = threading.local()

    def __enter__(self) -> TokenFinder:
        """Borrows a finder for this thread."""
        try:
            finder = self._idle.pop()
        except IndexError:
            finder = TokenFinder()
        self._local.finder = finder
        return finder

    def __exit__(self, *args: object) -> None:
        """Returns it."""
        self._idle.append(self._local.finder)


class BatchReader:
    """Reads the rows of batches. Several threads may use it.

    Args:
        pairs: The batches.
        layout: The static layout.
        objects: The objects of the channel, if the layout lists the positive pairs of
            each batch; None if it lists known pairs of the channel or none.

    Raises:
        UserError: The number of a pair of objects would not fit 32 bits.
    """

    def __init__(
        self, pairs: PairBatches, layout: Layout, objects: ObjectNumbers | None
    ) -> None:
        rows = min(pairs.batch_size, len(pairs.labels))
        if layout.lists_known and rows > _MAX_COMPARED_ROWS:
            raise UserError(
                f"mini_batch_size: expected at most {_MAX_COMPARED_ROWS} where the "
                f"objects of a batch are compared, got {rows}. Lower it."
            )
        self.pairs = pairs
        self.layout = layout
        self.objects = objects

    @property
    def tokens_per_batch(self) -> float:
        """The mean number of tokens of a full batch."""
        tokens = self.pairs.in0.tokens + self.pairs.in1.tokens
        return self.pairs.batch_size * tokens / max(len(self.pairs.labels), 1)

    @property
    def batch_rows(self) -> int:
        """The number of rows of the largest batch."""
        return min(self.pairs.batch_size, len(self.pairs.labels))

    @property
    def rows(self) -> int:
        """The number of these rows that a replica has."""
        return -(-self.batch_rows // self.layout.replicas)

    @property
    def batches_per_part(self) -> int:
        """The number of batches that are best read together."""
        return max(1, int(_PART_TOKENS / max(self.tokens_per_batch, 1)))

    @property
    def bytes_per_batch(self) -> float:
        """The approximate number of bytes of a batch."""
        # A token has a cell and at most one unique id; a row has some further numbers.
        numbers = 2 * self.tokens_per_batch + 12 * self.pairs.batch_size
        if self.layout.lists_known:
            numbers += self.pairs.batch_size**2 / 4
        return 4 * numbers

    def read(self, batches: Sequence[Counts], extras: Sequence[Extra]) -> BatchRows:
        """Returns the rows of batches.

        Args:
            batches: The numbers of the rows of each batch.
            extras: What `BatchNegatives.inputs` returned for each batch; empty if
                there is nothing that concerns negatives.
        """
        pairs, layout = self.pairs, self.layout
        sizes = np.array([len(batch) for batch in batches])
        rows = np.concatenate(batches) if len(batches) > 1 else batches[0]
        labels = pairs.labels.take(rows)
        objects = known = negatives = weights = frequencies = None
        if layout.lists_known:
            objects, known = self._known(rows, sizes, labels, extras)
        if layout.negatives:
            negatives = np.concatenate([extra[NEGATIVES] for extra in extras])
        if pairs.weights is not None:
            weights = np.asarray(pairs.weights.take(rows), np.float32)
        if pairs.log_frequencies is not None:
            frequencies = pairs.log_frequencies[rows]
        sides = pairs.in0.take(rows), pairs.in1.take(rows)
        return BatchRows(
            sizes,
            sides,
            labels,
            weights,
            frequencies,
            negatives,
            objects,
            known,
            shard_sizes(sizes, self.rows, layout.replicas),
        )

    def _known(
        self,
        rows: Counts,
        sizes: Counts,
        labels: npt.NDArray[Any],
        extras: Sequence[Extra],
    ) -> tuple[npt.NDArray[np.int32], KnownNumbers]:
        """Returns the numbers of the objects of batches, and their known pairs."""
        if self.objects is None:
            known = []
            for extra in extras:
                count = int(extra[BATCH_OBJECTS][:, 1].max()) + 1
                pairs = np.divmod(extra[KNOWN_PAIRS], count)
                known.append(np.stack(pairs, axis=1).astype(np.int32))
            return np.concatenate([extra[BATCH_OBJECTS] for extra in extras]), known
        splits = np.concatenate([[0], np.cumsum(sizes)])
        finder = TokenFinder()
        objects = np.stack(
            [
                finder.find([side[rows]], [splits], count).positions[0]
                for side, count in zip(
                    self.objects.sides, self.objects.counts, strict=True
                )
            ],
            axis=1,
        )
        parts = np.split(objects, splits[1:-1]), np.split(labels > 0, splits[1:-1])
        return objects, [o[positive] for o, positive in zip(*parts, strict=True)]


class GroupMaker:
    """Lays out groups of the batches of an epoch. Several threads may use it.

    The first one that does plans the epoch, and the others wait for it.

    Args:
        reader: Reads the batches.
        epoch: The number of the epoch.
        steps: Number of batches per group.
        menu: Returns the shapes of batches.
        finders: Token finders.
    """

    def __init__(
        self,
        reader: BatchReader,
        epoch: int,
        steps: int,
        menu: Callable[[], ShapeMenu],
        finders: FinderPool,
    ) -> None:
        self._reader = reader
        self._epoch = epoch
        self._steps = steps
        self._menu = menu
        self._finders = finders
        self._draws: dict[int, Future[Draws]] = {}
        self._lock = threading.Lock()
        self._planning = threading.Lock()
        self._planned: tuple[Batches, ShapeMenu] | None = None

    def _plan_once(self) -> tuple[Batches, ShapeMenu]:
        with self._planning:
            if self._planned is None:
                plan = self._reader.pairs.plan(self._epoch)
                self._planned = plan, self._menu()
            return self._planned

    def make(self, first: int) -> tuple[StaticGroup, NegativeTally]:
        """Returns the group that begins with a batch, and the counts of its negatives.

        Args:
            first: The number of the batch, a multiple of the batches per group.
        """
        plan, menu = self._plan_once()
        numbers = range(first, min(first + self._steps, len(plan)))
        tally, width = NegativeTally(), self._reader.batches_per_part
        with self._finders as finder:
            parts = [
                LaidOutRows(
                    self._reader.layout,
                    self._read(plan, numbers[i : i + width], tally),
                    finder,
                )
                for i in range(0, len(numbers), width)
            ]
        shape = menu.fit(Sizes.largest([part.needed for part in parts]))
        replicas = shape.layout.replicas
        vectors = np.empty((self._steps * replicas, shape.size), np.int32)
        for i, part in enumerate(parts):
            stop = min((i + 1) * width, len(numbers))
            part.write(shape, vectors[i * width * replicas : stop * replicas])
        vectors[len(numbers) * replicas :] = 0
        return StaticGroup(shape, vectors, first, len(numbers)), tally

    def _read(self, plan: Batches, numbers: range, tally: NegativeTally) -> BatchRows:
        batches = [plan[number] for number in numbers]
        extras: list[Extra] = []
        pairs = self._reader.pairs
        if pairs.negatives is not None and pairs.seed is not None:
            extras = [
                self._extra(pairs.negatives, plan, number, tally) for number in numbers
            ]
        return self._reader.read(batches, extras)

    def _extra(
        self,
        negatives: BatchNegatives,
        plan: Batches,
        number: int,
        tally: NegativeTally,
    ) -> Extra:
        """Returns the inputs of a batch that concern negatives, and counts these."""
        start = number - number % batches_per_draw(self._reader.pairs.batch_size)
        drawn = self._drawn(negatives, plan, start)[number - start]
        return negatives.inputs(number, plan[number], drawn, tally)

    def _drawn(self, negatives: BatchNegatives, plan: Batches, start: int) -> Draws:
        """Returns the negatives of the batches that are drawn together with one.

        The first thread that needs them draws them, and others wait for it.
        """
        pairs = self._reader.pairs
        assert pairs.seed is not None
        with self._lock:
            is_first = start not in self._draws
            future = self._draws.setdefault(start, Future())
            while len(self._draws) > _MAX_KEPT_DRAWS:
                del self._draws[min(self._draws)]
        if is_first:
            try:
                seeds = pairs.seed, self._epoch
                future.set_result(negatives.draw(plan, pairs.batch_size, start, seeds))
            except BaseException as error:
                future.set_exception(error)
                raise
        return future.result()
