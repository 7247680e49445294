"""Copies local files and directories to remote file systems."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from object2vec_tf.errors import UserError
from object2vec_tf.files.downloads import list_files
from object2vec_tf.files.remote import (
    PathLike,
    RemoteError,
    attempt,
    has_buckets,
    is_remote,
    join_url,
    local_path,
    open_filesystem,
    remote_error,
)
from object2vec_tf.files.special_files import is_special, target_of
from object2vec_tf.files.staging import (
    StagedPath,
    clean,
    digest,
    local_name,
    make_directory,
    register,
)
from object2vec_tf.files.writable import check_writable

_OUTPUTS = "outputs"
_PROBE = ".object2vec_tf-probe"
_PARALLEL = 8


def upload_file(local: Path, url: str) -> None:
    """Copies a local file to a URL, which it replaces.

    Raises:
        RemoteError: It cannot be written.
    """
    filesystem, path = open_filesystem(url)

    def put() -> None:
        _make_parents(filesystem, path)
        filesystem.put_file(str(local), path)

    attempt(put, url, "written")


def upload_bytes(content: bytes, url: str) -> None:
    """Writes a small remote file.

    Raises:
        RemoteError: It cannot be written.
    """
    filesystem, path = open_filesystem(url)

    def put() -> None:
        _make_parents(filesystem, path)
        filesystem.pipe_file(path, content)

    attempt(put, url, "written")


def read_bytes(url: str) -> bytes | None:
    """Returns the content of a small remote file; None if it does not exist.

    Raises:
        RemoteError: It cannot be read.
    """
    filesystem, path = open_filesystem(url)

    def read() -> bytes:
        filesystem.invalidate_cache()
        return bytes(filesystem.cat_file(path))

    try:
        return attempt(read, url, "read")
    except RemoteError as error:
        if error.is_missing:
            return None
        raise


def delete_file(url: str) -> None:
    """Deletes a remote file, if it exists.

    Raises:
        RemoteError: It cannot be deleted.
    """
    filesystem, path = open_filesystem(url)
    try:
        attempt(lambda: filesystem.rm_file(path), url, "deleted")
    except RemoteError as error:
        if not error.is_missing:
            raise


def _make_parents(filesystem: Any, path: str) -> None:
    parent = path.rpartition("/")[0]
    # Object stores have no directories; s3fs would create a bucket.
    if parent and not has_buckets(filesystem):
        filesystem.makedirs(parent, exist_ok=True)


def check_remote_writable(url: str, setting: str, *, deletes: bool = False) -> None:
    """Checks that files can be written below a URL, by a small temporary one.

    Args:
        url: The directory.
        setting: The flag that gives it, such as ``export_dir``.
        deletes: Whether it must be possible to delete files, too.

    Raises:
        UserError: They cannot.
    """
    open_filesystem(url)  # names this URL if the scheme cannot be used
    probe = join_url(url, _PROBE)
    try:
        upload_bytes(b"", probe)
    except RemoteError as error:
        raise unwritable(url, setting, error) from error
    try:
        delete_file(probe)
    except RemoteError:
        if deletes:
            raise


def unwritable(url: str, setting: str, error: RemoteError) -> UserError:
    """Returns the error of a directory that cannot be written."""
    cause = error.__cause__
    if isinstance(cause, Exception):
        error = remote_error(url, f"written ({setting})", cause)
    return RemoteError(f"{error} Or choose another --{setting}.")


def upload_directory(local: Path, url: str, last: Sequence[str] = ()) -> None:
    """Copies the files of a local directory to a URL; adds and replaces files.

    Args:
        local: The directory.
        url: The URL of its copy.
        last: Names of the files that are written after all others. Readers take the
            directory for complete when they exist.

    Raises:
        RemoteError: A file cannot be written.
    """
    files = sorted(path for path in local.rglob("*") if path.is_file())
    first = [path for path in files if path.name not in last]
    with ThreadPoolExecutor(_PARALLEL) as pool:
        for _ in pool.map(lambda path: _upload_below(local, path, url), first):
            pass
    for path in files:
        if path.name in last:
            _upload_below(local, path, url)


def _upload_below(root: Path, path: Path, url: str) -> None:
    upload_file(path, join_url(url, path.relative_to(root).as_posix()))


@contextmanager
def local_output(path: PathLike, setting: str = "output") -> Iterator[Path]:
    """Yields a local path for an output file; a remote file is uploaded at the end.

    The directory of a local file is created where it is missing.

    Args:
        path: The path or URL of the file.
        setting: The flag that gives it, for messages.

    Raises:
        UserError: A local file cannot be written, or a remote one cannot be uploaded;
            the message names a local copy.
    """
    if not is_remote(path):
        yield _writable_file(local_path(path), setting)
        return
    url = os.fspath(path)
    parent = url.rpartition("/")[0]
    if url.endswith("/"):
        raise UserError(f"{url}: expected a file, got a directory. Give --{setting}.")
    open_filesystem(url)
    check_remote_writable(parent, setting)
    with output_directory(parent) as directory:
        file = register(directory / local_name(url), url)
        yield file
        try:
            upload_file(file, url)
        except RemoteError as error:
            kept = make_directory(_OUTPUTS) / f"{digest(url)}-{file.name}"
            shutil.move(file, kept)
            raise UserError(f"{error} The result is in {kept}.") from error


def _writable_file(path: Path, setting: str) -> Path:
    """Checks that a file can be written before the work for it starts."""
    if path.is_dir():
        raise UserError(
            f"{path}: expected a file as --{setting}, got a directory. Add a file name."
        )
    if not is_special(path):
        check_writable(target_of(path).parent, setting)
    return path


def remote_versions(url: str) -> list[int]:
    """Returns the numbers of the directories below a URL that are numbers."""
    names = {file.name.partition("/")[0] for file in list_files(url)}
    return sorted(int(name) for name in names if name.isdecimal())


@contextmanager
def next_remote_version(
    url: str, last: Sequence[str]
) -> Iterator[tuple[Path, StagedPath]]:
    """Yields a local directory to fill, and the path of its final copy.

    When the context ends without an error, the directory is uploaded as the next
    numbered version below the URL. Of two exports at the same time, the later one may
    replace files of the earlier one.

    Args:
        url: The directory of versions.
        last: See `upload_directory`.
    """
    check_remote_writable(url, "export_dir")
    name = str(max(remote_versions(url), default=0) + 1)
    with output_directory(join_url(url, name), keep=True) as path:
        yield path, path
        upload_directory(path, join_url(url, name), last)


@contextmanager
def output_directory(url: str, *, keep: bool = False) -> Iterator[StagedPath]:
    """Yields a new local directory for files that are then uploaded to a URL.

    Args:
        url: The directory or a directory above it.
        keep: Whether it remains in the staging directory if the context ends without
            an error.
    """
    parent = make_directory(_OUTPUTS)
    entry = Path(tempfile.mkdtemp("", f"{digest(url)}-", parent))
    try:
        directory = entry / local_name(url)
        directory.mkdir()
        yield register(directory, url)
    except BaseException:
        keep = False
        raise
    finally:
        if not keep:
            shutil.rmtree(entry, ignore_errors=True)
        clean(parent)
