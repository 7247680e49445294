"""Labelled pairs in memory, and the tf.data pipeline that feeds them to a model."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from object2vec_tf.arguments import as_hyperparameters, as_integer
from object2vec_tf.data.batches import epoch_order, plan_batches
from object2vec_tf.data.channels import Source, channel_files
from object2vec_tf.data.columns import RaggedColumn
from object2vec_tf.data.json_lines import BadLines, Block, Labels, read_file
from object2vec_tf.errors import DataError
from object2vec_tf.hyperparameters import Hyperparameters

PREFETCHED_BATCHES = 64


@dataclasses.dataclass(frozen=True)
class Report:
    """What was seen while a channel was read.

    Attributes:
        files: The files, in the order read.
        truncated: Rows cut at ``encX_max_seq_len``, by side.
        empty: Rows without a token, by side.
        bad_lines: One message for each line left out.
        fingerprint: A digest of the channel's bytes.
    """

    files: tuple[Path, ...]
    truncated: dict[str, int]
    empty: dict[str, int]
    bad_lines: tuple[str, ...]
    fingerprint: str


@dataclasses.dataclass(frozen=True, eq=False)
class Pairs:
    """Labelled pairs of a channel.

    Attributes:
        in0: Token ids of the first objects.
        in1: Token ids of the second objects.
        labels: int64 class ids or float32 reals, ``[rows]``.
        hyperparameters: Those the pairs were checked against.
        report: What was seen while reading.
    """

    in0: RaggedColumn
    in1: RaggedColumn
    labels: Labels
    hyperparameters: Hyperparameters
    report: Report

    def __len__(self) -> int:
        """Returns the number of pairs."""
        return len(self.labels)

    @property
    def columns(self) -> dict[str, RaggedColumn]:
        """The token ids by input name."""
        return {"in0": self.in0, "in1": self.in1}

    def dataset(
        self,
        batch_size: int | None = None,
        *,
        shuffle: bool = False,
        seed: int = 0,
        epoch: int | None = None,
        bucket_width: int | None = None,
        first_batch: int = 0,
    ) -> tf.data.Dataset:
        """Returns batches for ``fit``, ``evaluate`` and ``predict``.

        Args:
            batch_size: Pairs in a batch; ``mini_batch_size`` by default. The last one
                may be smaller; every pair comes exactly once.
            shuffle: Whether the pairs come in a random order, a new one each time the
                dataset is gone through. The order is a permutation of all pairs that
                depends on ``seed`` and the epoch's number alone.
            seed: Seed of the shuffle.
            epoch: The epoch whose order is wanted; None counts how often the dataset
                has been gone through, from 0.
            bucket_width: Lengths in a batch differ by less than this, on both sides;
                by default the hyperparameter when shuffling and 0 (any lengths, the
                order of the file) when not.
            first_batch: How many of an epoch's batches are left out at its start.

        Returns:
            A dataset of ``({"in0": ids, "in1": ids}, label)`` with ids a RaggedTensor
            int32 ``[batch, (time)]`` and label int64 or float32 ``[batch]``.

        Raises:
            UserError: A number is none or out of its range.
        """
        if batch_size is None:
            batch_size = self.hyperparameters.mini_batch_size
        if bucket_width is None:
            bucket_width = self.hyperparameters.bucket_width if shuffle else 0
        size = as_integer("batch_size", batch_size, low=1)
        width = as_integer("bucket_width", bucket_width)
        seed = as_integer("seed", seed)
        epoch = None if epoch is None else as_integer("epoch", epoch)
        first = as_integer("first_batch", first_batch)
        lengths = (self.in0.lengths, self.in1.lengths)
        passes = itertools.count() if epoch is None else itertools.repeat(epoch)

        def plan(number: int) -> list[Any]:
            if not shuffle:
                return plan_batches(lengths, np.arange(len(self)), size, width)
            order = epoch_order(len(self), seed, number)
            return plan_batches(lengths, order, size, width, (seed, number))

        def batches() -> Iterator[tuple[Any, ...]]:
            for rows in plan(next(passes))[first:]:
                in0, in1 = self.in0.take(rows), self.in1.take(rows)
                yield (
                    in0.values,
                    in0.row_splits,
                    in1.values,
                    in1.row_splits,
                    self.labels[rows],
                )

        # The number of batches is the same in every epoch.
        whole = len(plan_batches(lengths, np.arange(len(self)), size, width))
        cardinality = max(whole - first, 0)
        types = (tf.int32, tf.int64, tf.int32, tf.int64, self.labels.dtype)
        return (
            tf.data.Dataset.from_generator(
                batches,
                output_signature=tuple(tf.TensorSpec([None], dtype) for dtype in types),
            )
            .map(_ragged)
            .apply(tf.data.experimental.assert_cardinality(cardinality))
            .prefetch(PREFETCHED_BATCHES)
        )


def _ragged(
    values0: tf.Tensor,
    splits0: tf.Tensor,
    values1: tf.Tensor,
    splits1: tf.Tensor,
    labels: tf.Tensor,
) -> tuple[dict[str, tf.RaggedTensor], tf.Tensor]:
    ragged = tf.RaggedTensor.from_row_splits
    return {
        "in0": ragged(values0, splits0, validate=False),
        "in1": ragged(values1, splits1, validate=False),
    }, labels


def read_pairs(
    source: Source,
    hyperparameters: Hyperparameters | Mapping[str, Any],
    *,
    channel: str = "train",
    max_bad_lines: int = 0,
) -> Pairs:
    """Reads a channel of JSON Lines, checks every line, and cuts long sequences.

    Args:
        source: A file, directory or glob, several in a list or separated by commas;
            ``.gz`` and ``.zst`` are unpacked.
        hyperparameters: The model's vocabulary sizes, lengths, output layer, classes;
            or a mapping of them.
        channel: The channel's name, for messages.
        max_bad_lines: Lines that may be wrong; they are left out and reported.

    Raises:
        DataError: A line is wrong: the message says file, line, field, position and
            value. Or there are no pairs at all.
        UserError: ``max_bad_lines`` is no number of lines.
    """
    hyperparameters = as_hyperparameters(hyperparameters)
    bad_lines = BadLines(as_integer("max_bad_lines", max_bad_lines))
    digest = hashlib.blake2b(digest_size=16)
    files = channel_files(source, channel)
    blocks: list[Block] = []
    for path in files:
        blocks += read_file(path, hyperparameters, bad_lines, digest)
    if not blocks:
        names = ", ".join(map(str, files[:3])) + (", ..." if files[3:] else "")
        raise DataError(
            f"{channel}: {names}: holds no pairs; expected lines such as "
            '{"in0": [1], "in1": [2], "label": 1}'
        )
    truncated, empty, columns = {}, {}, {}
    for side, max_len in (
        ("in0", hyperparameters.enc0_max_seq_len),
        ("in1", hyperparameters.enc1_max_seq_len),
    ):
        whole = RaggedColumn.concatenate([getattr(block, side) for block in blocks])
        columns[side], truncated[side] = whole.truncate(max_len)
        empty[side] = int(np.count_nonzero(whole.lengths == 0))
    return Pairs(
        **columns,
        labels=np.concatenate([block.labels for block in blocks]),
        hyperparameters=hyperparameters,
        report=Report(
            tuple(files),
            truncated,
            empty,
            tuple(bad_lines.messages),
            digest.hexdigest(),
        ),
    )
