"""Finds remote files, and copies them into the staging directory."""

from __future__ import annotations

import dataclasses
import datetime
import glob
import os
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from object2vec_tf.errors import UserError
from object2vec_tf.files.digests import verify_digests, write_digests
from object2vec_tf.files.leftovers import temporary_directory
from object2vec_tf.files.path_lists import exists, is_visible, split_paths
from object2vec_tf.files.remote import (
    RELATIVE_NAMES,
    PathLike,
    RemoteError,
    attempt,
    has_buckets,
    is_remote,
    join_url,
    local_path,
    open_filesystem,
)
from object2vec_tf.files.staging import (
    StagedPath,
    clean,
    digest,
    discard,
    local_name,
    make_directory,
    protect,
    register,
    touch,
)

_INPUTS = "inputs"
_PARALLEL = 8
# The checksums of a copy, next to it.
_DIGESTS = ".object2vec_digests.json"
# What identifies a version of a file, in the answers of several file systems.
_VERSION_KEYS = (
    *("ETag", "etag", "md5Hash", "generation", "blob_id", "oid", "VersionId"),
    *("LastModified", "last_modified", "updated", "mtime", "created", "size"),
)
_TIME_KEYS = ("LastModified", "last_modified", "updated", "mtime", "created")


@dataclasses.dataclass(frozen=True)
class RemoteFile:
    """A file of a remote file system.

    Attributes:
        url: Its URL.
        path: Its path in the file system.
        name: Its path relative to the directory that was listed.
        size: Bytes; None if unknown.
        version: Changes with the content.
        modified: Time of the last change, in seconds since 1970; None if unknown.
    """

    url: str
    path: str
    name: str
    size: int | None
    version: str
    modified: float | None


def list_files(url: str) -> list[RemoteFile]:
    """Returns the file of a URL, or all files below it, by name.

    Returns:
        An empty list if there is nothing.

    Raises:
        RemoteError: The file system does not answer, or denies access.
    """
    filesystem, root = open_filesystem(url)

    def find() -> Mapping[str, Any]:
        filesystem.invalidate_cache()
        info = filesystem.info(root)
        if info["type"] == "file":
            return {root: info}
        return dict(filesystem.find(root, detail=True))

    try:
        found = attempt(find, url, "listed")
    except RemoteError as error:
        is_bucket = not has_buckets(filesystem) or _bucket_exists(filesystem, root)
        if error.is_missing and is_bucket:
            return []
        raise
    return _remote_files(found, root, url)


def match_files(url: str) -> list[RemoteFile]:
    """Returns the files that a URL with a glob pattern matches, by name.

    A directory that it matches means the files below it.

    Raises:
        RemoteError: The file system does not answer, or denies access.
    """
    filesystem, pattern = open_filesystem(url)

    def match() -> Mapping[str, Any]:
        filesystem.invalidate_cache()
        found = dict(filesystem.glob(pattern, detail=True))
        for path, info in list(found.items()):
            if info.get("type") == "directory" and is_visible(_last_name(path)):
                below = filesystem.find(path, detail=True)
                found |= {name: below[name] for name in below if _is_read(name, path)}
        return found

    found = attempt(match, url, "listed")
    root = pattern[: -len(_after_magic(pattern))].rstrip("/")
    base = url[: len(url) - len(pattern) + len(root)]
    files = _remote_files(found, root, base)
    if any(name.startswith(".") for name in _after_magic(pattern).split("/")):
        return files
    return [file for file in files if "/." not in f"/{file.name}"]


def _last_name(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]


def _is_read(path: str, directory: str) -> bool:
    """Returns whether a file below a directory is not hidden."""
    below = path.strip("/").removeprefix(directory.strip("/"))
    return all(map(is_visible, below.strip("/").split("/")))


def glob_root(url: str) -> str:
    """Returns the part of a URL before the first name with a wildcard.

    Example:
        >>> glob_root("s3://bucket/2024/*/part-*.jsonl")
        's3://bucket/2024'
    """
    return url[: -len(_after_magic(url))].rstrip("/")


def _after_magic(path: str) -> str:
    """Returns the rest of a path from the first name with a wildcard."""
    parts = path.split("/")
    first = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    return "/".join(parts[first:])


def _bucket_exists(filesystem: Any, path: str) -> bool:
    """Returns whether the first part of a path exists; a missing bucket is an error."""
    bucket = path.strip("/").partition("/")[0]
    try:
        return bool(filesystem.exists(bucket))
    except Exception:
        return False


def _remote_files(found: Mapping[str, Any], root: str, url: str) -> list[RemoteFile]:
    """Returns the files among the entries of a listing, without directory markers.

    Keys of object stores such as ``model/../../x`` are left out: their local copies
    would be outside of the directory.
    """
    root = root.strip("/")
    files = []
    for path, info in sorted(found.items()):
        name = path.strip("/").removeprefix(root).lstrip("/")
        is_file = info.get("type") == "file" and not path.endswith("/")
        if not is_file or RELATIVE_NAMES & set(name.split("/")):
            continue
        files.append(
            RemoteFile(
                join_url(url, name) if name else url,
                path,
                name,
                info.get("size"),
                digest(*(f"{key}={info.get(key)}" for key in _VERSION_KEYS)),
                _modified(info),
            )
        )
    return files


def _modified(info: Mapping[str, Any]) -> float | None:
    for key in _TIME_KEYS:
        value = info.get(key)
        if isinstance(value, str):
            try:
                value = datetime.datetime.fromisoformat(value)
            except ValueError:
                continue
        if isinstance(value, datetime.datetime):
            return value.timestamp()
        if isinstance(value, int | float):
            return float(value)
    return None


def stage_files(files: Sequence[RemoteFile]) -> list[StagedPath]:
    """Copies files into the staging directory, those that it does not have yet.

    Raises:
        RemoteError: A file cannot be read.
    """
    parent = make_directory(_INPUTS)
    targets = [
        parent / digest(file.url, file.version) / local_name(file.url) for file in files
    ]
    missing = [
        pair for pair in zip(files, targets, strict=True) if not _is_used(pair[1])
    ]
    if missing:
        with ThreadPoolExecutor(_PARALLEL) as pool:
            for _ in pool.map(lambda pair: _stage([pair[0]], pair[1].parent), missing):
                pass
        clean(parent)
    return [
        register(target, file.url) for file, target in zip(files, targets, strict=True)
    ]


def stage_directory(url: str, files: Sequence[RemoteFile]) -> StagedPath:
    """Copies a directory into the staging directory, if that does not have it yet.

    Args:
        url: The directory.
        files: The files to copy; their names are relative to the directory.

    Raises:
        RemoteError: A file cannot be read.
    """
    parent = make_directory(_INPUTS)
    versions = [f"{file.name}={file.version}" for file in files]
    target = parent / digest(url, *versions) / local_name(url)
    if not _is_used(target):
        _stage(files, target.parent, below=target.name)
        clean(parent)
    return register(target, url)


def stage_below(url: str, files: Sequence[RemoteFile], directory: str) -> StagedPath:
    """Copies a subdirectory of a listed directory into the staging directory.

    Args:
        url: The directory that was listed.
        files: Its files.
        directory: The subdirectory, relative to it; a dot for itself.

    Raises:
        RemoteError: A file cannot be read.
    """
    if directory == ".":
        return stage_directory(url, files)
    below = [
        dataclasses.replace(file, name=file.name[len(directory) + 1 :])
        for file in files
        if file.name.startswith(f"{directory}/")
    ]
    return stage_directory(join_url(url, directory), below)


def _is_used(target: Path) -> bool:
    """Returns whether an intact copy exists, and records that it is used."""
    if not (protect(target.parent) and target.exists()):
        return False
    try:
        verify_digests(target.parent, "It is copied again.", file=_DIGESTS)
    except UserError as error:
        warnings.warn(str(error), stacklevel=2)
        discard(target.parent)
        return False
    touch(target.parent)
    return True


def _stage(files: Sequence[RemoteFile], entry: Path, below: str = "") -> None:
    """Downloads files into a new entry of the staging directory, atomically."""
    with temporary_directory(entry) as temporary:
        targets = [
            temporary / below / (f.name if below else local_name(f.url)) for f in files
        ]
        for target in targets:
            target.parent.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(_PARALLEL) as pool:
            for _ in pool.map(download, files, targets):
                pass
        write_digests(temporary, file=_DIGESTS)
        try:
            temporary.rename(entry)
        except OSError:  # another process was faster
            if not entry.exists():
                raise
    protect(entry)


def download(file: RemoteFile, target: Path) -> None:
    """Copies a remote file to a path, with the time of its last change.

    Raises:
        RemoteError: It cannot be read.
    """
    filesystem, _ = open_filesystem(file.url)

    def get() -> None:
        filesystem.get_file(file.path, str(target))
        size = target.stat().st_size
        if file.size is not None and size != file.size:
            raise OSError(f"expected {file.size:,} bytes, got {size:,}")

    attempt(get, file.url, "read")
    if file.modified is not None:
        os.utime(target, (file.modified, file.modified))


def single_file(source: str) -> Path | None:
    """Returns the only file that a source means; None for a directory, a glob, a list.

    Args:
        source: A path or a URL, whose file is copied into the staging directory.

    Raises:
        RemoteError: The remote file system does not answer, or denies access.
    """
    paths = split_paths(source)
    if len(paths) != 1:
        return None
    source = paths[0]
    if not is_remote(source):
        path = local_path(source)
        return path if exists(str(path)) and not path.is_dir() else None
    files = [file for file in list_files(source) if not file.name]
    return stage_files(files)[0] if files else None


def staged_file(path: PathLike) -> Path:
    """Returns a local path as it is, and the local copy of a remote file.

    Raises:
        UserError: There is no such remote file, or it cannot be read.
    """
    if not is_remote(path):
        return local_path(path)
    url = os.fspath(path)
    files = [file for file in list_files(url) if not file.name]
    if not files:
        raise UserError(f"{url}: no such file. Check the path.")
    return stage_files(files)[0]
