"""Tests of object2vec_tf/search/stored_lines.py: random access to lines."""

import numpy as np
import pytest

from object2vec_tf.search.stored_lines import StoredLines, starts_path, write_lines


def test_lines_are_read_by_number(tmp_path):
    path = tmp_path / "items.jsonl"
    lines = [b"first", b"", "ü\r".encode(), b"last"]
    assert write_lines(path, iter(lines)) == 4
    assert path.read_bytes() == b"".join(line + b"\n" for line in lines)
    assert np.load(starts_path(path)).tolist() == [0, 6, 7, 11, 16]
    stored = StoredLines(path, 4)
    assert [stored[number] for number in (3, 0, 1, 2)] == [
        lines[number] for number in (3, 0, 1, 2)
    ]


def test_a_file_of_another_size_is_rejected(tmp_path):
    path = tmp_path / "items.jsonl"
    write_lines(path, [b"first", b"second"])
    with path.open("ab") as file:
        file.write(b"x")
    with pytest.raises(ValueError, match=r"items.jsonl: expected 13 bytes, got 14"):
        StoredLines(path, 2)


def test_an_array_whose_header_has_lost_its_end_is_rejected(tmp_path):
    path = tmp_path / "items.jsonl"
    write_lines(path, [b"line"])
    data = starts_path(path).read_bytes()
    assert data.count(b"}") == 1
    starts_path(path).write_bytes(data.replace(b"}", b" "))
    with pytest.raises(ValueError, match=r"^items\.starts\.npy: "):
        StoredLines(path, 1)
