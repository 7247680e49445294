"""Tests of object2vec_tf/search/embedding_lines.py: lines and their embeddings."""

import numpy as np
import pytest

from object2vec_tf.errors import DataError
from object2vec_tf.search.embedding_lines import (
    has_embeddings,
    parse_item,
    read_embeddings,
    read_lines,
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "items.jsonl"


def test_blank_lines_are_counted_but_not_returned(path):
    path.write_bytes(b"\xef\xbb\xbf\n{}\r\n \n [1] \n")
    assert list(read_lines(path)) == [(2, b"{}"), (4, b"[1]")]


def test_an_item_is_its_line_without_the_embedding():
    text = '{"in1": [7], "embeddings": [0.5], "title": "ü"}'.encode()
    assert parse_item(text) == {"in1": [7], "title": "ü"}


@pytest.mark.parametrize(
    ("line", "expected"), [('{"embeddings": [1]}', True), ('{"in1": [1]}', False)]
)
def test_the_first_line_decides_about_embeddings(path, line, expected):
    path.write_text(f"\n{line}\n{{}}\n")
    assert has_embeddings(path) is expected


def test_an_empty_file_is_an_error(path):
    path.write_text("\n\n")
    with pytest.raises(DataError, match="got an empty file"):
        has_embeddings(path)


def test_embeddings_come_in_blocks(path):
    path.write_text("".join(f'{{"embeddings": [{i}, 0.5]}}\n' for i in range(5)))
    blocks = list(read_embeddings(path, rows=2))
    assert [block.tolist() for block in blocks] == [
        [[0, 0.5], [1, 0.5]],
        [[2, 0.5], [3, 0.5]],
        [[4, 0.5]],
    ]
    assert {block.dtype for block in blocks} == {np.dtype(np.float32)}


def test_a_long_invalid_value_is_shortened_in_the_message(path):
    path.write_text('{"embeddings": "' + 100 * "x" + '"}\n')
    with pytest.raises(DataError) as error:
        next(read_embeddings(path))
    assert str(error.value) == (
        f'{path}:1: embeddings: expected a list of finite numbers, got "{56 * "x"}....'
    )
