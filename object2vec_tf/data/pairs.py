"""Labelled pairs, and the tf.data pipeline that feeds them to a model."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import xxhash

from object2vec_tf.data.arrow_store import MappedNumbers, concatenated
from object2vec_tf.data.batch_plan import (
    Batches,
    count_batches,
    plan_batches,
    shard_rows,
)
from object2vec_tf.data.cache import ColumnCache, Kept, Sighting
from object2vec_tf.data.json_lines import (
    BadLines,
    Block,
    Labels,
    line_reader,
    read_file,
)
from object2vec_tf.errors import DataError, UserError
from object2vec_tf.files.channels import Source, channel_files
from object2vec_tf.files.line_blocks import read_line_blocks
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.hyperparameters.arguments import as_hyperparameters, as_integer
from object2vec_tf.ragged.column import Column
from object2vec_tf.ragged.row_hashes import log_frequencies
from object2vec_tf.text.tokenizer_loading import Tokenizers

Weights = npt.NDArray[np.float32] | MappedNumbers | None

# Batches made ahead: as many as this, where so many bytes hold them.
_PREFETCHED_BATCHES = 64
_PREFETCHED_BYTES = 1 << 26


@dataclasses.dataclass(frozen=True)
class Report:
    """What was seen while a channel was read.

    Attributes:
        files: The files, in the order read.
        truncated: Rows cut at ``encX_max_seq_len``, by side.
        empty: Rows without a token, by side.
        bad_lines: One message for each line left out.
        unknown: Tokens that the vocabulary lacks, by side that is text.
        fingerprint: A digest of the channel's bytes.
        cached: Whether an earlier run read them, and they came from the cache.
    """

    files: tuple[Path, ...]
    truncated: dict[str, int]
    empty: dict[str, int]
    bad_lines: tuple[str, ...]
    unknown: dict[str, int]
    fingerprint: str
    cached: bool = False


@dataclasses.dataclass(frozen=True, eq=False)
class Pairs:
    """Labelled pairs of a channel, in memory or in the cache's files.

    Attributes:
        in0: Token ids of the first objects.
        in1: Token ids of the second objects.
        labels: int64 class ids or float32 reals, ``[rows]``; an array, or what
            ``np.asarray`` makes one of.
        hyperparameters: Those the pairs were checked against.
        report: What was seen while reading.
        weights: float32 ``[rows]``, how many times each pair counts; None where no
            line has a weight, and all count once.
    """

    in0: Column
    in1: Column
    labels: Labels | MappedNumbers
    hyperparameters: Hyperparameters
    report: Report
    weights: Weights = None

    def __len__(self) -> int:
        """Returns the number of pairs."""
        return len(self.labels)

    @property
    def columns(self) -> dict[str, Column]:
        """The token ids by input name."""
        return {"in0": self.in0, "in1": self.in1}

    def mean_label(self) -> float:
        """Returns the mean of the labels, each as often as its pair counts."""
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
            shard: ``(i, n)`` leaves replica i of n its rows of each batch alone, of
                which the inputs then tell: see `object2vec_tf.distributed.batch_shard`.

        Returns:
            A dataset of ``({"in0": ids, "in1": ids}, label)`` with ids a RaggedTensor
            int32 ``[batch, (time)]`` and label int64 or float32 ``[batch]``; of
            ``(inputs, label, weight)``, float32 ``[batch]``, where lines have weights.
            Shuffled, with ``"log_frequencies"``, float32 ``[batch, 2]``, where the
            hyperparameters ask how often an object stands in the channel.

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
        lengths = (self.in0.lengths, self.in1.lengths) if width else None
        counted = self.hyperparameters.needs_frequencies and shuffle
        log_frequencies = (
            self._log_frequencies if counted else np.zeros((0, 2), np.float32)
        )
        passes = itertools.count() if epoch is None else itertools.repeat(epoch)

        def plan(number: int) -> Batches:
            shuffled = (seed, number) if shuffle else None
            return plan_batches(lengths, len(self), size, width, shuffled)

        def batches() -> Iterator[tuple[Any, ...]]:
            batches = plan(next(passes))
            for number in range(first, len(batches)):
                rows = batches[number]
                told: dict[str, Any] = {}
                if shard is not None:
                    rows, told["shard"] = shard_rows(rows, *shard)
                if counted:
                    told["log_frequencies"] = log_frequencies[rows]
                if self.weights is not None:
                    told["weight"] = self.weights.take(rows)
                in0, in1 = self.in0.take(rows), self.in1.take(rows)
                yield (
                    in0.values,
                    in0.row_splits,
                    in1.values,
                    in1.row_splits,
                    self.labels.take(rows),
                    *([told] if told else ()),
                )

        # The number of batches is the same in every epoch.
        cardinality = max(count_batches(lengths, len(self), size, width) - first, 0)
        types = (tf.int32, tf.int64, tf.int32, tf.int64, self.labels.dtype)
        signature: list[Any] = [tf.TensorSpec([None], dtype) for dtype in types]
        more = {}
        if shard is not None:
            more["shard"] = tf.TensorSpec([3], tf.int32)
        if counted:
            more["log_frequencies"] = tf.TensorSpec([None, 2], tf.float32)
        if self.weights is not None:
            more["weight"] = tf.TensorSpec([None], tf.float32)
        if more:
            signature.append(more)
        return (
            tf.data.Dataset.from_generator(
                batches,
                output_signature=tuple(signature),
            )
            .map(_ragged)
            .apply(tf.data.experimental.assert_cardinality(cardinality))
            .prefetch(self._prefetched(size))
            .with_options(_options())
        )

    @functools.cached_property
    def _log_frequencies(self) -> npt.NDArray[np.float32]:
        """The logarithm of the share of pairs that have a pair's in0, and its in1."""
        return np.stack([log_frequencies(self.in0), log_frequencies(self.in1)], axis=1)

    def _prefetched(self, batch_size: int) -> int:
        """Returns how many batches are made ahead."""
        bytes_a_pair = 4 * (self.in0.tokens + self.in1.tokens) / len(self) + 24
        fitting = int(_PREFETCHED_BYTES / (batch_size * bytes_a_pair))
        return min(max(fitting, 2), _PREFETCHED_BATCHES)


def _options() -> tf.data.Options:
    options = tf.data.Options()
    # There is nothing to tune, and an epoch would end with a wait for the thread that
    # tunes: it looks 10 ms after the start, then after twice as long, and so on up to a
    # minute (TensorFlow 2.21, Model::OptimizeLoop), and often sleeps through its end.
    options.autotune.enabled = False
    return options


def _ragged(
    values0: tf.Tensor,
    splits0: tf.Tensor,
    values1: tf.Tensor,
    splits1: tf.Tensor,
    labels: tf.Tensor,
    more: Mapping[str, tf.Tensor] | None = None,
) -> tuple[Any, ...]:
    ragged = tf.RaggedTensor.from_row_splits
    inputs: dict[str, Any] = {
        "in0": ragged(values0, splits0, validate=False),
        "in1": ragged(values1, splits1, validate=False),
        **(more or {}),
    }
    weights = inputs.pop("weight", None)
    return (inputs, labels) if weights is None else (inputs, labels, weights)


def read_pairs(
    source: Source,
    hyperparameters: Hyperparameters | Mapping[str, Any],
    *,
    channel: str = "train",
    tokenizers: Tokenizers = (None, None),
    max_bad_lines: int = 0,
    cache_dir: str | os.PathLike[str] | None = None,
    cache_limit: float | None = None,
    after_block: Callable[[int], None] = lambda size: None,
) -> Pairs:
    """Reads a channel of JSON Lines, checks every line, and cuts long sequences.

    Args:
        source: A file, directory or glob, several in a list or separated by commas;
            ``.gz`` and ``.zst`` are unpacked.
        hyperparameters: The model's vocabulary sizes, lengths, output layer, classes;
            or a mapping of them.
        channel: The channel's name, for messages.
        tokenizers: What makes token ids of in0 and in1 where they are text;
            `read_tokenizers` returns them.
        max_bad_lines: Lines that may be wrong; they are left out and reported.
        cache_dir: A directory where what is read is kept in files, from which batches
            are then made; with the same content and settings it is not read again.
            None keeps the pairs in memory.
        cache_limit: Gigabytes (10**9 bytes) that the directory may hold.
        after_block: Is told of the bytes of each block read, unpacked.

    Raises:
        DataError: A line is wrong: the message says file, line, field, position and
            value. Or there are no pairs at all, or a file changes while it is read.
        UserError: ``max_bad_lines`` is no number of lines, or the cache cannot be
            written.
    """
    hyperparameters = as_hyperparameters(hyperparameters)
    max_bad_lines = as_integer("max_bad_lines", max_bad_lines)
    files = channel_files(source, channel)
    reading = _Reading(files, hyperparameters, tokenizers, max_bad_lines, after_block)
    if cache_dir is None:
        blocks = list(reading.blocks())
        if not blocks:
            raise _without_pairs(channel, files)
        block = concatenated(blocks)
        given = _weighing(channel, files, block.weights)
        report = _report(files, reading.told())
        columns = (block.in0, block.in1, block.labels)
        return Pairs(*columns, hyperparameters, report, given)
    if cache_limit is not None and not cache_limit > 0:
        raise UserError(f"cache_limit: {cache_limit}: expected a number above 0")
    vocabularies = [held.fingerprint for held in tokenizers if held]
    cache = ColumnCache(Path(cache_dir), cache_limit, hyperparameters, vocabularies)
    sighting = Sighting.of(files)
    kept, cached = _kept(cache, sighting, max_bad_lines, after_block), True
    if kept is None:
        kept, cached = cache.keep(reading.blocks(), reading.told), False
    if kept is None:
        raise _without_pairs(channel, files)
    report = _report(files, kept.report, cached)
    cache.remember(sighting, report.fingerprint)
    in0, in1, labels, weights = kept.columns
    held = _weighing(channel, files, weights if kept.report["weighted"] else None)
    return Pairs(in0, in1, labels, hyperparameters, report, held)


def _report(
    files: Sequence[Path], told: Mapping[str, Any], cached: bool = False
) -> Report:
    return Report(
        tuple(files),
        told["truncated"],
        told["empty"],
        tuple(told["bad_lines"]),
        told["unknown"],
        told["fingerprint"],
        cached,
    )


def _kept(
    cache: ColumnCache,
    sighting: Sighting,
    max_bad_lines: int,
    after_block: Callable[[int], None],
) -> Kept | None:
    """Returns what the cache holds of files, and tells of their bad lines as reading.

    Files not seen before are hashed where something is kept that may be theirs: that
    takes a tenth of the time that reading does.
    """
    kept = cache.seen(sighting)
    if kept is None and sighting.name is not None and not cache.is_empty():
        digest = _Digest(after_block)
        for path in sighting.files:
            for _ in read_line_blocks(path, digest=digest):
                pass
        kept = cache.of_content(digest.value)
    if kept is None or not kept.report["bad_lines"]:
        return kept
    files = [str(path) for path in sighting.files]
    is_same = kept.report["files"] == files
    return kept if is_same and len(kept.report["bad_lines"]) <= max_bad_lines else None


class _Reading:
    """One pass over a channel's files, and what is seen on the way."""

    def __init__(
        self,
        files: Sequence[Path],
        hyperparameters: Hyperparameters,
        tokenizers: Tokenizers,
        max_bad_lines: int,
        after_block: Callable[[int], None],
    ) -> None:
        self._files = files
        self._reader = line_reader(hyperparameters, tokenizers)
        self._hyperparameters = hyperparameters
        self._bad_lines = BadLines(max_bad_lines)
        self._digest = _Digest(after_block)
        self._truncated = {"in0": 0, "in1": 0}
        self._empty = {"in0": 0, "in1": 0}
        self._weighted = False

    def blocks(self) -> Iterator[Block]:
        """Yields the pairs, long sequences cut."""
        limits = {
            "in0": self._hyperparameters.enc0_max_seq_len,
            "in1": self._hyperparameters.enc1_max_seq_len,
        }
        with closing(self._reader) as reader:
            for block in itertools.chain.from_iterable(
                read_file(
                    path,
                    self._hyperparameters,
                    self._bad_lines,
                    self._digest,
                    reader,
                )
                for path in self._files
            ):
                columns = {}
                for side, limit in limits.items():
                    column, cut = getattr(block, side).truncate(limit)
                    columns[side] = column
                    self._truncated[side] += cut
                    self._empty[side] += int(np.count_nonzero(column.lengths == 0))
                self._weighted |= block.weights is not None
                yield dataclasses.replace(block, **columns)

    def told(self) -> dict[str, Any]:
        """Returns what was seen, when all is read."""
        return {
            "truncated": self._truncated,
            "empty": self._empty,
            "bad_lines": tuple(self._bad_lines.messages),
            "unknown": self._reader.unknown,
            "fingerprint": self._digest.value,
            "files": [str(path) for path in self._files],
            "weighted": self._weighted,
        }


class _Digest:
    """A digest of the bytes read, whose number it tells on."""

    def __init__(self, after_block: Callable[[int], None]) -> None:
        self._state = xxhash.xxh3_128()
        self._after_block = after_block

    def update(self, data: bytes, /) -> None:
        """Takes more bytes in."""
        self._after_block(len(data))
        self._state.update(data)

    @property
    def value(self) -> str:
        return self._state.hexdigest()


def _weighing(channel: str, files: Sequence[Path], weights: Weights) -> Weights:
    """Returns the weights.

    Raises:
        DataError: No pair weighs anything.
    """
    if weights is not None and not weights.mean() > 0:
        raise DataError(
            f"{channel}: {_named(files)}: every weight is 0, so that no pair counts; "
            "give some a weight above 0, or leave weights out"
        )
    return weights


def _without_pairs(channel: str, files: Sequence[Path]) -> DataError:
    return DataError(
        f"{channel}: {_named(files)}: holds no pairs; expected lines such as "
        '{"in0": [1], "in1": [2], "label": 1}'
    )


def _named(files: Sequence[Path]) -> str:
    return ", ".join(map(str, files[:3])) + (", ..." if files[3:] else "")
