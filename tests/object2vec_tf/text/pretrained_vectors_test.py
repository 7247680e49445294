"""Tests of object2vec_tf/text/pretrained_vectors.py: all formats, and errors."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import zstandard

from object2vec_tf.errors import DataError
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


FORMATS = {
    "glove.txt": glove(),
    "no_line_end.txt": glove()[:-1],
    "windows.txt": glove("\r\n"),
    "word2vec.txt": b"6 4\n" + glove(),
    "fasttext.vec": b"6 4\n" + glove(" \n"),
    "mark.vec": b"\xef\xbb\xbf6 4\n" + glove() + b"\n",
    "word2vec.bin": binary(),
    "lines.bin": binary(b"\n"),
}
COMPRESSIONS = {
    "": lambda data: data,
    ".gz": gzip.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}


def write(tmp_path: Path, name: str, data: bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("suffix", COMPRESSIONS)
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("options", [{}, {"block_bytes": 64}])
def test_vectors_are_read_from_every_format(tmp_path, name, suffix, options):
    path = write(tmp_path, name + suffix, COMPRESSIONS[suffix](FORMATS[name]))
    vectors = read_vectors(path, VOCABULARY, 5, 4, **options)
    np.testing.assert_array_equal(vectors.rows, EXPECTED)
    assert vectors.rows.dtype == np.float32
    assert (vectors.found, vectors.words) == (5, 5)


def test_a_few_words_are_read_from_many(tmp_path):
    generator = np.random.default_rng(1)
    rows = np.float32(generator.normal(size=(5000, 7)))
    lines = [f"w{i} " + " ".join(map(repr, row.tolist())) for i, row in enumerate(rows)]
    path = write(tmp_path, "many.txt", "\n".join(lines).encode())
    chosen = generator.permutation(5000)[:50].tolist()
    vectors = read_vectors(path, {f"w{n}": i for i, n in enumerate(chosen)}, 50, 7)
    np.testing.assert_array_equal(vectors.rows, rows[chosen])


def test_words_may_have_spaces(tmp_path):
    path = write(tmp_path, "v.txt", b"a 1 2\n. . 3 4\nb 5 6\n")
    for vocabulary, expected in (
        ({"a": 0, ". .": 1, "b": 2}, [[1, 2], [3, 4], [5, 6]]),
        ({"a": 0, "b": 1}, [[1, 2], [5, 6]]),
    ):
        vectors = read_vectors(path, vocabulary, len(expected), 2)
        assert vectors.rows.tolist() == expected
    # The word "." is not in the file.
    vectors = read_vectors(path, {".": 1, "a": 0}, 2, 2)
    assert vectors.found == 1


def test_the_first_vector_of_a_repeated_word_is_used(tmp_path):
    path = write(tmp_path, "v.txt", b"a 1 2\nb 7 8\na 3 4\na 5 6\n")
    assert read_vectors(path, {"a": 0, "b": 1}, 2, 2).rows.tolist() == [[1, 2], [7, 8]]


def test_missing_rows_have_the_mean_and_deviation_of_the_others(tmp_path):
    rows = np.random.default_rng(2).normal([1, -3], [0.5, 2], (400, 2))
    lines = [f"w{i} {a:.5f} {b:.5f}" for i, (a, b) in enumerate(rows)]
    path = write(tmp_path, "v.txt", "\n".join(lines).encode())
    vocabulary = {f"w{i}": i for i in range(401)}
    vectors = read_vectors(path, vocabulary, 20_400, 2, seed=3)
    assert (vectors.found, vectors.words) == (400, 401)
    drawn = vectors.rows[400:]
    np.testing.assert_allclose(drawn.mean(0), rows.mean(0), atol=0.06)
    np.testing.assert_allclose(drawn.std(0), rows.std(0), rtol=0.03)
    again = read_vectors(path, vocabulary, 20_400, 2, seed=3)
    np.testing.assert_array_equal(vectors.rows, again.rows)
    other = read_vectors(path, vocabulary, 20_400, 2, seed=4)
    assert (other.rows[400:] != drawn).any()


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        (
            "v.txt",
            b"a 1 2 3\n",
            ":1: expected vectors of 2 numbers (enc_dim), got 3. Set",
        ),
        (
            "v.txt",
            b"2 3\na 1 2 3\n",
            ":1: expected vectors of 2 numbers (enc_dim), got 3",
        ),
        ("v.bin", b"1 3\na " + bytes(12), ":1: expected vectors of 2 numbers"),
        ("v.txt", b"b 1 2\na 1 x\n", ":2: expected a finite number, got 'x'. Fix"),
        ("v.txt", b"b 1 2\n\na 1 nan\n", ":3: expected a finite number, got 'nan'"),
        ("v.txt", b"b 1 2\na 1 1e99\n", ":2: expected a finite number, got '1e99'"),
        ("v.txt", b"1 2\na 1 1,5\n", ":2: expected a finite number, got '1,5'"),
        ("v.txt", b"b 1 2\na 1\n", ":2: expected 2 numbers after the word, got 1. "),
        ("v.txt", b"b 1 2\na 1_0 1\n", ":2: expected a finite number, got '1_0'"),
        ("v.vec", b"3 2\na 1 2\nb 1 2\n", ": expected 3 words, as its first line "),
        ("v.vec", b"1 2\na 1 2\nb 1 2\n", ": expected 1 words, as its first line "),
        ("v.bin", b"1 2\na " + bytes(9), ": expected 1 words, as its first line says"),
        ("v.txt", b"", ": expected vectors, got an empty file"),
        (
            "v.txt",
            b"b 1 2\nc 1 2\n",
            ": expected vectors of the vocabulary's words, got no",
        ),
        ("v.bin", b"a 1 2\n", ": expected the number of words and the width of a v"),
        ("v.bin", b"2 2\na " + bytes(8) + b"b " + bytes(7), ": expected 2 words"),
        ("v.bin", b"1 2\na " + struct.pack("<2f", 1, np.inf), ": 'a': expected finite"),
        ("v.bin", struct.pack("<2i", 793712314, 12), ": expected word vectors, got"),
        ("v.vec", struct.pack("<2i", 793712314, 12), ": expected word vectors, got"),
        ("v.txt.gz", gzip.compress(b"a 1 2\n" * 99)[:-9], ": cannot be read to its"),
        ("v.bin.gz", gzip.compress(b"1 2\na " + bytes(8))[:-9], ": cannot be read"),
        ("v.bin.zst", b"1 2\na " + bytes(8), ": cannot be read to its end"),
    ],
)
def test_an_invalid_file_is_rejected(tmp_path, name, data, message):
    path = write(tmp_path, name, data)
    with pytest.raises(DataError) as error:
        read_vectors(path, {"a": 0}, 1, 2, setting="enc_dim")
    assert str(error.value).startswith(str(path))
    assert message in str(error.value)
