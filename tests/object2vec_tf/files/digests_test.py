"""Tests of object2vec_tf/files/digests.py."""

import json
import os

import pytest
import xxhash

from object2vec_tf.errors import RunDirectoryError, UserError
from object2vec_tf.files.digests import (
    DIGESTS,
    digest_of_bytes,
    digest_of_file,
    verify_bytes,
    verify_digests,
    verify_files,
    write_digests,
)
from object2vec_tf.files.sealed_json import sealed_text
from tests.bit_flips import flipped

FILES = {"graph": b"1234", "variables/data": b"\0" * 20, "empty": b""}


@pytest.fixture
def directory(tmp_path):
    (tmp_path / "variables").mkdir()
    for name, data in FILES.items():
        (tmp_path / name).write_bytes(data)
    write_digests(tmp_path)
    return tmp_path


def test_sizes_and_checksums_of_all_files_are_written(directory):
    files = json.loads((directory / DIGESTS).read_text())["files"]
    assert files == {
        name: {"size": len(data), "xxh3_128": xxhash.xxh3_128_hexdigest(data)}
        for name, data in FILES.items()
    }
    assert verify_digests(directory)


def test_a_file_of_several_blocks_is_read_whole(tmp_path):
    data = os.urandom((9 << 20) + 1)
    (tmp_path / "large").write_bytes(data)
    assert digest_of_file(tmp_path / "large") == digest_of_bytes(data)


def test_every_flip_of_a_bit_is_found(directory):
    for path in [directory / "graph", directory / "variables/data"]:
        data = path.read_bytes()
        for bit in range(8 * len(data)):
            path.write_bytes(flipped(data, bit))
            with pytest.raises(UserError, match=f"{path}: is damaged: its checksum"):
                verify_digests(directory)
        path.write_bytes(data)
    assert verify_digests(directory)


def test_files_that_were_not_copied_are_named(directory):
    (directory / "variables/data").write_bytes(b"\0" * 19)
    with pytest.raises(UserError, match="data: is damaged: half copied, 19 of 20 byt"):
        verify_digests(directory)
    (directory / "variables/data").write_bytes(b"\0" * 21)
    with pytest.raises(UserError, match=r"expected 20 bytes, got 21\. Fix\."):
        verify_digests(directory, "Fix.")
    (directory / "variables/data").unlink()
    with pytest.raises(UserError, match="the directory is half copied"):
        verify_digests(directory)


def test_sizes_are_checked_before_any_content(directory):
    (directory / "empty").unlink()
    (directory / "graph").write_bytes(b"1235")
    with pytest.raises(UserError, match="empty: is missing"):
        verify_digests(directory)


def test_files_that_are_not_described_are_ignored(directory):
    (directory / "notes.txt").write_text("later")
    assert verify_digests(directory)
    (directory / "graph").unlink()
    assert verify_digests(directory, names=["empty", "notes.txt"])


def test_directories_of_older_versions_have_no_digests(directory):
    (directory / DIGESTS).unlink()
    (directory / "graph").unlink()
    assert not verify_digests(directory)


def test_a_file_can_have_any_name(tmp_path):
    name = os.fsdecode(b"[1] \n\\\xff")
    (tmp_path / name).write_bytes(b"1")
    write_digests(tmp_path, [name])
    assert verify_digests(tmp_path)
    (tmp_path / name).write_bytes(b"2")
    with pytest.raises(UserError, match="is damaged"):
        verify_digests(tmp_path)


def test_no_flip_of_a_bit_in_the_digests_goes_unnoticed(directory):
    data = (directory / DIGESTS).read_bytes()
    (directory / "graph").write_bytes(b"1235")
    for bit in range(0, 8 * len(data), 29):
        (directory / DIGESTS).write_bytes(flipped(data, bit))
        with pytest.raises(UserError):
            verify_digests(directory)


@pytest.mark.parametrize("size", [0, 1, 40])
def test_truncated_digests_are_damaged(directory, size):
    (directory / DIGESTS).write_bytes((directory / DIGESTS).read_bytes()[:size])
    with pytest.raises(UserError, match=r"digests\.json: is damaged: expected a JSON"):
        verify_digests(directory)


@pytest.mark.parametrize(
    "files",
    [
        None,
        [],
        {"a": 1},
        {"a": {"size": 1}},
        {"a": {"size": "1", "xxh3_128": "0" * 32}},
        {"a": {"size": True, "xxh3_128": "0" * 32}},
        {"a": {"size": 1, "xxh3_128": "0" * 31}},
        {"../a": digest_of_bytes(b"")},
        {"/a": digest_of_bytes(b"")},
        {"": digest_of_bytes(b"")},
    ],
)
def test_digests_have_types(tmp_path, files):
    (tmp_path / DIGESTS).write_text(sealed_text({"files": files}))
    with pytest.raises(UserError, match=r"digests\.json: is damaged: expected files"):
        verify_digests(tmp_path)


def test_a_file_that_cannot_be_read_is_a_user_error(tmp_path):
    (tmp_path / "a").mkdir()
    size = (tmp_path / "a").stat().st_size
    files = {"a": {"size": size, "xxh3_128": "0" * 32}}
    with pytest.raises(UserError, match=r"a: cannot be read: Is a directory\. Fix\."):
        verify_files(tmp_path, files, "Fix.")


def test_bytes_that_are_already_read_are_verified(tmp_path):
    path, digest = tmp_path / "a", digest_of_bytes(b"1")
    verify_bytes(path, b"1", digest, "Fix.")
    with pytest.raises(UserError, match=r"a: is damaged: its checksum .* Fix\."):
        verify_bytes(path, b"2", digest, "Fix.")
    with pytest.raises(RunDirectoryError, match="a: is damaged: half copied, 0 of 1 b"):
        verify_bytes(path, b"", digest, "Fix.", error_class=RunDirectoryError)
