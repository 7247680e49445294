"""Tests of object2vec_tf/files/sealed_json.py."""

import json

import pytest
import xxhash

from object2vec_tf.errors import RunDirectoryError, UserError
from object2vec_tf.files.sealed_json import (
    parse_object,
    parse_sealed,
    read_sealed,
    seal,
    sealed_text,
)
from tests.bit_flips import flipped

RECORD = {"epoch": 3, "loss": 0.1, "best": None, "words": ["é", "\udcff"], "ok": True}
CONTENT = '{"a":1,"b":[2.5,"\\u00e9"]}'


def test_the_checksum_is_that_of_the_sorted_json():
    expected = xxhash.xxh3_128_hexdigest(CONTENT.encode())
    assert seal({"b": (2.5, "é"), "a": 1, "xxh3_128": "old"}) == {
        "b": (2.5, "é"),
        "a": 1,
        "xxh3_128": expected,
    }


def test_a_sealed_object_is_read_back(tmp_path):
    path = tmp_path / "state.json"
    path.write_text(sealed_text(RECORD), encoding="utf-8")
    assert read_sealed(path, "Fix.", required=["epoch"], is_sealed=True) == RECORD


def test_no_flip_of_a_bit_changes_what_is_read():
    data = sealed_text(RECORD).encode()
    unharmed = 0
    for bit in range(8 * len(data)):
        try:
            record = parse_sealed(flipped(data, bit), "state.json", "Fix.")
        except UserError:
            continue
        else:
            assert record == RECORD
            unharmed += 1
    assert unharmed < 200  # white space, and the case of an escaped digit


def test_objects_of_older_versions_have_no_checksum():
    assert parse_sealed('{"epoch": 3}', "state.json", "Fix.") == {"epoch": 3}
    with pytest.raises(UserError, match="its checksum is missing"):
        parse_sealed('{"epoch": 3}', "state.json", "Fix.", is_sealed=True)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b'{"a": "\xff"}', "expected UTF-8, got byte 0xff at position 7"),
        (b'{"a": 1', "expected a JSON object: Expecting ',' delimiter"),
        (b"", "expected a JSON object: Expecting value"),
        (b"[1]", r"expected a JSON object, got \[1\]"),
        (b"[" * 100_000, "recursion"),
        (b'{"a": ' + b"9" * 5000 + b"}", "expected a JSON object: Exceeds the limit"),
        (b'{"b": 1}', "the JSON object has no a"),
    ],
)
def test_other_content_is_an_error_of_the_given_class(data, reason, tmp_path):
    path = tmp_path / "state.json"
    path.write_bytes(data)
    with pytest.raises(RunDirectoryError, match=f"is damaged: .*{reason}.* Fix."):
        read_sealed(path, "Fix.", required=["a"], error_class=RunDirectoryError)


def test_a_missing_file_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match=r"state\.json: cannot be read: No such file"):
        read_sealed(tmp_path / "state.json", "Fix.")


def test_text_is_parsed_too():
    assert parse_object(json.dumps(RECORD)) == RECORD
