"""Files as blocks of whole lines."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import zstandard

from object2vec_tf.errors import DataError
from object2vec_tf.files.channels import open_file
from object2vec_tf.files.fingerprints import Digest, verify_unchanged
from object2vec_tf.files.record_batches import hash_file, is_table_file, table_lines
from object2vec_tf.files.wrong_formats import reject_wrong_format

BLOCK_BYTES = 16 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"


@contextmanager
def open_line_blocks(
    path: Path, size: int = BLOCK_BYTES, digest: Digest | None = None
) -> Iterator[Iterator[bytes]]:
    """Opens a file, whose content is then iterated over in blocks of whole lines.

    A UTF-8 byte order mark at the start of the file is dropped. The end of the context
    closes the file, and checks that it did not change meanwhile. Each row of a Parquet
    or Arrow file becomes a line of JSON.

    Args:
        path: The file; ``.gz`` and ``.zst`` are decompressed.
        size: Bytes to read at a time. A block is longer where a line is.
        digest: Updated with every decompressed byte, the byte order mark included.

    Yields:
        An iterator over the blocks.

    Raises:
        DataError: The file cannot be read to its end, or it changed meanwhile.
    """
    if is_table_file(path):
        with verify_unchanged(path):
            if digest is not None:
                hash_file(path, digest)
            yield table_lines(path)
        return
    with open_file(path) as stream, verify_unchanged(path):
        blocks = line_blocks(stream, path, size)
        yield drop_bom(blocks if digest is None else _digested(blocks, digest))


def line_blocks(
    stream: BinaryIO, path: Path, size: int = BLOCK_BYTES
) -> Iterator[bytes]:
    """Yields the bytes of a stream in blocks that end at line ends.

    Args:
        stream: The stream to read.
        path: Its file, for messages.
        size: Bytes to read at a time. A block is longer where a line is.

    Raises:
        DataError: The stream cannot be read to its end, or it is in a binary format.
    """
    rest: list[bytes] = []
    is_start = True
    while True:
        try:
            data = stream.read(size)
        except (OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
            reason = getattr(error, "strerror", None) or error
            raise DataError(
                f"{path}: cannot be read to its end: {reason}. The file is damaged or "
                "incomplete. Download or compress it again."
            ) from error
        if is_start:
            reject_wrong_format(path, data)
            is_start = False
        end = data.rfind(b"\n") + 1
        if data and not end:
            rest.append(data)
            continue
        block = b"".join([*rest, data[:end]])
        rest = [data[end:]]
        if block:
            yield block
        if not data:
            return


def drop_bom(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Yields blocks without a UTF-8 byte order mark at the start of the first one."""
    for number, block in enumerate(blocks):
        yield block.removeprefix(_BOM) if number == 0 else block


def _digested(blocks: Iterable[bytes], digest: Digest) -> Iterator[bytes]:
    for block in blocks:
        digest.update(block)
        yield block
