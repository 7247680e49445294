"""Digests of files, and whether a file changed while it was read."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from object2vec_tf.errors import DataError
from object2vec_tf.files.channels import open_file
from object2vec_tf.files.line_blocks import line_blocks


class Digest(Protocol):
    """What a hash of hashlib does."""

    def update(self, data: bytes, /) -> None:
        """Takes more bytes in."""


def digest_file(path: Path, digest: Digest) -> None:
    """Feeds a digest with every byte of a file, unpacked, as `read_file` does.

    Raises:
        DataError: The file cannot be read to its end.
    """
    with open_file(path) as stream, verify_unchanged(path):
        for block in line_blocks(stream, path):
            digest.update(block)


@contextmanager
def verify_unchanged(path: Path) -> Iterator[None]:
    """Tells at the end of the context of a regular file that changed meanwhile.

    Raises:
        DataError: It did, or it has gone.
    """
    before = file_signature(path)
    yield
    if before != file_signature(path):
        raise DataError(
            f"{path}: changed while it was read; start again when it is complete"
        )


def file_signature(path: Path) -> list[int] | None:
    """Returns what changes with a regular file, by stat alone; None for a pipe.

    Raises:
        DataError: The file is not there.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise DataError(
            f"{path}: has gone while it was read: {error.strerror}; put it back"
        ) from error
    if not stat.S_ISREG(found.st_mode):
        return None
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]
