"""The files below a directory, also in directories that symbolic links refer to."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from object2vec_tf.errors import DataError
from object2vec_tf.files.path_lists import is_visible

_KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def walk_files(directory: Path, channel: str) -> Iterator[Path]:
    """Yields the files below a directory, sorted by their paths.

    Symbolic links to directories are followed. A directory is read once, even if a link
    leads back to it.

    Args:
        directory: The directory.
        channel: The channel's name, for messages.

    Yields:
        Files of all kinds; see `kind_of`.

    Raises:
        DataError: A directory cannot be read, or a symbolic link is broken.
    """
    yield from sorted(_walk(directory, channel, set()))


def _walk(
    directory: Path, channel: str, visited: set[tuple[int, int]]
) -> Iterator[Path]:
    try:
        status = directory.stat()
        entries = sorted(e for e in directory.iterdir() if is_visible(e.name))
    except OSError as error:
        raise DataError(
            f"{channel}: {directory}: the directory cannot be read: {error.strerror}. "
            "Change its permissions, or give the files."
        ) from error
    if (status.st_dev, status.st_ino) in visited:
        return
    visited.add((status.st_dev, status.st_ino))
    # Directories come before links to them, so that files have their own names.
    for entry in sorted(entries, key=Path.is_symlink):
        check_link(entry, channel)
        if entry.is_dir():
            yield from _walk(entry, channel, visited)
        else:
            yield entry


def check_link(path: Path, channel: str) -> None:
    """Checks that a symbolic link refers to a file.

    Raises:
        DataError: It does not.
    """
    if path.is_symlink() and not path.exists():
        raise DataError(
            f"{channel}: {path}: a symbolic link to {path.readlink()}, which does not "
            "exist. Fix or remove the link."
        )


def kind_of(path: Path) -> str | None:
    """Returns the kind of a file that is not a regular one; None for others.

    Example:
        >>> kind_of(Path("/dev/null")), kind_of(Path("/tmp"))
        ('a device', None)
    """
    return _KINDS.get(stat.S_IFMT(path.stat().st_mode))
