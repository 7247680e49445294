"""Tests of object2vec_tf/text/vocabularies.py."""

import json

import pytest

from object2vec_tf.errors import DataError
from object2vec_tf.text.vocabularies import (
    parse_vocabulary,
    unknown_id,
    vocabulary_json,
)


def test_json_with_any_ids_and_lines_by_place():
    assert parse_vocabulary(b'{"a b": 5, "\\u00e9": 0}', "v") == {"a b": 5, "é": 0}
    assert parse_vocabulary(b"[UNK]\na\n##b\n", "v") == {"[UNK]": 0, "a": 1, "##b": 2}
    assert parse_vocabulary(b'\xef\xbb\xbf{"a": 0}', "v") == {"a": 0}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"a": 0, "b": 0}', "v: 'a' and 'b' have the same id, 0; "),
        (b'{"a": -1}', "v: 'a' has the id -1; ids are 0 or more"),
        (b'{"a": "0"}', "v: is not a vocabulary"),
        (b'{"a": 0', "v: is not a vocabulary"),
        (b'{"a": 1.5}', "v: is not a vocabulary"),
        (b"a\nb\na\n", "v:3: 'a' stands there a second time, after line 1; "),
        (b"{}", "v: holds no word"),
        (b"", "v: holds no word"),
        (b"\xff\xfe", "v: is not UTF-8 text at byte 0; "),
    ],
)
def test_what_is_no_vocabulary_is_told(data, message):
    with pytest.raises(DataError) as told:
        parse_vocabulary(data, "v")
    assert str(told.value).startswith(message)


def test_the_first_known_name_is_the_unknown_token():
    assert unknown_id({"a": 0, "<unk>": 3}) == 3
    assert unknown_id({"a": 0, "unk": 3}) is None


def test_a_written_vocabulary_reads_as_json():
    words = ["[UNK]", 'a"b', "é", "日"]
    assert json.loads(vocabulary_json(words)) == dict(zip(words, range(4), strict=True))
