"""Tests of object2vec_tf/files/line_blocks.py."""

import hashlib
from pathlib import Path

import pytest

from object2vec_tf.errors import DataError, UserError
from object2vec_tf.files import line_limit
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


@pytest.fixture
def short_limit(monkeypatch):
    """A limit of one megabyte."""
    monkeypatch.setenv(line_limit.VARIABLE, "1")
    return 10**6


@pytest.mark.parametrize("size", [1000, 99_999, 10**6, 1 << 24])
@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_line_above_the_limit_is_replaced_or_an_error(
    tmp_path: Path, short_limit: int, size: int, end: bytes
):
    path = tmp_path / "x"
    longest, longer = b"a" * short_limit, b"b" * (short_limit + 1)
    lines = [b"1", longest, b"", longer, b"2", longer * 3, longest, longer]
    path.write_bytes(BOM + b"\n".join(lines) + end)
    short = b"<a line longer than --max_line_megabytes=1>"
    expected = [short if len(line) > short_limit else line for line in lines]
    digest = hashlib.blake2b()
    with open_line_blocks(path, size, digest, replace_long=True) as blocks:
        read = list(blocks)
    # The byte order mark counts as part of the first line.
    assert b"".join(read) == b"\n".join(expected) + end
    assert max(map(len, read)) <= 3 * short_limit
    assert digest.digest() == hashlib.blake2b(path.read_bytes()).digest()
    with pytest.raises(DataError, match="x:4: expected a line of at most 1 MB"):
        blocks_of(path, size)


def test_the_limit_is_64_megabytes(monkeypatch):
    monkeypatch.delenv(line_limit.VARIABLE, raising=False)
    assert line_limit.max_line_megabytes() == 64
    for text in ("", "0", "-1", "1.5", "9" * 30):
        monkeypatch.setenv(line_limit.VARIABLE, text)
        with pytest.raises(UserError, match="expected a positive integer"):
            line_limit.max_line_megabytes()
