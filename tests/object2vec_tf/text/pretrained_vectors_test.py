"""Tests of object2vec_tf/text/vector_files.py: every form, and what is wrong."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import zstandard

from object2vec_tf.errors import DataError
from object2vec_tf.text import pretrained_vectors
from object2vec_tf.text.pretrained_vectors import read_vectors

WORDS = ["the", ",", "naïve", "日本", "x" * 300, "unused"]
ROWS = np.float32(np.random.default_rng(0).normal(size=(len(WORDS), 4)).round(4))
VOCABULARY = {"naïve": 1, "the": 0, "日本": 3, "x" * 300: 4, ",": 2}
EXPECTED = ROWS[[0, 2, 1, 3, 4]]


def numbers(row):
    return " ".join(f"{value:.4f}" for value in row)


def glove(end="\n"):
    lines = [f"{word} {numbers(row)}" for word, row in zip(WORDS, ROWS, strict=True)]
    return "".join(line + end for line in lines).encode()


def binary(newline=b""):
    parts = [f"{len(WORDS)} 4\n".encode()]
    for word, row in zip(WORDS, ROWS, strict=True):
        parts.append(word.encode() + b" " + struct.pack("<4f", *row) + newline)
    return b"".join(parts)


FORMS = {
    "glove.txt": glove(),
    "no_end.txt": glove()[:-1],
    "windows.txt": glove("\r\n"),
    "word2vec.txt": b"6 4\n" + glove(),
    "fasttext.vec": b"6 4\n" + glove(" \n"),
    "word2vec.bin": binary(),
    "lines.bin": binary(b"\n"),
}
PACKERS = {
    "": lambda data: data,
    ".gz": gzip.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}


def written(tmp_path: Path, name: str, data: bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("packed", PACKERS)
@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("block", [None, 64])
def test_every_form_gives_the_rows_of_the_vocabulary(
    tmp_path, monkeypatch, name, packed, block
):
    if block:
        monkeypatch.setattr(pretrained_vectors, "_BLOCK_BYTES", block)
    path = written(tmp_path, name + packed, PACKERS[packed](FORMS[name]))
    held = read_vectors(path, VOCABULARY, 5, 4)
    np.testing.assert_array_equal(held.rows, EXPECTED)
    assert held.rows.dtype == np.float32
    assert (held.found, held.words) == (5, 5)


def test_few_words_of_many(tmp_path):
    generator = np.random.default_rng(1)
    rows = np.float32(generator.normal(size=(5000, 7)))
    lines = [f"w{i} " + " ".join(map(repr, row.tolist())) for i, row in enumerate(rows)]
    path = written(tmp_path, "many.txt", "\n".join(lines).encode())
    chosen = generator.permutation(5000)[:50].tolist()
    held = read_vectors(path, {f"w{n}": i for i, n in enumerate(chosen)}, 50, 7)
    np.testing.assert_array_equal(held.rows, rows[chosen])


def test_words_with_spaces_end_where_the_vector_begins(tmp_path):
    path = written(tmp_path, "v.txt", b"a 1 2\n. . 3 4\nb 5 6\n")
    for vocabulary, expected in (
        ({"a": 0, ". .": 1, "b": 2}, [[1, 2], [3, 4], [5, 6]]),
        ({"a": 0, "b": 1}, [[1, 2], [5, 6]]),
    ):
        held = read_vectors(path, vocabulary, len(expected), 2)
        assert held.rows.tolist() == expected
    # The word "." is another one.
    held = read_vectors(path, {".": 1, "a": 0}, 2, 2)
    assert held.found == 1


def test_of_a_word_that_stands_there_twice_the_first_counts(tmp_path):
    path = written(tmp_path, "v.txt", b"a 1 2\nb 7 8\na 3 4\na 5 6\n")
    assert read_vectors(path, {"a": 0, "b": 1}, 2, 2).rows.tolist() == [[1, 2], [7, 8]]


def test_rows_without_a_vector_are_drawn_like_the_others(tmp_path):
    rows = np.random.default_rng(2).normal([1, -3], [0.5, 2], (400, 2))
    lines = [f"w{i} {a:.5f} {b:.5f}" for i, (a, b) in enumerate(rows)]
    path = written(tmp_path, "v.txt", "\n".join(lines).encode())
    vocabulary = {f"w{i}": i for i in range(401)}
    held = read_vectors(path, vocabulary, 20_400, 2, seed=3)
    assert (held.found, held.words) == (400, 401)
    drawn = held.rows[400:]
    np.testing.assert_allclose(drawn.mean(0), rows.mean(0), atol=0.06)
    np.testing.assert_allclose(drawn.std(0), rows.std(0), rtol=0.03)
    again = read_vectors(path, vocabulary, 20_400, 2, seed=3)
    np.testing.assert_array_equal(held.rows, again.rows)
    other = read_vectors(path, vocabulary, 20_400, 2, seed=4)
    assert (other.rows[400:] != drawn).any()


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("v.txt", b"a 1 2 3\n", ":1: has vectors 3 wide, and enc_dim is 2; set enc_"),
        ("v.txt", b"2 3\na 1 2 3\n", ":1: has vectors 3 wide, and enc_dim is 2"),
        ("v.bin", b"1 3\na " + bytes(12), ":1: has vectors 3 wide"),
        ("v.txt", b"b 1 2\na 1 x\n", ":2: has 'x' for a number; mend"),
        ("v.txt", b"b 1 2\n\na 1 nan\n", ":3: has 'nan' for a number"),
        ("v.txt", b"b 1 2\na 1 1e99\n", ":2: has '1e99' for a number"),
        ("v.txt", b"1 2\na 1 1,5\n", ":2: has '1,5' for a number"),
        ("v.txt", b"b 1 2\na 1\n", ":2: has 1 numbers, not 2"),
        ("v.txt", b"", ": is empty"),
        ("v.txt", b"b 1 2\nc 1 2\n", ": has a vector for none of the 1 words"),
        ("v.bin", b"a 1 2\n", ": does not begin with the number of words"),
        ("v.bin", b"2 2\na " + bytes(8) + b"b " + bytes(7), ": ends at word 2 of 2"),
        ("v.bin", b"1 2\na " + struct.pack("<2f", 1, np.inf), "'a' is not finite"),
        ("v.bin", struct.pack("<2i", 793712314, 12), ": is a model of fastText"),
        ("v.vec", struct.pack("<2i", 793712314, 12), ": is a model of fastText"),
        ("v.txt.gz", gzip.compress(b"a 1 2\n" * 99)[:-9], ": cannot be read to its"),
        ("v.bin.gz", gzip.compress(b"1 2\na " + bytes(8))[:-9], ": cannot be read"),
    ],
)
def test_what_is_wrong_is_told(tmp_path, name, data, message):
    path = written(tmp_path, name, data)
    with pytest.raises(DataError) as told:
        read_vectors(path, {"a": 0}, 1, 2, setting="enc_dim")
    assert str(told.value).startswith(str(path))
    assert message in str(told.value)
