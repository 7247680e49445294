"""Tests of object2vec_tf/files/line_blocks.py."""

import hashlib
from pathlib import Path

import pytest

from object2vec_tf.errors import DataError
from object2vec_tf.files.line_blocks import open_line_blocks

BOM = b"\xef\xbb\xbf"


def blocks_of(path: Path, size: int) -> list[bytes]:
    with open_line_blocks(path, size) as blocks:
        return list(blocks)


@pytest.mark.parametrize(
    ("content", "size", "expected"),
    [
        (b"", 4, []),
        (b"ab\ncd\n", 100, [b"ab\ncd\n"]),
        (b"ab\ncd\n", 3, [b"ab\n", b"cd\n"]),
        (b"ab\ncd\nef", 4, [b"ab\n", b"cd\n", b"ef"]),
        (b"a long line\nb", 2, [b"a long line\n", b"b"]),
        (b"\n\n\n", 2, [b"\n\n", b"\n"]),
        (b"no line end", 3, [b"no line end"]),
    ],
)
def test_blocks_end_at_line_ends(
    tmp_path: Path, content: bytes, size: int, expected: list[bytes]
):
    path = tmp_path / "x"
    path.write_bytes(content)
    assert blocks_of(path, size) == expected


@pytest.mark.parametrize("size", [1, 4, 100])
def test_a_byte_order_mark_is_dropped_only_at_the_start(tmp_path: Path, size: int):
    path = tmp_path / "x"
    path.write_bytes(BOM + b"a\n" + BOM + b"b\n")
    assert b"".join(blocks_of(path, size)) == b"a\n" + BOM + b"b\n"


def test_the_digest_is_of_all_bytes(tmp_path: Path):
    path = tmp_path / "x"
    path.write_bytes(BOM + b"a\nb\nc")
    digest = hashlib.blake2b()
    with open_line_blocks(path, 2, digest) as blocks:
        assert b"".join(blocks) == b"a\nb\nc"
    assert digest.digest() == hashlib.blake2b(BOM + b"a\nb\nc").digest()


def test_a_change_of_the_file_is_an_error_at_the_end(tmp_path: Path):
    path = tmp_path / "x"
    path.write_bytes(b"a\n")
    context = open_line_blocks(path)
    assert list(context.__enter__()) == [b"a\n"]
    path.write_bytes(b"a\nb\n")
    with pytest.raises(DataError, match="x: changed while it was read"):
        context.__exit__(None, None, None)
