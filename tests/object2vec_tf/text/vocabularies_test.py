"""Tests of object2vec_tf/text/vocabularies.py."""

import json

import numpy as np
import pytest

from object2vec_tf.errors import DataError
from object2vec_tf.text.vocabularies import (
    IntegerVocabulary,
    parse_vocabulary,
    unknown_id,
    vocabulary_json,
)


def test_a_vocabulary_is_json_or_one_word_per_line():
    assert parse_vocabulary(b'{"a b": 5, "\\u00e9": 0}', "v") == {"a b": 5, "é": 0}
    assert parse_vocabulary(b"[UNK]\na\n##b\n", "v") == {"[UNK]": 0, "a": 1, "##b": 2}
    assert parse_vocabulary(b'\xef\xbb\xbf{"a": 0}', "v") == {"a": 0}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            b'{"a": 0, "b": 0}',
            "v: expected a different id for every word, got 0 for both 'a' and",
        ),
        (b'{"a": -1}', "v: 'a': expected an id of 0 or more, got -1. "),
        (b'{"a": "0"}', "v: expected a vocabulary as JSON"),
        (b'{"a": 0', "v: expected a vocabulary as JSON"),
        (b'{"a": 1.5}', "v: expected a vocabulary as JSON"),
        (b"a\nb\na\n", "v:3: expected every word once, got 'a' again after line 1. "),
        (b'{"a": 0, "b": 1, "a": 2}', "v: expected every word once, got 'a' with the "),
        (b'{"a": 9223372036854775808}', "v: 'a': expected an id below 2147483647, "),
        (b"a\n\0\0\0\nb\n", "v:2: expected a word, got a NUL character. "),
        (b'["a", "b"]', 'v: expected a vocabulary as JSON, {"word": id}, or one word '),
        (
            b"[" * 9_999 + b"]" * 9_999,
            'v: expected a vocabulary as JSON, {"word": id}, or one word ',
        ),
        (b"PAR1", "v: expected lines of text, got Parquet. "),
        (b"{}", "v: expected at least one word, got none. "),
        (b"", "v: expected at least one word, got none. "),
        (b"\xff\xfe", "v: expected lines of text, got UTF-16. "),
        (b"\xff", "v: expected UTF-8 text, got an invalid byte at position 0. "),
    ],
)
def test_an_invalid_vocabulary_is_rejected(data, message):
    with pytest.raises(DataError) as error:
        parse_vocabulary(data, "v")
    assert str(error.value).startswith(message)


def test_a_colon_in_a_word_is_no_second_entry():
    assert parse_vocabulary(b'{"a:": 0, ":": 1}', "v") == {"a:": 0, ":": 1}
    assert parse_vocabulary(b"[1]\n[2]\n", "v") == {"[1]": 0, "[2]": 1}


def test_the_unknown_token_has_one_of_the_known_names():
    assert unknown_id({"a": 0, "<unk>": 3}) == 3
    assert unknown_id({"a": 0, "unk": 3}) is None


def test_a_vocabulary_file_is_json():
    words = ["[UNK]", 'a"b', "é", "日"]
    assert json.loads(vocabulary_json(words)) == dict(zip(words, range(4), strict=True))


def test_integers_are_looked_up_by_their_decimal_text():
    words = ["[UNK]", str(-(2**63)), str(2**63 - 1), str(2**63), "-5", "007", "0"]
    vocabulary = IntegerVocabulary(vocabulary_json(words).encode(), "v")
    integers = np.array([-(2**63), 2**63 - 1, -5, 7, 0, 5])
    assert vocabulary.lookup(integers).tolist() == [1, 2, 4, -1, 6, -1]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_only_line_ends_separate_words(end):
    words = ["a", "b\u2028c", "d\x85e", "f\vg", "h\fi", "j\x1ck", "l\rm", "", "n"]
    data = "".join(word + end for word in words).encode()
    assert list(parse_vocabulary(data, "v")) == words
    assert list(parse_vocabulary(data.removesuffix(end.encode()), "v")) == words


def test_carriage_returns_as_line_ends_are_an_error():
    with pytest.raises(DataError, match=r"v: expected lines that end with LF or CRLF"):
        parse_vocabulary(b"a\rb\rc", "v")
