"""Finds the files of a channel, and opens them."""

from __future__ import annotations

import glob
import gzip
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

import zstandard

from object2vec_tf.errors import DataError
from object2vec_tf.files.downloads import (
    RemoteFile,
    list_files,
    match_files,
    stage_files,
)
from object2vec_tf.files.remote import is_remote, local_path
from object2vec_tf.files.staging import StagedPath

Source = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]

# How the names of files start that Spark, Finder and editors leave next to data.
_MARKER_PREFIXES = (".", "_")
# The first bytes of a gzip file (RFC 1952). No text in UTF-8 starts with them.
_GZIP = b"\x1f\x8b"
_CHUNK_BYTES = 1 << 20


def channel_files(source: Source, channel: str) -> list[Path]:
    """Returns the files of a channel, in a fixed order.

    Args:
        source: A file, a directory or a glob, or several of them in a list or separated
            by commas. A directory means all files below it, except for those whose
            name, or whose directory's name, starts with a dot or an underscore. Each
            may be a URL, whose files are copied into the staging directory.
        channel: The channel's name, for messages.

    Raises:
        DataError: There is no such file.
        UserError: A remote file cannot be read.
    """
    parts: list[str] = []
    for item in [source] if isinstance(source, str | os.PathLike) else source:
        text = os.fspath(item)
        parts += [text] if Path(text).exists() else text.split(",")
    files: list[Path] = []
    for part in filter(None, (part.strip() for part in parts)):
        files += _files_of(part, channel)
    if not files:
        raise DataError(f"{channel}: no file given. Give a file, directory or glob.")
    return files


def _files_of(part: str, channel: str) -> list[Path]:
    if is_remote(part):
        return list(stage_files(_remote_files_of(part, channel)))
    path = local_path(part)
    part = str(path)
    if path.is_dir():
        visible = [
            e
            for e in sorted(path.rglob("*"))
            if not _is_marker(e.relative_to(path).parts)
        ]
        found = _existing_files(visible, channel)
        if not found:
            raise DataError(f"{channel}: {part}: the directory has no data files.")
        return found
    if path.exists():
        return [path]
    matches = [Path(match) for match in sorted(glob.glob(part, recursive=True))]
    found = _existing_files(matches, channel)
    if not found:
        problem = (
            "no file matches" if glob.has_magic(part) else "no such file or directory"
        )
        raise DataError(f"{channel}: {part}: {problem}. Check the path.")
    return found


def remote_files(url: str, channel: str) -> list[tuple[StagedPath, str]]:
    """Returns local copies of the files of a URL, and their names.

    Args:
        url: A file, a directory or a glob.
        channel: The channel's name, for messages.

    Returns:
        The copies, and the paths relative to the directory, or to the part of a glob
        without wildcards.

    Raises:
        DataError: There is no such file.
        UserError: A file cannot be read.
    """
    files = _remote_files_of(url, channel)
    names = [file.name or file.url.rpartition("/")[2] for file in files]
    return list(zip(stage_files(files), names, strict=True))


def _remote_files_of(url: str, channel: str) -> list[RemoteFile]:
    files = list_files(url)
    if files:
        visible = [f for f in files if not _is_marker(f.name.split("/"))]
        if not visible:
            raise DataError(f"{channel}: {url}: the directory has no data files.")
        return visible
    has_magic = glob.has_magic(url)
    files = match_files(url) if has_magic else []
    if not files:
        problem = "no file matches" if has_magic else "no such file or directory"
        raise DataError(f"{channel}: {url}: {problem}. Check the path.")
    return files


def _is_marker(names: Sequence[str]) -> bool:
    return any(name.startswith(_MARKER_PREFIXES) for name in names)


def _existing_files(entries: Sequence[Path], channel: str) -> list[Path]:
    for entry in entries:
        if entry.is_symlink() and not entry.exists():
            raise DataError(
                f"{channel}: {entry}: a symbolic link to {entry.readlink()}, which "
                "does not exist. Fix or remove the link."
            )
    return [entry for entry in entries if entry.is_file()]


def open_file(path: Path) -> BinaryIO:
    """Opens a file for reading bytes; ``.gz`` and ``.zst`` are decompressed.

    A file with another name is decompressed too if its first bytes are those of gzip.

    Raises:
        DataError: The file cannot be opened.
    """
    try:
        if path.suffix == ".gz":
            return cast(BinaryIO, gzip.open(path, "rb"))
        if path.suffix == ".zst":
            return io.BufferedReader(_Zstd(path.open("rb")), _CHUNK_BYTES)
        file = path.open("rb")
        if file.peek(2).startswith(_GZIP):
            stream = gzip.GzipFile(fileobj=file)
            stream.myfileobj = cast(Any, file)  # closed together with the stream
            return cast(BinaryIO, stream)
        return file
    except OSError as error:
        raise DataError(f"{path}: cannot be opened: {error.strerror}.") from error


class _Zstd(io.RawIOBase):
    """The decompressed bytes of a ``.zst`` file with any number of frames.

    zstandard's own stream_reader does not notice that a file is truncated.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._frame: zstandard.ZstdDecompressionObj | None = None
        self._compressed = self._content = b""

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        while not self._content:
            self._compressed = self._compressed or self._file.read(_CHUNK_BYTES)
            if not self._compressed:
                if self._frame:
                    raise EOFError("it ends in the middle of a zstd frame")
                return 0
            frame = self._frame or zstandard.ZstdDecompressor().decompressobj()
            self._content = frame.decompress(self._compressed)
            self._frame = None if frame.eof else frame
            self._compressed = frame.unused_data if frame.eof else b""
        size = min(len(target), len(self._content))
        target[:size], self._content = self._content[:size], self._content[size:]
        return size

    def close(self) -> None:
        self._file.close()
        super().close()
