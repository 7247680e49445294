"""Digests of files, and checks that a file did not change while it was read."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from object2vec_tf.errors import DataError


class Digest(Protocol):
    """The method of hashlib's hashes that readers use."""

    def update(self, data: bytes, /) -> None:
        """Adds bytes to the digest."""


@contextmanager
def verify_unchanged(path: Path, before: list[int] | None = None) -> Iterator[None]:
    """Checks at the end of the context that a regular file did not change meanwhile.

    Args:
        path: The file.
        before: An earlier `file_signature` of the file; None takes it now.

    Raises:
        DataError: The file changed or was removed.
    """
    before = before or file_signature(path)
    yield
    if before != file_signature(path):
        raise DataError(
            f"{path}: changed while it was read. Start again when it is complete."
        )


def file_signature(path: Path) -> list[int] | None:
    """Returns size, times and inode of a regular file; None for a pipe.

    Raises:
        DataError: The file does not exist.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(
            f"{path}: disappeared while it was read: {error.strerror}. Restore it."
        ) from error
    if not stat.S_ISREG(status.st_mode):
        return None
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
