"""Local copies of remote files: where they are, how they appear in messages."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path, PosixPath
from typing import Final

from object2vec_tf.errors import UserError
from object2vec_tf.files.locks import is_locked, lock

# Names the directory of the local copies; and their limit in gigabytes (10**9 bytes).
DIRECTORY_VARIABLE: Final = "OBJECT2VEC_TF_STAGING"
LIMIT_VARIABLE: Final = "OBJECT2VEC_TF_STAGING_GB"
_DEFAULT_GB = 100.0
# A copy that was used within this time may be in use, and stays.
MIN_SECONDS: Final = 24 * 3600
_MAX_SECONDS = 30 * 24 * 3600
# Local file systems allow 255 bytes; temporary files have longer names than others.
_MAX_NAME_BYTES = 200

# A process has at most this number of locks; later copies are protected by their age.
_MAX_LOCKS = 256

# The URL of each local copy that this process uses.
_urls: dict[str, str] = {}
# The locked descriptors of copies that this process uses, by their paths.
_locks: dict[str, int] = {}


class StagedPath(PosixPath):
    """The local copy of a remote file or directory; messages have the URL.

    Formatting, as in an f-string, results in the URL. ``str`` and all file operations
    use the local path.

    Example:
        >>> path = register(Path("/staging/0123/a.jsonl"), "s3://bucket/a.jsonl")
        >>> f"{path}: no such file"
        's3://bucket/a.jsonl: no such file'
        >>> str(path)
        '/staging/0123/a.jsonl'
    """

    def __format__(self, specification: str) -> str:
        """Returns the URL."""
        return format(_url_of(str(self)), specification)


def register(local: Path, url: str) -> StagedPath:
    """Records the URL of a local copy, and returns its path.

    Args:
        local: The local file or directory.
        url: Its URL.
    """
    _urls[str(local)] = url.rstrip("/")
    return StagedPath(local)


def with_urls(text: str) -> str:
    """Returns a text in which URLs replace the paths of local copies."""
    for local in sorted(_urls, key=len, reverse=True):
        text = text.replace(local, _urls[local])
    return text


def _url_of(path: str) -> str:
    """Returns the URL of a local copy, or of a path below one; others as they are."""
    end = len(path)
    while end > 0:
        if path[:end] in _urls:
            return _urls[path[:end]] + path[end:]
        end = path.rfind("/", 0, end)
    return path


def staging_directory() -> Path:
    """Returns the directory of the local copies, which may not exist.

    It is ``OBJECT2VEC_TF_STAGING``, or a directory in the user's cache directory.
    """
    if given := os.environ.get(DIRECTORY_VARIABLE):
        return Path(given).absolute()
    cache = os.environ.get("XDG_CACHE_HOME")
    if cache and Path(cache).is_absolute():
        return Path(cache) / "object2vec_tf"
    try:
        home = Path.home()
    except RuntimeError:  # the user has no home directory
        home = Path("/nonexistent")
    if os.access(home, os.W_OK):
        return home / ".cache" / "object2vec_tf"
    return Path(tempfile.gettempdir()) / f"object2vec_tf-{os.getuid()}"


def make_directory(*names: str) -> Path:
    """Creates a directory in the staging directory, and returns it.

    Raises:
        UserError: It cannot be created, or the limit of its size is invalid.
    """
    limit_bytes()  # reports an invalid limit before there is a result
    directory = staging_directory().joinpath(*names)
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise UserError(
            f"{directory}: cannot be created: {error.strerror}. Set "
            f"{DIRECTORY_VARIABLE} to a directory for local copies of remote files."
        ) from error
    return directory


def digest(*parts: str) -> str:
    """Returns a short name for a URL, or for a version of its content."""
    data = "\0".join(parts).encode("utf-8", "surrogateescape")
    return hashlib.blake2b(data, digest_size=12).hexdigest()


def local_name(url: str) -> str:
    """Returns the name of a local copy: the last one of the URL, or the end of it.

    Example:
        >>> local_name("s3://bucket/train/part-0.jsonl.gz")
        'part-0.jsonl.gz'
        >>> len(local_name("s3://bucket/" + 1000 * "n"))
        200
    """
    name = url.rstrip("/").rpartition("/")[2]
    # The names of files need not be UTF-8.
    data = name.encode("utf-8", "surrogateescape")
    return data[-_MAX_NAME_BYTES:].decode(errors="ignore") or "unnamed"


def protect(path: Path) -> bool:
    """Keeps a copy from being removed by `clean`, as long as this process lives.

    Args:
        path: An entry of a directory of copies.

    Returns:
        Whether it exists.
    """
    if str(path) in _locks or len(_locks) >= _MAX_LOCKS:
        return path.exists()
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    with contextlib.suppress(OSError):  # a file system without locks
        lock(descriptor, shared=True, timeout=1)
    if not path.exists():  # removed before it was locked
        os.close(descriptor)
        return False
    _locks[str(path)] = descriptor
    return True


def discard(path: Path) -> None:
    """Removes a copy that is damaged, and its lock.

    Args:
        path: An entry of a directory of copies.
    """
    descriptor = _locks.pop(str(path), None)
    shutil.rmtree(path, ignore_errors=True)
    if descriptor is not None:
        os.close(descriptor)


def touch(path: Path) -> None:
    """Records that a local copy is used."""
    with contextlib.suppress(OSError):
        os.utime(path)


def clean(parent: Path) -> None:
    """Removes copies that have not been used for long, or that exceed the limit.

    Those that a process uses stay, and those that were used within a day.

    Args:
        parent: The directory whose entries are copies.
    """
    limit, now = limit_bytes(), time.time()
    entries = sorted((_age(path, now), path) for path in _entries(parent))
    sizes = 0
    for age, path in entries:  # the most recently used ones first
        sizes += size_of(path)
        is_unused = age > _MAX_SECONDS or (age > MIN_SECONDS and sizes > limit)
        if is_unused and not is_locked(path):
            shutil.rmtree(path, ignore_errors=True)


def _entries(parent: Path) -> Sequence[Path]:
    return list(parent.iterdir()) if parent.is_dir() else []


def _age(path: Path, now: float) -> float:
    try:
        return now - path.stat().st_mtime
    except OSError:  # removed by another process
        return 0.0


def size_of(path: Path) -> int:
    """Returns the size of all files in a directory, in bytes."""
    with contextlib.suppress(OSError):
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return 0


def limit_bytes() -> float:
    """Returns the limit of the sizes of inputs, of results, and of runs, in bytes each.

    Raises:
        UserError: The environment variable is invalid.
    """
    text = os.environ.get(LIMIT_VARIABLE) or str(_DEFAULT_GB)
    try:
        limit = float(text)
    except ValueError:
        limit = -1.0
    if not limit > 0:
        raise UserError(
            f"{LIMIT_VARIABLE}: expected gigabytes above 0, got {text!r}. Correct it."
        )
    return limit * 1e9
