"""Writes files and directories atomically: readers see all of the content or none."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from object2vec_tf.errors import UserError
from object2vec_tf.files.leftovers import temporary_directory, temporary_file
from object2vec_tf.files.special_files import (
    is_special,
    open_for_writing,
    target_of,
)

# Constants of Linux: paths are relative to the working directory; exchange two paths.
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def write_atomic(path: Path, text: str) -> None:
    r"""Writes a text file; after a crash, it has the old or the new content.

    The file is valid UTF-8. Bytes of file names that are not, which Python has as lone
    surrogates, become escapes such as ``\udcff``.
    """
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def reject_input_paths(output: Path, inputs: Iterable[Path]) -> None:
    """Checks that an output is not one of the inputs.

    Raises:
        UserError: It is.
    """
    for path in inputs:
        has_same_name = f"{output}" == f"{path}"  # or URL
        if has_same_name or (
            output.exists() and path.exists() and output.samefile(path)
        ):
            raise UserError(f"{output}: is also an input. Choose another --output.")


def copy_by_link(source: Path, destination: Path) -> None:
    """Copies a file atomically, as a hard link where the file system has them.

    Args:
        source: The file. It may be replaced later, but not changed.
        destination: The copy; an existing file is replaced.
    """
    with atomic_file(destination) as temporary:
        temporary.unlink()
        link_or_copy(source, temporary)


def link_or_copy(source: Path, destination: Path) -> None:
    """Creates a hard link of a file or, where the file system has none, a copy.

    Args:
        source: The file. It may be replaced later, but not changed.
        destination: A path without a file, in a directory that becomes visible later.

    Raises:
        OSError: The file cannot be written.
    """
    try:
        os.link(source, destination)
    except OSError:
        shutil.copyfile(source, destination)
        sync(destination)


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yields a temporary file, which replaces ``path`` at the end of the context.

    The temporary file is in the same directory, and its name has the same suffix. If
    the process is killed, the next one that writes there removes it. A new file has the
    permissions that the umask allows, a replaced one keeps its own.

    If ``path`` is a symbolic link, the file that it refers to is replaced. If it is a
    device, a FIFO or ``/dev/stdout``, nothing is replaced: what is yielded is opened
    once, and what is written appears at once.

    Raises:
        OSError: The file cannot be written. The error always names a file.
    """
    try:
        if is_special(path):
            with open_for_writing(path) as opened:
                yield opened
            return
        target = target_of(path)
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        with temporary_file(target.with_name(path.name)) as temporary:
            if target.exists():
                temporary.chmod(stat.S_IMODE(target.stat().st_mode))
            yield temporary
            sync(temporary)
            temporary.replace(target)
            sync(target.parent)
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = str(path)
        raise


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yields a temporary directory, which becomes ``path`` at the end.

    All directories in it get the permissions that the umask allows.

    Raises:
        OSError: ``path`` exists and is not empty.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with temporary_directory(path) as temporary:
        yield temporary
        mode = stat.S_IMODE(temporary.stat().st_mode)
        for entry in [*temporary.rglob("*"), temporary]:
            if entry.is_dir():
                entry.chmod(mode)
            sync(entry)
        temporary.rename(path)
        sync(path.parent)


def remove(path: Path) -> None:
    """Removes a file or directory as far as possible, and reports no error.

    Another program may add files to a directory, or remove them, at the same time.
    """
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def exchange(first: Path, second: Path) -> bool:
    """Exchanges two files or directories of the same file system atomically.

    Returns:
        Whether the system and the file system can do that (Linux: renameat2). If not,
        nothing has changed.
    """
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    paths = [os.fsencode(path) for path in (first, second)]
    return bool(rename(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_EXCHANGE) == 0)


def sync(path: Path) -> None:
    """Waits until the content of a file or directory is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
