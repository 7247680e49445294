"""The cache of parsed channels, shared between epochs and between runs.

Each entry is a directory with ``columns.arrow`` and ``report.json``, named by a digest
of the settings that decide how lines are read and by a digest of the content. Next to
the entries, a small file for each set of files that was read, named by their paths,
sizes and times, contains the digest of their content, so that a later run finds the
entry without reading the files.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import secrets
import shutil
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import xxhash

from object2vec_tf.data.arrow_store import (
    ColumnWriter,
    MappedColumn,
    MappedNumbers,
    open_columns,
)
from object2vec_tf.data.blocks import Block
from object2vec_tf.data.pair_schema import PairSchema
from object2vec_tf.errors import UserError
from object2vec_tf.files.atomic import sync, write_atomic
from object2vec_tf.files.fingerprints import file_signature
from object2vec_tf.files.locks import is_locked, locked
from object2vec_tf.files.sealed_json import parse_object
from object2vec_tf.files.writable import report_unwritable

# Changes with the content of the entries, and with the way in which lines are read.
_FORMAT = 4
_COLUMNS, _REPORT, _SOURCE = "columns.arrow", "report.json", ".source"
_UNFINISHED = ".object2vec-new-"
_NAME = re.compile("[0-9a-f]{16}-[0-9a-f]{32}")
_CHUNK_BYTES = 1 << 20
# Two changes of a file within this time may leave the same time stamp.
_STAMP_SECONDS = 2
GIGABYTE = 10**9
_DAMAGE_ERRORS = (
    *(OSError, ValueError, KeyError, TypeError, RecursionError),
    pa.ArrowException,
)


@dataclasses.dataclass(frozen=True)
class CachedChannel:
    """An entry of the cache.

    Attributes:
        columns: in0, in1, labels and weights.
        report: The findings of reading the channel.
    """

    columns: tuple[MappedColumn, MappedColumn, MappedNumbers, MappedNumbers]
    report: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class FileSnapshot:
    """The state of a channel's files at one time.

    Attributes:
        files: The files.
        signatures: Size, times and inode of each file; None for a pipe.
        time: ``time.time()`` of the snapshot.
    """

    files: tuple[Path, ...]
    signatures: tuple[list[int] | None, ...]
    time: float

    @classmethod
    def take(cls, files: Sequence[Path]) -> FileSnapshot:
        """Returns the present state of files.

        Raises:
            DataError: One of them does not exist.
        """
        now = time.time()
        return cls(tuple(files), tuple(file_signature(file) for file in files), now)

    @property
    def name(self) -> str | None:
        """A digest of paths and signatures; None if one of the files is a pipe."""
        if None in self.signatures:
            return None
        paths = [str(file.resolve()) for file in self.files]
        return _digest([paths, self.signatures])

    @property
    def is_reliable(self) -> bool:
        """Whether every later change of a file changes its time stamps."""
        stamps = [max(s[1:3]) for s in self.signatures if s is not None]
        return max(stamps, default=0) < (self.time - _STAMP_SECONDS) * 1e9


class ColumnCache:
    """The cache in one directory, which several runs may share.

    Args:
        directory: The directory, which is created when the first entry is written.
        limit: Gigabytes (10**9 bytes) that the entries may use. To make room, entries
            that no process uses are removed, the least recently used ones first. None
            for no limit.
        schema: The schema of the pairs.
        vocabularies: Digests of the vocabularies of the text inputs.
    """

    def __init__(
        self,
        directory: Path,
        limit: float | None,
        schema: PairSchema,
        vocabularies: Sequence[str] = (),
    ) -> None:
        self._directory = directory
        self._limit = None if limit is None else int(limit * GIGABYTE)
        self._schema = schema
        self._settings = _settings_digest(schema, vocabularies)

    def find_by_files(self, snapshot: FileSnapshot) -> CachedChannel | None:
        """Returns the entry of files that have not changed since they were read."""
        try:
            fingerprint = self._source(snapshot).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return None
        return self.find_by_content(fingerprint) if fingerprint.isalnum() else None

    def is_empty(self) -> bool:
        """Returns whether the cache has no entry for these settings."""
        return not any(self._directory.glob(f"{self._settings}-*"))

    def find_by_content(self, fingerprint: str) -> CachedChannel | None:
        """Returns the entry of a content; None if there is none or it is damaged."""
        path = self._path(fingerprint)
        if not path.exists():
            return None
        try:
            report = parse_object((path / _REPORT).read_bytes())
            if report.pop("digest") != _digest(report):
                raise ValueError(f"{_REPORT} is damaged")
            if report["checksum"] != _checksum(path / _COLUMNS):
                raise ValueError(f"{_COLUMNS} is damaged")
            columns = open_columns(path / _COLUMNS, self._schema)
        except _DAMAGE_ERRORS as error:
            warnings.warn(
                f"{path}: cannot be used: {error}. The channel is read again.",
                stacklevel=2,
            )
            return None
        with suppress(OSError):  # the directory may be read-only
            os.utime(path / _REPORT)
        return CachedChannel(columns, report)

    def remember(self, snapshot: FileSnapshot, fingerprint: str) -> None:
        """Records the content of files, for `find_by_files`."""
        if snapshot.name is None or not snapshot.is_reliable:
            return
        if snapshot.signatures != FileSnapshot.take(snapshot.files).signatures:
            return
        with suppress(OSError):  # the directory may be read-only
            write_atomic(self._source(snapshot), fingerprint)

    def write(
        self, blocks: Iterable[Block], report: Callable[[], dict[str, Any]]
    ) -> CachedChannel | None:
        """Writes an entry atomically.

        Args:
            blocks: The pairs.
            report: Called after the last block; returns the findings of reading the
                channel, with the digest of the content as ``"fingerprint"``.

        Returns:
            The entry; None if there are no pairs.

        Raises:
            UserError: The directory cannot be written, is full, or the entry exceeds
                the limit.
        """
        blocks = iter(blocks)
        first = next(blocks, None)
        if first is None:
            return None
        with self._unfinished() as temporary:
            self._write_columns(temporary / _COLUMNS, first, blocks)
            findings = report()
            with self._report_unwritable():
                sync(temporary / _COLUMNS)
                findings["checksum"] = _checksum(temporary / _COLUMNS)
                content = {**findings, "digest": _digest(findings)}
                write_atomic(temporary / _REPORT, json.dumps(content, indent=2) + "\n")
            with self._report_unwritable(), locked(self._directory):
                return self._publish(temporary, findings)

    def _path(self, fingerprint: str) -> Path:
        return self._directory / f"{self._settings}-{fingerprint}"

    def _source(self, snapshot: FileSnapshot) -> Path:
        return self._directory / f"{self._settings}-{snapshot.name}{_SOURCE}"

    def _write_columns(self, path: Path, first: Block, blocks: Iterator[Block]) -> None:
        with self._report_unwritable():
            writer = ColumnWriter(path, self._schema)
        block: Block | None = first
        try:
            while block is not None:
                with self._report_unwritable():
                    self._reject_above_limit(writer.write(block))
                block = next(blocks, None)
            with self._report_unwritable():
                writer.close()
        finally:
            writer.abandon()

    @contextmanager
    def _unfinished(self) -> Iterator[Path]:
        """Yields a locked temporary directory, which is removed at the end."""
        with ExitStack() as stack:
            with self._report_unwritable():
                self._directory.mkdir(parents=True, exist_ok=True)
                with locked(self._directory):
                    self._remove_unfinished()
                    path = self._directory / f"{_UNFINISHED}{secrets.token_hex(4)}"
                    path.mkdir()
                    stack.enter_context(locked(path, shared=True))
            try:
                yield path
            finally:
                shutil.rmtree(path, ignore_errors=True)

    def _remove_unfinished(self) -> None:
        """Removes the temporary directories of runs that were killed."""
        for path in self._directory.glob(f"{_UNFINISHED}*"):
            if not is_locked(path):
                shutil.rmtree(path, ignore_errors=True)

    def _publish(
        self, temporary: Path, findings: dict[str, Any]
    ) -> CachedChannel | None:
        """Renames a complete temporary directory to its entry, and returns the entry.

        Returns the present entry instead if another run was faster.
        """
        fingerprint: str = findings["fingerprint"]
        path = self._path(fingerprint)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # damage was reported before
            entry = self.find_by_content(fingerprint)
        if entry is not None and entry.report == findings:
            return entry
        self._make_room(_size(temporary), path)
        if path.exists():
            self._remove(path)
        temporary.chmod(0o755)
        temporary.rename(path)
        sync(self._directory)
        return self.find_by_content(fingerprint)

    def _remove(self, path: Path) -> None:
        # Programs that have the columns open keep them. The report is removed first, so
        # that no process uses an entry that is removed only in part.
        (path / _REPORT).unlink(missing_ok=True)
        shutil.rmtree(path)
        fingerprint = path.name.rpartition("-")[2]
        # Hidden files are those that other processes are writing.
        for source in self._directory.glob(f"[!.]*{_SOURCE}"):
            with suppress(FileNotFoundError):
                if source.read_bytes() == fingerprint.encode():
                    source.unlink()

    def _make_room(self, needed: int, path: Path) -> None:
        """Removes the least recently used entries until the limit is respected.

        Args:
            needed: Bytes of the new entry.
            path: The new entry, which replaces an entry of that name.
        """
        if self._limit is None:
            return
        last_used = {
            report.parent: report.stat().st_mtime_ns
            for report in self._directory.glob(f"*/{_REPORT}")
            if report.parent != path and _NAME.fullmatch(report.parent.name)
        }
        total = needed + sum(map(_size, last_used))
        for entry in sorted(last_used, key=last_used.__getitem__):
            if total <= self._limit:
                return
            if not is_locked(entry / _COLUMNS):
                total -= _size(entry)
                self._remove(entry)
        self._reject_above_limit(total)

    def _reject_above_limit(self, size: int) -> None:
        if self._limit is not None and size > self._limit:
            raise UserError(
                f"{self._directory}: the channels in use at the same time take more "
                f"than --cache_limit={self._limit / GIGABYTE:g} (gigabytes). Raise it, "
                "or leave it out."
            )

    def _report_unwritable(self) -> AbstractContextManager[None]:
        return report_unwritable(self._directory, "cache_dir")


def _settings_digest(schema: PairSchema, vocabularies: Sequence[str]) -> str:
    """Returns a digest of the settings that decide how lines are read.

    It is a part of the names of entries. A change of the values or of their order makes
    all entries of earlier versions useless.
    """
    values: list[Any] = [*schema.vocab_sizes, *schema.max_lengths, schema.output_layer]
    if schema.num_classes is not None:
        values.append(schema.num_classes)
    for tokenization in schema.tokenizations:
        if tokenization is not None:
            values += [
                tokenization.tokenizer,
                tokenization.lowercase,
                tokenization.unicode_normalization,
                tokenization.num_oov_buckets,
            ]
            if tokenization.subwords is not None:
                values += dataclasses.astuple(tokenization.subwords)
    return _digest([_FORMAT, *values, *vocabularies])


def _digest(value: Any) -> str:
    return hashlib.blake2b(json.dumps(value).encode(), digest_size=8).hexdigest()


def _checksum(path: Path) -> str:
    """Returns a checksum of a file's bytes, at several gigabytes per second."""
    state, chunk = xxhash.xxh3_64(), memoryview(bytearray(_CHUNK_BYTES))
    with path.open("rb", buffering=0) as file:
        while size := file.readinto(chunk):
            state.update(chunk[:size])
    return state.hexdigest()


def _size(directory: Path) -> int:
    return sum(entry.stat().st_size for entry in directory.iterdir())
