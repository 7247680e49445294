"""Files as blocks of whole lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from object2vec_tf.errors import DataError
from object2vec_tf.files.channels import open_file
from object2vec_tf.files.file_content import report_damage
from object2vec_tf.files.fingerprints import Digest, verify_unchanged
from object2vec_tf.files.line_limit import long_line, max_line_megabytes
from object2vec_tf.files.object_lines import BOM
from object2vec_tf.files.record_batches import hash_file, is_table_file, table_lines
from object2vec_tf.files.wrong_formats import reject_wrong_format

BLOCK_BYTES = 16 * 1024 * 1024


@contextmanager
def open_line_blocks(
    path: Path,
    size: int = BLOCK_BYTES,
    digest: Digest | None = None,
    *,
    replace_long: bool = False,
) -> Iterator[Iterator[bytes]]:
    """Opens a file, whose content is then iterated over in blocks of whole lines.

    A UTF-8 byte order mark at the start of the file is dropped. The end of the context
    closes the file, and checks that it did not change meanwhile. Each row of a Parquet
    or Arrow file becomes a line of JSON.

    Args:
        path: The file; ``.gz`` and ``.zst`` are decompressed.
        size: Bytes to read at a time. A block is longer where a line is.
        digest: Updated with every decompressed byte, the byte order mark included.
        replace_long: See `line_blocks`.

    Yields:
        An iterator over the blocks.

    Raises:
        DataError: The file cannot be read to its end, it has a line that is too long,
            or it changed meanwhile.
    """
    if is_table_file(path):
        with verify_unchanged(path):
            if digest is not None:
                hash_file(path, digest)
            yield table_lines(path)
        return
    with open_file(path) as stream, verify_unchanged(path):
        blocks = line_blocks(stream, path, size, digest, replace_long=replace_long)
        yield drop_bom(blocks)


def line_blocks(
    stream: BinaryIO,
    path: Path,
    size: int = BLOCK_BYTES,
    digest: Digest | None = None,
    *,
    replace_long: bool = False,
) -> Iterator[bytes]:
    """Yields the bytes of a stream in blocks that end at line ends.

    A line above the limit of `object2vec_tf.files.line_limit` is never read as a whole.

    Args:
        stream: The stream to read.
        path: Its file, for messages.
        size: Bytes to read at a time. A block is longer where a line is.
        digest: Updated with every byte that is read.
        replace_long: Whether a line that is too long is replaced by a short one, which
            is not JSON and says so. Readers of JSON Lines reject or skip it as they do
            other invalid lines. If false, such a line is an error.

    Raises:
        DataError: The stream cannot be read to its end, it has a line that is too long,
            or it is in a binary format.
    """
    megabytes = max_line_megabytes()
    limit = megabytes * 1_000_000
    size = min(size, limit)  # so that only a line of several reads can be too long
    rest: list[bytes] = []
    length, lines, is_long, is_start = 0, 1, False, True
    while True:
        with report_damage(path):
            data = stream.read(size)
        if data and digest is not None:
            digest.update(data)
        if is_start:
            reject_wrong_format(path, data)
            is_start = False
        first = data.find(b"\n")
        length += len(data) if first < 0 else first
        if length > limit and not is_long:
            if not replace_long:
                raise _too_long(path, lines, megabytes)
            rest, is_long = [long_line(megabytes)], True
        if data and first < 0:
            if not is_long:
                rest.append(data)
            continue
        end = data.rfind(b"\n") + 1
        block = b"".join([*rest, data[first if is_long else 0 : end]])
        rest, length, is_long = [data[end:]], len(data) - end, False
        if block:
            yield block
            lines += block.count(b"\n")
        if not data:
            return


def _too_long(path: Path, line: int, megabytes: int) -> DataError:
    return DataError(
        f"{path}:{line}: expected a line of at most {megabytes} MB, got a longer one. "
        "Check that lines end with \\n, or give a larger --max_line_megabytes."
    )


def drop_bom(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Yields blocks without a UTF-8 byte order mark at the start of the first one."""
    for number, block in enumerate(blocks):
        yield block.removeprefix(BOM) if number == 0 else block
