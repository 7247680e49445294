"""Temporary files and directories, and the removal of those of killed processes.

A temporary file has a name such as ``.model.o2v-x2k_9ab1.keras``, and its writer keeps
it locked. A process that is killed leaves it, but not the lock, so that the next
process that writes into the directory can remove it, and nothing else.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from object2vec_tf.errors import UserError
from object2vec_tf.files.locks import lock

_MARKER = ".o2v-"
_NAME = re.compile(rf"(\..+)?{re.escape(_MARKER)}[a-z0-9_]{{8}}(\..*)?")
# Other names could be patterns for TensorFlow's file functions, or become too long.
_PLAIN = re.compile(r"[A-Za-z0-9_.=-]{1,100}")
_PLAIN_SUFFIX = re.compile(r"(\.[A-Za-z0-9]{1,20})?")

_FILE_MODE, _DIRECTORY_MODE, _PRIVATE_MODE = 0o666, 0o777, 0o700

# The errors of full disks, of quotas, and of a limit of the size of files.
_FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

# The directories that this process has cleaned.
_cleaned: set[str] = set()


class _FullDiskError(OSError):
    """A full disk, with the path that the user knows as the name of the file."""


@contextmanager
def temporary_file(path: Path) -> Iterator[Path]:
    """Yields an empty temporary file next to a path, with the same suffix.

    The file is locked while the context lasts, and removed at its end unless it was
    renamed. Before the first one in a directory, `remove_leftovers` cleans it.

    Args:
        path: The file that the temporary one will become.

    Raises:
        OSError: The file cannot be created.
    """
    with _claimed(path, _FILE_MODE, is_directory=False) as temporary:
        yield temporary


@contextmanager
def temporary_directory(path: Path) -> Iterator[Path]:
    """Yields an empty temporary directory next to a path; see `temporary_file`.

    Its permissions are those that the umask allows.

    Args:
        path: The directory that the temporary one will become, or whose name it gets.

    Raises:
        OSError: The directory cannot be created.

    Example:
        >>> with temporary_directory(Path("scratch")) as directory:
        ...     name, _, _ = directory.name.partition("-")
        >>> name, directory.exists()
        ('.scratch.o2v', False)
    """
    with _claimed(path, _DIRECTORY_MODE, is_directory=True) as temporary:
        yield temporary


@contextmanager
def scratch_directory(purpose: str) -> Iterator[Path]:
    """Yields an empty private directory among the system's temporary files.

    Args:
        purpose: A word in its name.

    Raises:
        OSError: It cannot be created.
    """
    path = Path(tempfile.gettempdir()) / f"object2vec-{purpose}"
    with _claimed(path, _PRIVATE_MODE, is_directory=True) as directory:
        yield directory


def remove_leftovers(directory: Path) -> None:
    """Removes temporary files and directories whose writers were killed.

    Those of living processes are locked and stay, as does everything on file systems
    that cannot lock, and every file with another name.

    Args:
        directory: The directory that contains them.
    """
    try:
        with os.scandir(directory) as entries:
            names = [entry.name for entry in entries if _NAME.fullmatch(entry.name)]
    except OSError:
        return
    for name in names:
        _remove_unlocked(directory / name)


@contextmanager
def _claimed(path: Path, mode: int, *, is_directory: bool) -> Iterator[Path]:
    """Yields a new locked file or directory, which is removed at the end."""
    parent = str(path.parent.absolute())
    if parent not in _cleaned:
        remove_leftovers(path.parent)
        _cleaned.add(parent)
    with full_disk_named(path):
        temporary, descriptor = _create(path, mode, is_directory)
    try:
        with full_disk_named(path, temporary):
            yield temporary
    finally:
        if is_directory:
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)
        os.close(descriptor)


@contextmanager
def full_disk_named(path: Path, temporary: Path | None = None) -> Iterator[None]:
    """Lets errors of a full disk, which libraries raise as others, name a path.

    Args:
        path: The path to name, unless a context inside this one has named another.
        temporary: A file or directory that the user does not know. An error that names
            it, or a file in it, names the path instead.

    Raises:
        OSError: There is no space left, a quota is exceeded, or a file is too large.
    """
    try:
        yield
    except UserError:
        raise
    except _FullDiskError as error:
        if temporary is None or not error.filename.startswith(f"{temporary}"):
            raise
        raise _FullDiskError(error.errno, error.strerror, f"{path}") from error
    except Exception as error:
        text = str(error)
        for number in _FULL_DISK:
            reason = os.strerror(number)
            if reason in text or getattr(error, "errno", None) == number:
                raise _FullDiskError(number, reason, f"{path}") from error
        raise


def _create(path: Path, mode: int, is_directory: bool) -> tuple[Path, int]:
    """Creates and locks a file or directory; returns it and its descriptor.

    Args:
        path: The path that the name is made of.
        mode: The permissions, of which the umask takes some away.
        is_directory: Whether to create a directory.
    """
    stem, suffix = (path.name, "") if is_directory else (path.stem, path.suffix)
    prefix = (f".{stem}" if _PLAIN.fullmatch(stem) else "") + _MARKER
    suffix = suffix if _PLAIN_SUFFIX.fullmatch(suffix) else ""
    while True:
        name = path.parent / f"{prefix}{secrets.token_hex(4)}{suffix}"
        try:
            if is_directory:
                name.mkdir(mode)
                descriptor = os.open(name, os.O_RDONLY)
            else:
                flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
                descriptor = os.open(name, flags, mode)
        except FileExistsError:
            continue
        if _lock(descriptor) is not False and os.path.lexists(name):
            return name, descriptor
        os.close(descriptor)  # another process took it for a leftover


def _lock(descriptor: int) -> bool | None:
    """Locks a file; returns whether it did, and None where files cannot be locked."""
    try:
        lock(descriptor, timeout=0)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is_at(path: str | Path, descriptor: int) -> bool:
    """Returns whether a path is that of an open file of this user."""
    try:
        status = os.fstat(descriptor)
        is_own = status.st_uid == os.geteuid()
        return is_own and os.path.samestat(os.lstat(path), status)
    except OSError:
        return False


def _remove_unlocked(path: Path) -> None:
    """Removes a file or directory, unless a process has locked it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return
    try:
        if not (_lock(descriptor) and _is_at(path, descriptor)):
            return
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    except OSError:
        return
    finally:
        os.close(descriptor)
