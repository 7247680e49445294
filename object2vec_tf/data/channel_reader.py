"""Reads pairs from files, tables and iterables, in memory or through the cache."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import xxhash

from object2vec_tf.data.arrow_store import concatenate_blocks
from object2vec_tf.data.blocks import BadLines, Block
from object2vec_tf.data.cache import CachedChannel, ColumnCache, FileSnapshot
from object2vec_tf.data.dataset import Weights
from object2vec_tf.data.json_lines import LineReader, line_reader, read_file
from object2vec_tf.data.pair_checks import PairsDigest, checked_pairs
from object2vec_tf.data.pair_schema import INPUTS, PairSchema
from object2vec_tf.data.pairs import Pairs, Report
from object2vec_tf.data.table_reader import PairTableReader
from object2vec_tf.data.table_sources import TableSource, is_file_source, table_source
from object2vec_tf.errors import DataError, UserError
from object2vec_tf.files.channels import Source, channel_files
from object2vec_tf.files.line_blocks import open_line_blocks
from object2vec_tf.files.line_limit import DEFAULT_MEGABYTES, max_line_megabytes
from object2vec_tf.files.record_batches import hash_file, is_table_file
from object2vec_tf.files.remote import local_path
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.hyperparameters.arguments import (
    as_gigabytes,
    as_hyperparameters,
    as_integer,
)
from object2vec_tf.text.tokenizer import Tokenizer
from object2vec_tf.text.tokenizer_loading import Tokenizers

# Changes when other lines become invalid, or lines get other values.
_READER = 4
PairSource: TypeAlias = Source | Pairs | Any


def read_pairs(
    source: PairSource,
    hyperparameters: Hyperparameters | Mapping[str, Any] | PairSchema,
    *,
    channel: str = "train",
    tokenizers: Tokenizers = (None, None),
    max_bad_lines: int = 0,
    cache_dir: str | os.PathLike[str] | None = None,
    cache_limit: float | None = None,
    after_block: Callable[[int], None] = lambda size: None,
) -> Pairs:
    r"""Reads labeled pairs, checks every line or row and truncates long objects.

    Args:
        source: A file, directory or glob, or several of them in a list or separated by
            commas: Parquet or Arrow by their suffixes (see `record_batches`), else JSON
            Lines, of which ``.gz`` and ``.zst`` are decompressed. Or a table: a
            DataFrame of pandas or polars, a Table, RecordBatch or RecordBatchReader of
            pyarrow, another object with Arrow's C interface, or a dataset of Hugging
            Face, with columns in0, in1, label and optionally weight. Or an iterable of
            mappings with these keys. Or Pairs, which are checked against the
            hyperparameters.
        hyperparameters: The settings of the model, or a mapping of them. Vocabulary
            sizes, maximum lengths, output layer, classes and text settings are used.
        channel: The channel's name, for messages.
        tokenizers: The tokenizers of in0 and in1 if they are text, which
            `read_tokenizers` returns.
        max_bad_lines: Number of invalid lines to tolerate. They are skipped and
            reported.
        cache_dir: A directory for the parsed pairs, from which batches are made, and
            which later runs use again. None keeps the pairs in memory.
        cache_limit: Gigabytes (10**9 bytes) that the directory may use.
        after_block: Called with the decompressed bytes of each block that was read.

    Raises:
        DataError: A line or row is invalid: the message names file, line or row
            (counted from 1), field, position and value. Or there are no pairs, a table
            lacks a column, Pairs do not fit, or a file changes while it is read.
        UserError: ``max_bad_lines`` or ``cache_limit`` is out of range, or the cache
            cannot be written.

    Example:
        >>> from pathlib import Path
        >>> import object2vec_tf as o2v
        >>> lines = ['{"in0": [1, 2, 3], "in1": [4], "label": 1}', "[1, 2]"]
        >>> _ = Path("train.jsonl").write_text("\n".join(lines))
        >>> hyperparameters = o2v.Hyperparameters(enc0_vocab_size=5, enc0_max_seq_len=2)
        >>> pairs = o2v.read_pairs("train.jsonl", hyperparameters, max_bad_lines=1)
        >>> len(pairs), pairs.report.truncated, len(pairs.report.bad_lines)
        (1, {'in0': 1, 'in1': 0}, 1)
        >>> rows = [{"in0": 3, "in1": [4.0], "label": 1}]
        >>> len(o2v.read_pairs(rows, hyperparameters))
        1
    """
    if not isinstance(hyperparameters, PairSchema):
        hyperparameters = as_hyperparameters(hyperparameters)
    max_bad_lines = as_integer("max_bad_lines", max_bad_lines)
    if cache_limit is not None:
        cache_limit = as_gigabytes("cache_limit", cache_limit)
    _check_tokenizers(tokenizers)
    cache = None if cache_dir is None else local_path(cache_dir, "cache_dir")
    if isinstance(source, Pairs):
        return checked_pairs(source, hyperparameters, channel)
    files, table = [], None
    if is_file_source(source):
        files = channel_files(source, channel)
    else:
        table = table_source(source)
    reader = _ChannelReader(
        files, table, channel, hyperparameters, tokenizers, max_bad_lines, after_block
    )
    if cache is None:
        return reader.read_into_memory()
    return reader.read_through_cache(cache, cache_limit)


def _check_tokenizers(tokenizers: Any) -> None:
    is_pair = isinstance(tokenizers, list | tuple) and len(tokenizers) == len(INPUTS)
    if not is_pair or not all(isinstance(t, Tokenizer | None) for t in tokenizers):
        raise UserError(
            "tokenizers: expected those of in0 and of in1, or None for a side of token "
            f"ids, got {tokenizers!r:.60}. Give what read_tokenizers returns."
        )


class _ChannelReader:
    """Reads the files or the table of a channel once, and reports its findings."""

    def __init__(
        self,
        files: Sequence[Path],
        table: TableSource | None,
        channel: str,
        settings: Hyperparameters | PairSchema,
        tokenizers: Tokenizers,
        max_bad_lines: int,
        after_block: Callable[[int], None],
    ) -> None:
        self._files = files
        self._table = table
        self._channel = channel
        self._settings = settings
        self._schema = PairSchema.of(settings)
        self._vocabularies = [
            tokenizer.fingerprint for tokenizer in tokenizers if tokenizer
        ]
        self._parser = line_reader(self._schema, tokenizers)
        self._bad_lines = BadLines(max_bad_lines, is_table=table is not None)
        self._tables = PairTableReader(
            self._schema, self._parser, self._bad_lines, after_block
        )
        self._after_block = after_block
        self._digest = _ChannelDigest(after_block)
        self._pairs_digest = PairsDigest()
        self._truncated = dict.fromkeys(INPUTS, 0)
        self._empty = dict.fromkeys(INPUTS, 0)
        self._has_weights = False

    def read_into_memory(self) -> Pairs:
        """Returns the pairs as arrays."""
        blocks = list(self._blocks())
        if not blocks:
            raise self._no_pairs()
        block = concatenate_blocks(blocks)
        weights = self._checked_weights(block.weights)
        report = self._report(self._findings())
        return Pairs(
            block.in0, block.in1, block.labels, self._settings, report, weights
        )

    def read_through_cache(self, directory: Path, limit: float | None) -> Pairs:
        """Returns the pairs memory-mapped from the cache, after filling it if needed.

        Args:
            directory: The directory of the cache.
            limit: Gigabytes (10**9 bytes) that it may use.
        """
        cache = ColumnCache(directory, limit, self._schema, self._vocabularies)
        snapshot = FileSnapshot.take(self._files)
        entry = None if self._table else self._cached(cache, snapshot)
        is_cached = entry is not None
        if entry is None:
            entry = cache.write(self._blocks(), self._findings)
        if entry is None:
            raise self._no_pairs()
        report = self._report(entry.report, is_cached)
        if not self._table:
            cache.remember(snapshot, report.fingerprint)
        in0, in1, labels, mapped = entry.columns
        weights = self._checked_weights(mapped if entry.report["weighted"] else None)
        return Pairs(in0, in1, labels, self._settings, report, weights)

    def _cached(
        self, cache: ColumnCache, snapshot: FileSnapshot
    ) -> CachedChannel | None:
        """Returns the cache's entry for the files, if it may be used.

        Files that were not seen before are hashed if the cache has any entry that may
        be theirs: hashing takes a tenth of the time of parsing. An entry is used only
        if the same lines are invalid in this version; one with skipped lines only for
        the same files, as their names are in its messages, and within the same budget.
        """
        entry = cache.find_by_files(snapshot)
        if entry is None and snapshot.name is not None and not cache.is_empty():
            digest = _ChannelDigest(self._after_block)
            for path in snapshot.files:
                if is_table_file(path):
                    hash_file(path, digest)
                    continue
                with open_line_blocks(path, digest=digest, replace_long=True) as blocks:
                    for _ in blocks:
                        pass
            entry = cache.find_by_content(digest.value)
        if entry is None or entry.report.get("reader") != _READER:
            return None
        if not entry.report["bad_lines"]:
            return entry
        megabytes = entry.report.get("max_line_megabytes", DEFAULT_MEGABYTES)
        if megabytes != max_line_megabytes():
            return None
        has_same_files = entry.report["files"] == [str(path) for path in snapshot.files]
        in_budget = entry.report["bad_line_count"] <= self._bad_lines.budget
        return entry if has_same_files and in_budget else None

    def _blocks(self) -> Iterator[Block]:
        """Yields the pairs of all files, with long objects truncated."""
        schema = self._schema
        limits = dict(
            zip(
                INPUTS,
                zip(schema.max_lengths, schema.continued_from, strict=True),
                strict=True,
            )
        )
        with closing(self._parser) as parser:
            for block in self._parsed(parser):
                columns = {}
                for name, limit in limits.items():
                    column, truncated = getattr(block, name).truncate(*limit)
                    columns[name] = column
                    self._truncated[name] += truncated
                    self._empty[name] += int(np.count_nonzero(column.lengths == 0))
                self._has_weights |= block.weights is not None
                yield dataclasses.replace(block, **columns)

    def _parsed(self, parser: LineReader) -> Iterator[Block]:
        """Yields the pairs of all files or of the table."""
        if self._table is not None:
            for block in self._tables.read(self._table.parts, self._table_name):
                self._pairs_digest.update(block)
                yield block
        for path in self._files:
            if is_table_file(path):
                yield from self._tables.read_file(path, self._digest.state)
            else:
                yield from read_file(
                    path, self._schema, self._bad_lines, self._digest, parser
                )

    @property
    def _table_name(self) -> str:
        """The name of the table in messages."""
        name = self._table.name if self._table else ""
        return name if self._channel == "train" else f"{self._channel}: {name}"

    def _findings(self) -> dict[str, Any]:
        """Returns the content of the cache's report.json, after the last block."""
        return {
            "truncated": self._truncated,
            "empty": self._empty,
            "bad_lines": tuple(self._bad_lines.messages),
            "bad_line_count": self._bad_lines.count,
            "unknown": self._parser.unknown,
            "fingerprint": (
                self._pairs_digest.value if self._table else self._digest.value
            ),
            "files": [str(path) for path in self._files],
            "weighted": self._has_weights,
            "reader": _READER,
            "max_line_megabytes": max_line_megabytes(),
        }

    def _report(self, findings: Mapping[str, Any], cached: bool = False) -> Report:
        return Report(
            tuple(self._files),
            findings["truncated"],
            findings["empty"],
            tuple(findings["bad_lines"]),
            findings["unknown"],
            findings["fingerprint"],
            cached,
            self._table.name if self._table else "",
        )

    def _checked_weights(self, weights: Weights) -> Weights:
        """Returns the weights.

        Raises:
            DataError: All of them are 0.
        """
        if weights is not None and not weights.mean() > 0:
            raise DataError(
                f"{self._place()}: every weight is 0, so that no pair counts. Give "
                "some pairs a weight above 0, or leave weights out."
            )
        return weights

    def _no_pairs(self) -> DataError:
        if messages := self._bad_lines.messages:
            return DataError(
                f"{self._place()}: contains no valid pairs. The first bad line: "
                f"{messages[0]}"
            )
        return DataError(
            f"{self._place()}: contains no pairs. Expected "
            f"{'rows' if self._table else 'lines'} such as "
            '{"in0": [1], "in1": [2], "label": 1}.'
        )

    def _place(self) -> str:
        if self._table:
            return f"{self._channel}: {self._table.name}"
        names = [f"{file}" for file in self._files[:3]]
        files = ", ".join(names) + (", ..." * bool(self._files[3:]))
        return f"{self._channel}: {files}"


class _ChannelDigest:
    """A digest of the bytes of a channel, which also reports their number.

    Attributes:
        state: The digest, for bytes whose number is reported elsewhere.
    """

    def __init__(self, after_block: Callable[[int], None]) -> None:
        self.state = xxhash.xxh3_128()
        self._after_block = after_block

    def update(self, data: bytes, /) -> None:
        """Adds bytes to the digest."""
        self._after_block(len(data))
        self.state.update(data)

    @property
    def value(self) -> str:
        return self.state.hexdigest()
