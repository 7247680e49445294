"""Finds the files of a channel, and opens them."""

from __future__ import annotations

import glob
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from object2vec_tf.errors import DataError
from object2vec_tf.files.compressed import open_gzip, open_zstd
from object2vec_tf.files.directory_walk import check_link, kind_of, walk_files
from object2vec_tf.files.downloads import (
    RemoteFile,
    list_files,
    match_files,
    stage_files,
)
from object2vec_tf.files.path_lists import hint, is_visible, match_paths, split_paths
from object2vec_tf.files.remote import is_remote, local_path
from object2vec_tf.files.staging import StagedPath

Source = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]

# The first bytes of a gzip file (RFC 1952). No text in UTF-8 starts with them.
_GZIP = b"\x1f\x8b"


def channel_files(source: Source, channel: str, *, by_name: bool = False) -> list[Path]:
    """Returns the files of a channel, in a fixed order.

    A file is read once, however often it is given, by its name, a link or a glob.

    Args:
        source: A file, a directory or a glob, or several of them in a list or separated
            by commas. A directory means all files below it, except for those whose
            name, or whose directory's name, starts with a dot or an underscore.
            Symbolic links to directories are followed. A directory that a glob matches
            is read like one that is given. Each may be a URL, whose files are copied
            into the staging directory.
        channel: The channel's name, for messages.
        by_name: Whether the caller looks for files by name, so that all names of a file
            are needed.

    Warns:
        UserWarning: A file is given twice, or a directory contains files that are not
            regular ones, which are not read.

    Raises:
        DataError: There is no such file.
        UserError: A remote file cannot be read.
    """
    files: list[Path] = []
    for part in split_paths(source):
        files += files_of(part, channel)
    if not files:
        raise DataError(f"{channel}: no file given. Give a file, directory or glob.")
    return files if by_name else _unique(files, channel)


def _unique(files: Sequence[Path], channel: str) -> list[Path]:
    """Returns files without those that are others by another name."""
    first: dict[str, Path] = {}
    repeated: list[Path] = []
    for path in files:
        if first.setdefault(os.path.realpath(path), path) is not path:
            repeated.append(path)
    if repeated:
        path = repeated[0]
        other = first[os.path.realpath(path)]
        name = "" if str(other) == str(path) else f", the same file as {other},"
        more = f" This applies to {len(repeated)} files." if len(repeated) > 1 else ""
        warnings.warn(
            f"{channel}: {path}{name} is given more than once, and read once.{more}",
            stacklevel=3,
        )
    return list(first.values())


def files_of(part: str, channel: str) -> list[Path]:
    """Returns the files that one path, glob or URL means; see `channel_files`."""
    if is_remote(part):
        return list(stage_files(_remote_files_of(part, channel)))
    path = local_path(part)
    if path.is_dir():
        found = _regular_files(walk_files(path, channel), channel)
        if not found:
            raise DataError(f"{channel}: {part}: the directory has no data files.")
        return found
    check_link(path, channel)
    if path.exists():
        return [path]
    matches = match_paths(str(path)) if glob.has_magic(str(path)) else []
    found = _regular_files(_matched_files(matches, channel), channel)
    if not found:
        raise DataError(
            f"{channel}: {part}: {_problem(part)}. Check the path.{hint(str(path))}"
        )
    return found


def _problem(part: str) -> str:
    return "no file matches" if glob.has_magic(part) else "no such file or directory"


def _matched_files(matches: Sequence[Path], channel: str) -> Iterator[Path]:
    """Yields files that a glob matches, and those of directories that it matches."""
    found: set[Path] = set()
    for match in matches:
        check_link(match, channel)
        files: Iterable[Path] = [match]
        if match.is_dir():
            files = walk_files(match, channel) if is_visible(match.name) else []
        for file in files:  # ** matches directories and the files in them
            if file not in found:
                found.add(file)
                yield file


def _regular_files(files: Iterable[Path], channel: str) -> list[Path]:
    """Returns the regular ones of files, and warns of the others."""
    regular = []
    for file in files:
        if kind := kind_of(file):
            warnings.warn(
                f"{channel}: {file}: skipped, since it is {kind}, not a file.",
                stacklevel=4,
            )
        else:
            regular.append(file)
    return regular


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
        visible = [f for f in files if all(map(is_visible, f.name.split("/")))]
        if not visible:
            raise DataError(f"{channel}: {url}: the directory has no data files.")
        return visible
    has_magic = glob.has_magic(url)
    files = match_files(url) if has_magic else []
    if not files:
        raise DataError(f"{channel}: {url}: {_problem(url)}. Check the path.")
    return files


def open_file(path: Path) -> BinaryIO:
    """Opens a file for reading bytes; ``.gz`` and ``.zst`` are decompressed.

    A file with another name is decompressed too if its first bytes are those of gzip.

    Raises:
        DataError: The file cannot be opened.
    """
    try:
        file = path.open("rb")
        if path.suffix == ".zst":
            return open_zstd(file)
        if path.suffix == ".gz" or file.peek(2).startswith(_GZIP):
            return open_gzip(file)
        return file
    except OSError as error:
        raise DataError(f"{path}: cannot be opened: {error.strerror}.") from error
