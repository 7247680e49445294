"""The tf.data pipeline that makes ragged batches of pairs."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from object2vec_tf.data.arrow_store import MappedNumbers
from object2vec_tf.data.batch_negatives import BatchNegatives, Extra, tensor_specs
from object2vec_tf.data.batch_plan import (
    Batches,
    count_batches,
    plan_batches,
    shard_rows,
)
from object2vec_tf.data.blocks import Labels
from object2vec_tf.ragged.column import Column, Counts

Weights = npt.NDArray[np.float32] | MappedNumbers | None

# Batches are prefetched up to this number, as far as they fit this many bytes.
_MAX_PREFETCHED_BATCHES = 64
_MAX_PREFETCHED_BYTES = 1 << 26


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class PairBatches:
    """Batches of pairs, epoch by epoch.

    Attributes:
        in0: Token ids of the first objects.
        in1: Token ids of the second objects.
        labels: int64 class ids or float32 real labels, ``[rows]``.
        weights: float32 ``[rows]``; None if no pair has a weight.
        log_frequencies: float32 ``[rows, 2]``, the logarithm of the fraction of pairs
            with the same in0, and with the same in1; None if batches do not contain it.
        negatives: Makes the inputs that concern negatives, and counts negatives; None
            if pairs stay in the order of the file, or there is nothing to make.
        batch_size: Pairs per batch.
        bucket_width: Lengths within a batch differ by less than this; 0 for any.
        seed: Seed of the shuffle; None if pairs stay in the order of the file.
        first_batch: Number of batches to skip at the start of each epoch.
        shard: ``(i, n)`` selects the part of each batch that replica i of n processes.
    """

    in0: Column
    in1: Column
    labels: Labels | MappedNumbers
    weights: Weights
    log_frequencies: npt.NDArray[np.float32] | None
    batch_size: int
    bucket_width: int
    seed: int | None
    negatives: BatchNegatives | None = None
    first_batch: int = 0
    shard: tuple[int, int] | None = None

    def dataset(self, epoch: int | None) -> tf.data.Dataset:
        """Returns a dataset of batches; see `Pairs.dataset` for its elements.

        Args:
            epoch: The epoch that every iteration yields; None starts at epoch 0 and
                advances by one with each iteration.
        """
        epochs = itertools.count() if epoch is None else itertools.repeat(epoch)

        def generate() -> Iterator[tuple[Any, ...]]:
            number = next(epochs)
            for rows, extra in self.with_extras(self.plan(number), number):
                yield self._batch(rows, extra)

        return (
            tf.data.Dataset.from_generator(generate, output_signature=self._signature())
            .map(_ragged)
            .apply(
                tf.data.experimental.assert_cardinality(
                    max(self.total_batches - self.first_batch, 0)
                )
            )
            .prefetch(self._prefetched_batches())
            .with_options(pipeline_options())
        )

    @functools.cached_property
    def _lengths(self) -> tuple[Counts, Counts] | None:
        """The lengths of in0 and of in1, if batches depend on them."""
        return (self.in0.lengths, self.in1.lengths) if self.bucket_width else None

    @functools.cached_property
    def total_batches(self) -> int:
        """The number of batches of every epoch, with the skipped ones."""
        return count_batches(
            self._lengths, len(self.labels), self.batch_size, self.bucket_width
        )

    def plan(self, epoch: int) -> Batches:
        """Returns the rows of each batch of an epoch."""
        return plan_batches(
            self._lengths,
            len(self.labels),
            self.batch_size,
            self.bucket_width,
            None if self.seed is None else (self.seed, epoch),
        )

    def with_extras(self, plan: Batches, epoch: int) -> Iterator[tuple[Counts, Extra]]:
        """Yields the rows of the remaining batches, and inputs that concern negatives.

        Args:
            plan: The plan of the epoch.
            epoch: Its number.
        """
        if self.negatives is None or self.seed is None:
            for i in range(self.first_batch, len(plan)):
                yield plan[i], {}
        else:
            seeds = self.seed, epoch
            yield from self.negatives.batches(
                plan, self.batch_size, self.first_batch, seeds
            )

    def _batch(self, rows: Counts, extra: Extra) -> tuple[Any, ...]:
        if self.shard is not None:
            rows, extra["shard"] = shard_rows(rows, *self.shard)
        if self.log_frequencies is not None:
            extra["log_frequencies"] = self.log_frequencies[rows]
        if self.weights is not None:
            extra["weight"] = self.weights.take(rows)
        in0, in1 = self.in0.take(rows), self.in1.take(rows)
        return (
            in0.values,
            in0.row_splits,
            in1.values,
            in1.row_splits,
            self.labels.take(rows),
            *([extra] if extra else ()),
        )

    def _signature(self) -> tuple[Any, ...]:
        """Returns the types and shapes of what `_batch` returns."""
        types = (tf.int32, tf.int64, tf.int32, tf.int64, self.labels.dtype)
        extra = {}
        if self.shard is not None:
            extra["shard"] = tf.TensorSpec([3], tf.int32)
        if self.log_frequencies is not None:
            extra["log_frequencies"] = tf.TensorSpec([None, 2], tf.float32)
        if self.weights is not None:
            extra["weight"] = tf.TensorSpec([None], tf.float32)
        if self.negatives is not None:
            for name, shape in tensor_specs(self.negatives.settings).items():
                extra[name] = tf.TensorSpec(shape, tf.int32)
        columns = [tf.TensorSpec([None], dtype) for dtype in types]
        return (*columns, *([extra] if extra else ()))

    def _prefetched_batches(self) -> int:
        tokens = self.in0.tokens + self.in1.tokens
        bytes_per_pair = 4 * tokens / len(self.labels) + 24
        if self.negatives is not None:
            bytes_per_pair += 4 * self.negatives.settings.rate
            if self.negatives.settings.lists_known:
                # At most all pairs of objects are known; usually a small fraction.
                bytes_per_pair += 4 * self.batch_size / 4
        batches = int(_MAX_PREFETCHED_BYTES / (self.batch_size * bytes_per_pair))
        return min(max(batches, 2), _MAX_PREFETCHED_BATCHES)


def pipeline_options() -> tf.data.Options:
    """Returns the options of pipelines of batches: no autotuning."""
    options = tf.data.Options()
    # There is nothing to tune, and an epoch would end with a wait for the tuning
    # thread: it wakes up 10 ms after the start, then after twice as long, and so on up
    # to a minute (TensorFlow 2.21, Model::OptimizeLoop), and often sleeps past the end.
    options.autotune.enabled = False
    return options


def _ragged(
    values0: tf.Tensor,
    splits0: tf.Tensor,
    values1: tf.Tensor,
    splits1: tf.Tensor,
    labels: tf.Tensor,
    extra: Mapping[str, tf.Tensor] | None = None,
) -> tuple[Any, ...]:
    ragged: Callable[..., tf.RaggedTensor] = tf.RaggedTensor.from_row_splits
    inputs: dict[str, Any] = {
        "in0": ragged(values0, splits0, validate=False),
        "in1": ragged(values1, splits1, validate=False),
        **(extra or {}),
    }
    weights = inputs.pop("weight", None)
    return (inputs, labels) if weights is None else (inputs, labels, weights)
