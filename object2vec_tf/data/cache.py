"""The cache: what was read of a channel, kept between epochs and between runs.

A directory for each channel that was read, named by the settings that decide what is
read and by the content: ``columns.arrow`` and ``report.json``. Beside them a small file
for each set of files seen, named by their paths, sizes and times: it names the
directory, so that a second run need not read the files to know them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import shutil
import tempfile
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
from object2vec_tf.data.json_lines import Block
from object2vec_tf.errors import UserError
from object2vec_tf.files.atomic import sync, write_atomic
from object2vec_tf.files.fingerprints import file_signature
from object2vec_tf.files.locks import is_locked, locked
from object2vec_tf.files.writable import report_unwritable
from object2vec_tf.hyperparameters import Hyperparameters

# Changes whenever what is kept, or the way it is read, changes.
_FORMAT = 4
_COLUMNS, _REPORT, _SOURCE = "columns.arrow", "report.json", ".source"
_UNFINISHED = ".object2vec-new-"
_NAME = re.compile("[0-9a-f]{16}-[0-9a-f]{32}")
_CHUNK_BYTES = 1 << 20
# Two changes of a file within this time may leave it the same time stamp.
_STAMP_SECONDS = 2
GIGABYTE = 10**9


@dataclasses.dataclass(frozen=True)
class Kept:
    """What the cache holds of a channel.

    Attributes:
        columns: in0, in1, labels and weights.
        report: What was told of reading them.
    """

    columns: tuple[MappedColumn, MappedColumn, MappedNumbers, MappedNumbers]
    report: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Sighting:
    """Files as they are at a time.

    Attributes:
        files: The files.
        signatures: What stat tells of each.
        time: ``time.time()`` at which it did.
    """

    files: tuple[Path, ...]
    signatures: tuple[list[int] | None, ...]
    time: float

    @classmethod
    def of(cls, files: Sequence[Path]) -> Sighting:
        """Returns the files as they are now.

        Raises:
            DataError: One of them is not there.
        """
        now = time.time()
        return cls(tuple(files), tuple(file_signature(file) for file in files), now)

    @property
    def name(self) -> str | None:
        """A name of the files as they are; None where one is a pipe."""
        if None in self.signatures:
            return None
        paths = [str(file.resolve()) for file in self.files]
        return _digest([paths, self.signatures])

    @property
    def is_lasting(self) -> bool:
        """Whether a later change of a file cannot leave it the same time stamps."""
        stamps = [max(s[1:3]) for s in self.signatures if s is not None]
        return max(stamps, default=0) < (self.time - _STAMP_SECONDS) * 1e9


class ColumnCache:
    """The cache in one directory, which several runs may share.

    Args:
        directory: Where it is; made when there is something to keep.
        limit: Gigabytes (10**9 bytes) that it may hold: channels that no run uses give
            way, those not used for the longest time first. None: as many as come.
        hyperparameters: The settings that channels are read with.
        vocabularies: Digests of the vocabularies that text is read with.
    """

    def __init__(
        self,
        directory: Path,
        limit: float | None,
        hyperparameters: Hyperparameters,
        vocabularies: Sequence[str] = (),
    ) -> None:
        self._directory = directory
        self._limit = None if limit is None else int(limit * GIGABYTE)
        self._hyperparameters = hyperparameters
        self._settings = _settings(hyperparameters, vocabularies)

    def seen(self, sighting: Sighting) -> Kept | None:
        """Returns what is kept of files that have not changed since they were read."""
        try:
            fingerprint = self._source(sighting).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return None
        return self.of_content(fingerprint) if fingerprint.isalnum() else None

    def is_empty(self) -> bool:
        """Whether nothing is kept that was read with these settings."""
        return not any(self._directory.glob(f"{self._settings}-*"))

    def of_content(self, fingerprint: str) -> Kept | None:
        """Returns what is kept of a content, None where nothing is or it is damaged."""
        path = self._path(fingerprint)
        if not path.exists():
            return None
        try:
            report = json.loads((path / _REPORT).read_text(encoding="utf-8"))
            if report.pop("digest") != _digest(report):
                raise ValueError(f"{_REPORT} is damaged")
            if report["checksum"] != _checksum(path / _COLUMNS):
                raise ValueError("it is not as it was written")
            columns = open_columns(path / _COLUMNS, self._hyperparameters)
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
            warnings.warn(
                f"{path}: cannot be used: {error}; the channel is read again",
                stacklevel=2,
            )
            return None
        with suppress(OSError):  # a directory to be read from alone
            os.utime(path / _REPORT)
        return Kept(columns, report)

    def remember(self, sighting: Sighting, fingerprint: str) -> None:
        """Notes which files hold a content, so that they are known by their times."""
        if sighting.name is None or not sighting.is_lasting:
            return
        if sighting.signatures != Sighting.of(sighting.files).signatures:
            return
        with suppress(OSError):  # a directory to be read from alone
            write_atomic(self._source(sighting), fingerprint)

    def keep(
        self, blocks: Iterable[Block], report: Callable[[], dict[str, Any]]
    ) -> Kept | None:
        """Writes what is read, whole or not at all.

        Args:
            blocks: What is read.
            report: Is called behind the last block; tells among other things the
                content's ``"fingerprint"``.

        Returns:
            What was written; None where there is no pair.

        Raises:
            UserError: There is no room for it, or no right to write.
        """
        blocks = iter(blocks)
        first = next(blocks, None)
        if first is None:
            return None
        with self._unfinished() as temporary:
            self._write(temporary / _COLUMNS, first, blocks)
            told = report()
            with self._report_unwritable():
                sync(temporary / _COLUMNS)
                told["checksum"] = _checksum(temporary / _COLUMNS)
                sealed = {**told, "digest": _digest(told)}
                write_atomic(temporary / _REPORT, json.dumps(sealed, indent=2) + "\n")
            with self._report_unwritable(), locked(self._directory):
                return self._put(temporary, told)

    def _path(self, fingerprint: str) -> Path:
        return self._directory / f"{self._settings}-{fingerprint}"

    def _source(self, sighting: Sighting) -> Path:
        return self._directory / f"{self._settings}-{sighting.name}{_SOURCE}"

    def _write(self, path: Path, first: Block, blocks: Iterator[Block]) -> None:
        with self._report_unwritable():
            writer = ColumnWriter(path, self._hyperparameters)
        block: Block | None = first
        try:
            while block is not None:
                with self._report_unwritable():
                    self._refuse_beyond_limit(writer.write(block))
                block = next(blocks, None)
            with self._report_unwritable():
                writer.close()
        finally:
            writer.abandon()

    @contextmanager
    def _unfinished(self) -> Iterator[Path]:
        """Yields a directory to write to, which is gone at the end."""
        with ExitStack() as stack:
            with self._report_unwritable():
                self._directory.mkdir(parents=True, exist_ok=True)
                with locked(self._directory):
                    self._sweep()
                    name = tempfile.mkdtemp("", _UNFINISHED, self._directory)
                    stack.enter_context(locked(Path(name), shared=True))
            try:
                yield Path(name)
            finally:
                shutil.rmtree(name, ignore_errors=True)

    def _sweep(self) -> None:
        """Removes what killed runs left unfinished."""
        for path in self._directory.glob(f"{_UNFINISHED}*"):
            if not is_locked(path):
                shutil.rmtree(path, ignore_errors=True)

    def _put(self, temporary: Path, told: dict[str, Any]) -> Kept | None:
        fingerprint: str = told["fingerprint"]
        path = self._path(fingerprint)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damage it was told before
            kept = self.of_content(fingerprint)
        if kept is not None and kept.report == told:  # another run was faster
            return kept
        self._make_room(_size(temporary), path)
        if path.exists():
            self._remove(path)
        temporary.chmod(0o755)
        temporary.rename(path)
        sync(self._directory)
        return self.of_content(fingerprint)

    def _remove(self, path: Path) -> None:
        # Programs that have the columns open keep them; the report goes first, so that
        # nobody takes what is left for whole.
        (path / _REPORT).unlink(missing_ok=True)
        shutil.rmtree(path)
        fingerprint = path.name.rpartition("-")[2]
        # Not those that another process is writing: they have names of their own.
        for source in self._directory.glob(f"[!.]*{_SOURCE}"):
            with suppress(FileNotFoundError):
                if source.read_bytes() == fingerprint.encode():
                    source.unlink()

    def _make_room(self, needed: int, path: Path) -> None:
        """Removes channels not used for the longest time until the limit is kept."""
        if self._limit is None:
            return
        kept = {
            report.parent: report.stat().st_mtime_ns
            for report in self._directory.glob(f"*/{_REPORT}")
            if report.parent != path and _NAME.fullmatch(report.parent.name)
        }
        total = needed + sum(map(_size, kept))
        for other in sorted(kept, key=kept.__getitem__):
            if total <= self._limit:
                return
            if not is_locked(other / _COLUMNS):
                total -= _size(other)
                self._remove(other)
        self._refuse_beyond_limit(total)

    def _refuse_beyond_limit(self, size: int) -> None:
        if self._limit is not None and size > self._limit:
            raise UserError(
                f"{self._directory}: the channels that are used at the same time take "
                f"more than --cache_limit={self._limit / GIGABYTE:g} (gigabytes); "
                "raise it, or leave it out"
            )

    def _report_unwritable(self) -> AbstractContextManager[None]:
        return report_unwritable(self._directory, "cache_dir")


def _settings(hyperparameters: Hyperparameters, vocabularies: Sequence[str]) -> str:
    """Returns a name of the settings that decide what is read."""
    names = [
        *("enc0_vocab_size", "enc1_vocab_size"),
        *("enc0_max_seq_len", "enc1_max_seq_len"),
        "output_layer",
    ]
    if hyperparameters.output_layer == "softmax":
        names.append("num_classes")
    for side in hyperparameters.texts:
        of_text = ("tokenizer", "lowercase", "unicode_normalization", "num_oov_buckets")
        names += [f"enc{side[-1]}_{name}" for name in of_text]
    values = [getattr(hyperparameters, name) for name in names]
    return _digest([_FORMAT, *values, *vocabularies])


def _digest(value: Any) -> str:
    return hashlib.blake2b(json.dumps(value).encode(), digest_size=8).hexdigest()


def _checksum(path: Path) -> str:
    """Returns a checksum of a file's bytes, at several gigabytes a second."""
    state, chunk = xxhash.xxh3_64(), memoryview(bytearray(_CHUNK_BYTES))
    with path.open("rb", buffering=0) as file:
        while size := file.readinto(chunk):
            state.update(chunk[:size])
    return state.hexdigest()


def _size(directory: Path) -> int:
    return sum(entry.stat().st_size for entry in directory.iterdir())
