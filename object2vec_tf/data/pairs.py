"""Labeled pairs of a channel."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from object2vec_tf.data.arrow_store import MappedNumbers
from object2vec_tf.data.batch_negatives import BatchNegatives, NegativeTally
from object2vec_tf.data.blocks import Labels
from object2vec_tf.data.dataset import PairBatches, Weights
from object2vec_tf.data.known_pairs import KnownPairs
from object2vec_tf.data.pair_schema import PairSchema
from object2vec_tf.data.static_batches import StaticBatches, UpcomingEpoch
from object2vec_tf.data.static_groups import BatchReader, FinderPool, ObjectNumbers
from object2vec_tf.data.static_menu import plan_menu
from object2vec_tf.data.static_shapes import ShapeMenu
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.hyperparameters.arguments import as_integer
from object2vec_tf.ragged.column import Column
from object2vec_tf.ragged.row_hashes import log_frequencies, object_numbers
from object2vec_tf.ragged.static_layout import Layout


@dataclasses.dataclass(frozen=True)
class Report:
    """The findings of reading a channel.

    Attributes:
        files: The files, in the order read.
        truncated: Number of objects longer than ``encX_max_seq_len``, by input.
        empty: Number of objects without a token, by input.
        bad_lines: One message for each skipped line.
        unknown: Number of tokens that the vocabulary lacks, by input that is text.
        fingerprint: A digest of the channel's bytes, or of the pairs of a table.
        cached: Whether the pairs came from the cache, where an earlier run put them.
        table: The type of the table or iterable from which the pairs were read; empty
            for files.
    """

    files: tuple[Path, ...]
    truncated: dict[str, int]
    empty: dict[str, int]
    bad_lines: tuple[str, ...]
    unknown: dict[str, int]
    fingerprint: str
    cached: bool = False
    table: str = ""


@dataclasses.dataclass(frozen=True, eq=False)
class Pairs:
    r"""Labeled pairs of a channel, in memory or memory-mapped from the cache.

    Attributes:
        in0: Token ids of the first objects.
        in1: Token ids of the second objects.
        labels: int64 class ids or float32 real labels, ``[rows]``; an array, or an
            object that ``np.asarray`` converts to one.
        settings: The settings that the pairs were checked against.
        report: The findings of reading the channel.
        weights: float32 ``[rows]``, how many times each pair counts; None if no line
            has a weight, and all pairs count once.

    Example:
        >>> from pathlib import Path
        >>> import object2vec_tf as o2v
        >>> lines = ['{"in0": [1], "in1": [2, 3], "label": 1}'] * 3
        >>> _ = Path("train.jsonl").write_text("\n".join(lines))
        >>> settings = {"enc0_vocab_size": 10, "enc0_max_seq_len": 5}
        >>> pairs = o2v.read_pairs("train.jsonl", settings)
        >>> len(pairs), sorted(pairs.columns)
        (3, ['in0', 'in1'])
        >>> for inputs, labels in pairs.dataset(batch_size=2):
        ...     print(inputs["in1"].to_list(), labels.numpy())
        [[2, 3], [2, 3]] [1 1]
        [[2, 3]] [1]
    """

    in0: Column
    in1: Column
    labels: Labels | MappedNumbers
    settings: Hyperparameters | PairSchema
    report: Report
    weights: Weights = None

    def __len__(self) -> int:
        """Returns the number of pairs."""
        return len(self.labels)

    @property
    def columns(self) -> dict[str, Column]:
        """The token ids by input name."""
        return {"in0": self.in0, "in1": self.in1}

    @property
    def hyperparameters(self) -> Hyperparameters:
        """The hyperparameters that the pairs were read with.

        Raises:
            AttributeError: They were read with a `PairSchema`.
        """
        if isinstance(self.settings, PairSchema):
            raise AttributeError("hyperparameters: the pairs have only a schema")
        return self.settings

    @functools.cached_property
    def schema(self) -> PairSchema:
        """The part of the settings that reading and batching pairs needs."""
        return PairSchema.of(self.settings)

    def mean_label(self) -> float:
        """Returns the weighted mean of the labels."""
        if self.weights is None:
            return float(self.labels.mean())
        labels = np.asarray(self.labels, np.float64)
        return float(np.average(labels, weights=np.asarray(self.weights, np.float64)))

    def dataset(
        self,
        batch_size: int | None = None,
        *,
        shuffle: bool = False,
        seed: int = 0,
        epoch: int | None = None,
        bucket_width: int | None = None,
        first_batch: int = 0,
        shard: tuple[int, int] | None = None,
        tally: NegativeTally | None = None,
    ) -> tf.data.Dataset:
        """Returns batches for ``fit``, ``evaluate`` and ``predict``.

        Args:
            batch_size: Pairs per batch; ``mini_batch_size`` by default. Every pair is
                in exactly one batch, so that the last batch may be smaller.
            shuffle: Whether to put the pairs in a random order, a new one for each
                iteration over the dataset. The order is a permutation of all pairs
                that depends only on ``seed`` and the number of the epoch.
            seed: Seed of the shuffle.
            epoch: The epoch of the order; None starts at 0 and advances by one with
                each iteration over the dataset.
            bucket_width: Lengths within a batch differ by less than this; 0 allows any.
                The default is the hyperparameter if ``shuffle`` is set, otherwise 0.
            first_batch: Number of batches to skip at the start of each epoch.
            shard: ``(i, n)`` yields the part of each batch that replica i of n
                processes, and ``"shard"``: see `object2vec_tf.distributed.batch_shard`.
            tally: Counts the negatives of each batch while ``shuffle`` is set.

        Returns:
            A dataset of ``({"in0": ids, "in1": ids}, label)`` with ids a RaggedTensor
            int32 ``[batch, (time)]`` and label int64 or float32 ``[batch]``. If lines
            have weights, a dataset of ``(inputs, label, weight)`` with weight float32
            ``[batch]``. If ``shuffle`` is set and the hyperparameters need frequencies,
            the inputs contain ``"log_frequencies"``, float32 ``[batch, 2]``. With
            ``shuffle`` and ``negative_exclude_known``, they contain the negatives or
            the known pairs: see `object2vec_tf.data.batch_negatives`.

        Raises:
            UserError: An argument is not an integer or out of range.
        """
        batches = self._batches(
            batch_size, shuffle, seed, bucket_width, first_batch, tally
        )
        epoch = None if epoch is None else as_integer("epoch", epoch)
        return dataclasses.replace(batches, shard=shard).dataset(epoch)

    def static_groups(
        self,
        layout: Layout,
        *,
        steps: int,
        batch_size: int | None = None,
        shuffle: bool = False,
        seed: int = 0,
        epoch: int = 0,
        bucket_width: int | None = None,
        first_batch: int = 0,
        tally: NegativeTally | None = None,
        threads: int | None = None,
        prepare_next: bool = False,
    ) -> StaticBatches:
        r"""Returns the batches of an epoch in groups, in the static layout.

        They are the batches that `dataset` yields, in the same order, with the same
        negatives. Groups start at multiples of ``steps``: after a resume, the first
        group may be smaller, and the others are those of a run that was not stopped.

        Args:
            layout: The layout; see `object2vec_tf.data.layout_choice.layout_of`.
            steps: Number of batches per group.
            batch_size: As for `dataset`.
            shuffle: As for `dataset`.
            seed: As for `dataset`.
            epoch: The number of the epoch.
            bucket_width: As for `dataset`.
            first_batch: As for `dataset`.
            tally: As for `dataset`.
            threads: Number of threads that lay out groups in advance; None for the
                number of processors, at most 8.
            prepare_next: Whether to begin the next epoch when the last groups of this
                one are laid out. The next call with these settings continues it.

        Raises:
            UserError: An argument is not an integer or out of range.

        Example:
            >>> from pathlib import Path
            >>> import object2vec_tf as o2v
            >>> from object2vec_tf.data.layout_choice import layout_of
            >>> lines = ['{"in0": [1], "in1": [2, 3], "label": 1}'] * 3
            >>> _ = Path("train.jsonl").write_text("\n".join(lines))
            >>> settings = o2v.Hyperparameters(
            ...     enc0_network="pooled_embedding", enc0_vocab_size=10,
            ...     enc0_max_seq_len=5,
            ... )
            >>> pairs = o2v.read_pairs("train.jsonl", settings)
            >>> layout = layout_of(settings, shuffle=False)
            >>> groups = pairs.static_groups(layout, steps=8, batch_size=2)
            >>> [(group.first, group.count) for group in groups]
            [(0, 2)]
        """
        batches = self._batches(
            batch_size, shuffle, seed, bucket_width, first_batch, tally
        )
        lists_own = layout.lists_known and not (
            shuffle and self.schema.negatives.lists_known
        )
        reader = BatchReader(
            batches, layout, self._object_numbers if lists_own else None
        )
        steps = as_integer("steps", steps, low=1)
        if threads is not None:
            threads = as_integer("threads", threads, low=1)
        key = (layout, steps, batches.batch_size, batches.bucket_width, batches.seed)
        menus = self._menus

        def menu() -> ShapeMenu:
            if key not in menus:
                menus[key] = plan_menu(reader, steps)
            return menus[key]

        return StaticBatches(
            reader,
            steps,
            as_integer("epoch", epoch),
            menu,
            self._finders,
            tally,
            threads,
            self._upcoming if prepare_next else None,
        )

    @functools.cached_property
    def _upcoming(self) -> UpcomingEpoch:
        """The next epoch of static batches, if it has begun."""
        return UpcomingEpoch()

    @functools.cached_property
    def _menus(self) -> dict[Any, ShapeMenu]:
        """The shapes of batches, by the settings that they depend on."""
        return {}

    @functools.cached_property
    def _finders(self) -> FinderPool:
        """Token finders, with buffers that all epochs use."""
        return FinderPool()

    def _batches(
        self,
        batch_size: int | None,
        shuffle: bool,
        seed: int,
        bucket_width: int | None,
        first_batch: int,
        tally: NegativeTally | None,
    ) -> PairBatches:
        """Returns batches; see `dataset` for the Args."""
        if batch_size is None:
            batch_size = self.schema.batch_size
        if bucket_width is None:
            bucket_width = self.schema.bucket_width if shuffle else 0
        seed = as_integer("seed", seed)
        has_frequencies = self.schema.needs_frequencies and shuffle
        return PairBatches(
            in0=self.in0,
            in1=self.in1,
            labels=self.labels,
            weights=self.weights,
            log_frequencies=self._log_frequencies if has_frequencies else None,
            negatives=self._negatives(tally) if shuffle else None,
            batch_size=as_integer("batch_size", batch_size, low=1),
            bucket_width=as_integer("bucket_width", bucket_width),
            seed=seed if shuffle else None,
            first_batch=as_integer("first_batch", first_batch),
        )

    @property
    def object_keys(self) -> tuple[Column, Column]:
        """The tokens that make two objects of a side the same object."""
        return self.schema.keys_of(self.in0, 0), self.schema.keys_of(self.in1, 1)

    @functools.cached_property
    def _log_frequencies(self) -> npt.NDArray[np.float32]:
        """Log of the fraction of pairs with the same in0 and in1, ``[rows, 2]``."""
        return np.stack([log_frequencies(keys) for keys in self.object_keys], axis=1)

    @functools.cached_property
    def _object_numbers(self) -> ObjectNumbers:
        """The numbers of the objects of in0 and of in1, ``[rows]`` each."""
        in0, in1 = (object_numbers(keys) for keys in self.object_keys)
        counts = [int(numbers.max(initial=-1)) + 1 for numbers in (in0, in1)]
        return ObjectNumbers((in0, in1), (counts[0], counts[1]))

    @functools.cached_property
    def _known_pairs(self) -> KnownPairs:
        """The positive pairs."""
        return KnownPairs.of(*self.object_keys, self.labels)

    @functools.cached_property
    def _draw_weights(self) -> npt.NDArray[np.float32] | None:
        """The weight of each pair's in1 as a random negative, ``[rows]``.

        The in1 of a batch occur with their frequencies in the channel. With the
        weights ``frequency ** (power - 1)``, they are drawn by ``frequency ** power``.
        """
        power = self.schema.negatives.frequency_power
        if power == 1:
            return None
        return np.exp((power - 1) * self._log_frequencies[:, 1])

    def _negatives(self, tally: NegativeTally | None) -> BatchNegatives | None:
        """Returns what makes the inputs of shuffled batches that concern negatives."""
        settings = self.schema.negatives
        if not settings.are_used:
            return None
        return BatchNegatives(
            settings=settings,
            known=self._known_pairs if settings.excludes_known else None,
            draw_weights=self._draw_weights if settings.draws else None,
            pair_weights=self.weights,
            tally=tally,
        )
