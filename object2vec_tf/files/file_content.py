"""Reads the complete content of files, such as vocabularies, or reports damage."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import zstandard

from object2vec_tf.errors import DataError
from object2vec_tf.files.channels import open_file

# What reading raises for a file that is damaged, or compressed and cut.
READ_ERRORS: Final = (OSError, EOFError, zlib.error, zstandard.ZstdError)


def read_content(path: Path) -> bytes:
    """Returns the whole content of a file; ``.gz`` and ``.zst`` are decompressed.

    Args:
        path: The file.

    Raises:
        DataError: The file cannot be read to its end.

    Example:
        >>> import gzip, pathlib
        >>> path = pathlib.Path("words.txt.gz")
        >>> _ = path.write_bytes(gzip.compress(b"cat"))
        >>> read_content(path)
        b'cat'
    """
    with open_file(path) as file, report_damage(path):
        return file.read()


@contextmanager
def report_damage(path: Path) -> Iterator[None]:
    """Reports errors of reading a file as errors of the user.

    Args:
        path: The file, for messages.

    Raises:
        DataError: The file is damaged, or compressed and not complete.
    """
    try:
        yield
    except READ_ERRORS as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"{path}: cannot be read to its end: {reason}. The file is damaged or "
            "incomplete. Download or compress it again."
        ) from error
