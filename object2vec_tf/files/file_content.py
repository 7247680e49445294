"""Reads the complete content of files, such as vocabularies, or reports damage."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from object2vec_tf.errors import DataError
from object2vec_tf.files.channels import open_file

# What reading raises for a file that is damaged, or compressed and cut.
READ_ERRORS: Final = (OSError, EOFError, zlib.error)
# A compressed file may have this content, or this multiple of its own size if that is
# more. Text rarely becomes 30 times as large; a file of zeros becomes 1,000 times.
_CONTENT_BYTES: Final = 64 * 10**6
_EXPANSION: Final = 100
_PIECE_BYTES: Final = 1 << 20


def read_content(path: Path) -> bytes:
    """Returns the whole content of a file; ``.gz`` and ``.zst`` are decompressed.

    Args:
        path: The file.

    Raises:
        DataError: The file cannot be read to its end, or it is compressed and its
            content is over 64 MB and over 100 times as large as the file.

    Example:
        >>> import gzip, pathlib
        >>> path = pathlib.Path("words.txt.gz")
        >>> _ = path.write_bytes(gzip.compress(b"cat"))
        >>> read_content(path)
        b'cat'
    """
    with open_file(path) as file, report_damage(path):
        if isinstance(getattr(file, "raw", None), io.FileIO):  # as it is on the disk
            return file.read()
        allowed = left = max(_CONTENT_BYTES, _EXPANSION * path.stat().st_size)
        content = io.BytesIO()
        while piece := file.read(_PIECE_BYTES):
            left -= len(piece)
            if left < 0:
                raise DataError(
                    f"{path}: expected at most {allowed:,} bytes of content in a "
                    "compressed file of this size, got more. The file is damaged, or "
                    "was made to fill memory. If it is right, decompress it first."
                )
            content.write(piece)
        return content.getvalue()


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
