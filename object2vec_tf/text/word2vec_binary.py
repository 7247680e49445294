"""Vectors in word2vec's binary format."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from object2vec_tf.errors import DataError
from object2vec_tf.files.file_content import report_damage
from object2vec_tf.text.vector_table import (
    VectorTable,
    header_width,
    reject_fasttext_model,
)

_MAX_HEADER_BYTES = 64
_MAX_WORD_BYTES = 1 << 16


def read_binary_vectors(file: BinaryIO, table: VectorTable, block_bytes: int) -> None:
    """Adds the vectors of a binary file to the table.

    Args:
        file: The file's content.
        table: Takes the vectors; it knows the file's name.
        block_bytes: Bytes to read at a time.

    Raises:
        DataError: The file cannot be read or has another format, or a vector is not
            finite.
    """
    start = _read(file, table, _MAX_HEADER_BYTES)
    reject_fasttext_model(table.path, start)
    header, _, rest = start.partition(b"\n")
    width = header_width(header)
    if width is None:
        raise DataError(
            f"{table.path}: expected the number of words and the width of a vector in "
            "the first line, as in word2vec's binary format, got "
            f"{header[:40].decode('utf-8', 'replace')!r}. Use another file, or rename "
            "it without .bin if it is text."
        )
    table.check_width(width)
    ids, vectors = [], []
    count = int(header.split()[0])
    for word, vector in _records(file, rest, count, table, block_bytes):
        id_ = table.ids.get(word)
        if id_ is not None:
            ids.append(id_)
            vectors.append(vector)
    if ids:
        rows = np.frombuffer(b"".join(vectors), "<f4").reshape(-1, table.dim)
        bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
        if len(bad):
            words = {id_: word for word, id_ in table.ids.items()}
            raise DataError(
                f"{table.path}: {words[ids[bad[0]]].decode()!r}: expected finite "
                "numbers in its vector, got others. Download the file again."
            )
        table.add(np.array(ids), rows.astype(np.float32))


def _records(
    file: BinaryIO, buffer: bytes, count: int, table: VectorTable, block_bytes: int
) -> Iterator[tuple[bytes, bytes]]:
    """Yields each word and the bytes of its vector.

    Args:
        file: The file after the bytes of the buffer.
        buffer: The bytes read after the header.
        count: The number of words.
        table: Has the width and the file's name.
        block_bytes: Bytes to read at a time.
    """
    size, offset = 4 * table.dim, 0
    for number in range(1, count + 1):
        end = buffer.find(b" ", offset)
        while end < 0 or end + 1 + size > len(buffer):
            more = _read(file, table, block_bytes)
            buffer, offset = buffer[offset:] + more, 0
            end = buffer.find(b" ")
            if not more:
                raise DataError(
                    f"{table.path}: expected {count:,} words, got the end of the file "
                    f"in word {number:,}. The file is incomplete. Download it again."
                )
        word = buffer[offset:end].lstrip(b"\n")
        if len(word) > _MAX_WORD_BYTES:
            raise DataError(
                f"{table.path}: word {number:,}: expected at most {_MAX_WORD_BYTES:,} "
                f"bytes, got {len(word):,}. The file is damaged. Download it again."
            )
        yield word, buffer[end + 1 : end + 1 + size]
        offset = end + 1 + size
    if (buffer[offset:] or _read(file, table, block_bytes)).strip(b"\n"):
        raise DataError(
            f"{table.path}: expected {count:,} words, as its first line says, got "
            "more. The file is damaged. Download it again."
        )


def _read(file: BinaryIO, table: VectorTable, size: int) -> bytes:
    with report_damage(table.path):
        return file.read(size)
