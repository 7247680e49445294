"""Tests of object2vec_tf/files/labels.py."""

import gzip
import tracemalloc

import pytest

from object2vec_tf.errors import DataError, UserError
from object2vec_tf.files.labels import read_labels


def write(path, content):
    path.write_bytes(content)
    return path


def test_a_byte_order_mark_and_line_ends_are_no_part_of_labels(tmp_path):
    path = write(tmp_path / "names.txt", "\ufeffÉlan\r\n\r\n b \n".encode())
    assert read_labels(path, 3) == ["Élan".encode(), b"", b" b "]
    compressed = write(tmp_path / "names.gz", gzip.compress(path.read_bytes()))
    assert read_labels(compressed, 3) == read_labels(path, 3)
    with pytest.raises(UserError, match=r"names.txt: expected 2 labels, .* got 3"):
        read_labels(path, 2)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("cut.gz", gzip.compress(b"a\n" * 1000)[:20]),
        ("other.zst", b"\x28\xb5\x2f\xfd garbage"),
        ("latin.txt", b"\xe9\n"),
        ("hole.txt", b"a\n" * 999 + bytes(40)),
    ],
)
def test_damaged_files_are_user_errors(tmp_path, name, content):
    with pytest.raises(
        DataError, match=rf"{name}:(1000:)? .*(cannot be read|NUL byte)"
    ):
        read_labels(write(tmp_path / name, content), 1000)


def test_labels_beyond_the_items_are_counted_and_not_kept(tmp_path):
    path = write(tmp_path / "names.gz", gzip.compress(b"\n" * 8_000_000, 1))
    tracemalloc.start()
    with pytest.raises(UserError, match=r"expected 2 labels, .* got 8,000,000\."):
        read_labels(path, 2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40e6  # the list of all labels has 64 MB
