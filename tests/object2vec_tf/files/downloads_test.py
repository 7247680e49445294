"""Tests of object2vec_tf/files/downloads.py: remote files and their local copies."""

import gzip
from pathlib import Path

import pytest

from object2vec_tf.errors import DataError, UserError
from object2vec_tf.files.channels import channel_files, open_file
from object2vec_tf.files.downloads import (
    glob_root,
    list_files,
    match_files,
    stage_below,
    staged_file,
)
from object2vec_tf.files.remote import RemoteError


def contents(files):
    opened = []
    for path in files:
        with open_file(path) as file:
            opened.append((f"{path}", file.read()))
    return opened


@pytest.fixture
def bucket(remote):
    for name, content in {
        "a.jsonl": b"a",
        "sub/b.jsonl.gz": gzip.compress(b"b"),
        "sub/_temporary/c.jsonl": b"c",
        ".hidden/d.jsonl": b"d",
        "_SUCCESS": b"",
    }.items():
        remote.pipe(f"/bucket/{name}", content)
    return remote


def test_a_directory_has_the_files_that_a_local_one_has(bucket):
    expected = [
        ("memory://bucket/a.jsonl", b"a"),
        ("memory://bucket/sub/b.jsonl.gz", b"b"),
    ]
    assert contents(channel_files("memory://bucket", "train")) == expected
    assert contents(channel_files("memory://bucket/", "train")) == expected


def test_commas_lists_and_globs(bucket, tmp_path):
    local = tmp_path / "local.jsonl"
    local.write_bytes(b"l")
    a = ("memory://bucket/a.jsonl", b"a")
    both = [a, (str(local), b"l")]
    assert contents(channel_files(f"memory://bucket/a.jsonl,{local}", "train")) == both
    assert contents(channel_files(["memory://bucket/a.jsonl", local], "train")) == both
    assert contents(channel_files("memory://bucket/*.jsonl", "train")) == [a]
    found = contents(channel_files("memory://bucket/**/*.jsonl*", "train"))
    assert [name for name, _ in found] == [
        "memory://bucket/a.jsonl",
        "memory://bucket/sub/_temporary/c.jsonl",
        "memory://bucket/sub/b.jsonl.gz",
    ]


def test_missing_files_are_data_errors(bucket):
    with pytest.raises(DataError, match=r"^train: memory://bucket/x: no such file or"):
        channel_files("memory://bucket/x", "train")
    with pytest.raises(
        DataError, match=r"^train: memory://bucket/x\*: no file matches"
    ):
        channel_files("memory://bucket/x*", "train")
    bucket.pipe("/empty/_SUCCESS", b"")
    with pytest.raises(DataError, match="the directory has no data files"):
        channel_files("memory://empty", "train")


def test_a_file_is_copied_once_and_again_after_a_change(bucket, monkeypatch):
    first = staged_file("memory://bucket/a.jsonl")
    calls = []
    get_file = type(bucket).get_file
    monkeypatch.setattr(
        type(bucket),
        "get_file",
        lambda self, *paths: (calls.append(paths), get_file(self, *paths)),
    )
    assert staged_file("memory://bucket/a.jsonl") == first
    assert not calls
    bucket.pipe("/bucket/a.jsonl", b"new")
    second = staged_file("memory://bucket/a.jsonl")
    assert second.read_bytes() == b"new"
    assert first.read_bytes() == b"a"
    assert len(calls) == 1


def test_a_damaged_copy_is_copied_again(bucket):
    copy = staged_file("memory://bucket/a.jsonl")
    copy.write_bytes(b"b")
    with pytest.warns(UserWarning, match=r"is damaged: .* It is copied again\."):
        assert staged_file("memory://bucket/a.jsonl").read_bytes() == b"a"
    [directory] = [stage_below("memory://bucket", list_files("memory://bucket"), "sub")]
    (directory / "b.jsonl.gz").unlink()
    with pytest.warns(UserWarning, match=r"b\.jsonl\.gz: is missing"):
        again = stage_below("memory://bucket", list_files("memory://bucket"), "sub")
    assert gzip.decompress((again / "b.jsonl.gz").read_bytes()) == b"b"


def test_a_truncated_copy_is_an_error(bucket, monkeypatch):
    monkeypatch.setattr(
        type(bucket),
        "get_file",
        lambda self, path, target: Path(target).write_bytes(b""),
    )
    monkeypatch.setattr("object2vec_tf.files.remote.PAUSES", ())
    with pytest.raises(RemoteError, match="expected 1 bytes, got 0"):
        staged_file("memory://bucket/a.jsonl")
    assert not any((Path(bucket_staging()) / "inputs").glob("*/a.jsonl"))


def bucket_staging():
    from object2vec_tf.files.staging import staging_directory

    return staging_directory()


def test_a_subdirectory_is_copied_with_its_structure(bucket):
    files = list_files("memory://bucket")
    copy = stage_below("memory://bucket", files, "sub")
    assert copy.name == "sub"
    assert (copy / "_temporary/c.jsonl").read_bytes() == b"c"
    assert f"{copy / '_temporary'}" == "memory://bucket/sub/_temporary"


def test_keys_that_lead_out_of_a_directory_are_left_out(bucket):
    bucket.pipe("/bucket/model/../../outside", b"evil")
    bucket.pipe("/bucket/model/1/./x", b"evil")
    bucket.pipe("/bucket/model/1/..x", b"good")
    names = [file.name for file in list_files("memory://bucket/model")]
    assert names == ["1/..x"]
    names = [file.name for file in match_files("memory://bucket/model/**")]
    assert names == []  # a wildcard matches no hidden name


def test_a_directory_is_no_file(bucket):
    with pytest.raises(UserError, match="no such file"):
        staged_file("memory://bucket/sub")


def test_names_are_relative_to_the_part_without_wildcards(bucket):
    assert glob_root("memory://bucket/s*/b*") == "memory://bucket"
    (found,) = match_files("memory://bucket/s*/b*")
    assert (found.name, found.url) == (
        "sub/b.jsonl.gz",
        "memory://bucket/sub/b.jsonl.gz",
    )
