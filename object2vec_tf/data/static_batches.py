"""The batches of an epoch in the static layout, for steps that XLA compiles."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from object2vec_tf.data.batch_negatives import NegativeTally
from object2vec_tf.data.dataset import PairBatches
from object2vec_tf.data.ordered_threads import OrderedThreads
from object2vec_tf.data.static_groups import (
    BatchReader,
    FinderPool,
    GroupMaker,
    StaticGroup,
)
from object2vec_tf.data.static_shapes import ShapeMenu

# On 16 processors, 8 threads were faster than 4 and than 16: they wait for Python's
# lock.
_MAX_THREADS = 8
# Groups are laid out in advance as far as they fit this many bytes.
_MAX_AHEAD_BYTES = 1 << 28

Prepared = OrderedThreads[int, tuple[StaticGroup, NegativeTally]]


class UpcomingEpoch:
    """Groups of the next epoch that threads lay out before the epoch begins."""

    def __init__(self) -> None:
        self._key: object = None
        self._prepared: Prepared | None = None

    def begin(self, key: object, prepared: Prepared) -> None:
        """Keeps what has begun, in place of what was kept before."""
        self.take(None)
        self._key, self._prepared = key, prepared

    def take(self, key: object) -> Prepared | None:
        """Returns what has begun with this key, and ends anything else."""
        prepared, self._prepared = self._prepared, None
        if prepared is not None and key != self._key:
            prepared.close()
            return None
        return prepared


class StaticBatches:
    """The batches of an epoch, in groups that threads lay out in advance.

    Groups begin at multiples of ``steps``. If the first batch is not at one, the first
    group also has the batches before it, so that all groups are those of a complete
    epoch.

    Args:
        reader: Reads the batches.
        steps: Number of batches per group.
        epoch: The number of the epoch.
        menu: Returns the shapes of batches.
        finders: Token finders, for all epochs.
        tally: Counts the negatives of the batches, without the skipped ones; None if
            nobody needs them.
        threads: Number of threads; None for the number of processors, at most 8.
        upcoming: Where to begin the next epoch when the last groups of this one are
            laid out, and where this epoch may have begun; None to begin when asked.

    Attributes:
        steps: Number of batches per group.
    """

    def __init__(
        self,
        reader: BatchReader,
        steps: int,
        epoch: int,
        menu: Callable[[], ShapeMenu],
        finders: FinderPool,
        tally: NegativeTally | None,
        threads: int | None = None,
        upcoming: UpcomingEpoch | None = None,
    ) -> None:
        self._reader = reader
        self.steps = steps
        self._epoch = epoch
        self._menu = menu
        self._finders = finders
        self._tally = tally
        self._threads = threads or min(processors(), _MAX_THREADS)
        self._upcoming = upcoming
        self._prepared: Prepared | None = None

    @property
    def pairs(self) -> PairBatches:
        """The batches."""
        return self._reader.pairs

    @property
    def menu(self) -> ShapeMenu:
        """The shapes of the batches."""
        return self._menu()

    @property
    def batches(self) -> int:
        """The number of batches, without the skipped ones."""
        return max(self.pairs.total_batches - self.pairs.first_batch, 0)

    def __len__(self) -> int:
        """Returns the number of groups."""
        return len(self._first_batches())

    def _first_batches(self) -> range:
        """Returns the number of the first batch of each group."""
        total, first = self.pairs.total_batches, self.pairs.first_batch
        if first >= total:
            return range(0)
        return range(first - first % self.steps, total, self.steps)

    def start(self) -> StaticBatches:
        """Begins to lay out the first groups, and returns the batches.

        The next iteration gets them. An epoch thus starts without a delay if the one
        before it, or an evaluation, takes longer.
        """
        firsts = self._first_batches()
        if self._prepared is None and self._upcoming is not None:
            self._prepared = self._upcoming.take(self._key(self._epoch, firsts))
        if self._prepared is None:
            self._prepared = self._prepare(self._epoch, firsts)
        return self

    def _key(self, epoch: int, firsts: range) -> object:
        """Returns what the groups of an epoch depend on."""
        pairs = self.pairs
        settings = pairs.batch_size, pairs.bucket_width, pairs.seed
        return self._reader.layout, self.steps, epoch, firsts, *settings

    def _prepare(self, epoch: int, firsts: range) -> Prepared:
        """Lays out the groups that begin with these batches."""
        maker = GroupMaker(self._reader, epoch, self.steps, self._menu, self._finders)
        return OrderedThreads(
            maker.make, firsts, threads=self._threads, ahead=self._ahead
        )

    @property
    def _ahead(self) -> int:
        """The number of groups to lay out in advance."""
        size = self._reader.bytes_per_batch * self.steps
        return min(max(int(_MAX_AHEAD_BYTES / size), 2), self._threads + 2)

    def _begin_next(self, upcoming: UpcomingEpoch) -> None:
        """Begins to lay out the groups of the next epoch."""
        epoch = self._epoch + 1
        firsts = range(0, self.pairs.total_batches, self.steps)
        upcoming.begin(self._key(epoch, firsts), self._prepare(epoch, firsts))

    def __iter__(self) -> Iterator[StaticGroup]:
        """Yields the groups in order.

        Raises:
            DataError: A token id is not in the vocabulary.
        """
        prepared, self._prepared = self.start()._prepared, None
        assert prepared is not None
        left, begins_next = len(self), self._upcoming is not None
        try:
            for group, tally in prepared:
                if self._tally is not None:
                    self._tally.update(tally, self.pairs.first_batch)
                left -= 1
                # No group is left that threads have not been asked for.
                if begins_next and left <= self._ahead:
                    begins_next = False
                    assert self._upcoming is not None
                    self._begin_next(self._upcoming)
                yield group
        finally:
            prepared.close()


def processors() -> int:
    """Returns the number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
