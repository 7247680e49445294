"""Tests of object2vec_tf/files/atomic.py."""

import os
import stat

import pytest

from object2vec_tf.errors import UserError
from object2vec_tf.files.atomic import (
    atomic_directory,
    atomic_file,
    exchange,
    reject_input_paths,
    write_atomic,
)


def umask():
    """Returns the umask, from 0 to 0o777."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


class Broken(Exception):
    """Interrupts a write."""


def write_half(path, content):
    with atomic_file(path) as temporary:
        temporary.write_text("half")
        assert path.read_text() == content
        raise Broken


def fill_half(path):
    with atomic_directory(path) as temporary:
        (temporary / "a").write_text("half")
        assert not path.exists()
        raise Broken


def test_a_file_replaces_the_old_one_only_when_complete(tmp_path):
    path = tmp_path / "a.json"
    write_atomic(path, "old")
    with pytest.raises(Broken):
        write_half(path, "old")
    assert path.read_text() == "old"
    write_atomic(path, "new")
    assert path.read_text() == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask()


def test_the_error_of_a_full_disk_names_the_file(tmp_path):
    path = tmp_path / "a.json"
    write_atomic(path, "old")
    with (
        pytest.raises(OSError, match="No space left") as raised,
        atomic_file(path),
        open("/dev/full", "wb", buffering=0) as full,
    ):
        full.write(b"x")
    assert raised.value.filename == str(path)
    assert path.read_text() == "old"


def test_the_temporary_file_keeps_the_suffix(tmp_path):
    with atomic_file(tmp_path / "model.keras") as temporary:
        assert temporary.suffix == ".keras"
        temporary.write_bytes(b"1")


def test_a_directory_is_complete_when_it_appears(tmp_path):
    path = tmp_path / "deep" / "1"
    with pytest.raises(Broken):
        fill_half(path)
    assert list((tmp_path / "deep").iterdir()) == []
    with atomic_directory(path) as temporary:
        (temporary / "b").mkdir()
        (temporary / "b" / "c").write_text("complete")
    assert (path / "b" / "c").read_text() == "complete"
    for directory in (path, path / "b"):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o777 & ~umask()


@pytest.mark.parametrize("mask", [0o077, 0o002, 0o027])
def test_the_umask_is_honored(tmp_path, mask):
    before = os.umask(mask)
    try:
        write_atomic(tmp_path / "a.json", "a")
        with atomic_directory(tmp_path / "1") as temporary:
            (temporary / "b").mkdir(0o700)
            (temporary / "c").touch()
    finally:
        os.umask(before)
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")
    }
    files, directories = 0o666 & ~mask, 0o777 & ~mask
    assert modes == {"a.json": files, "1": directories, "b": directories, "c": files}


def test_a_replaced_file_keeps_its_permissions(tmp_path):
    path = tmp_path / "a.json"
    write_atomic(path, "old")
    path.chmod(0o600)
    write_atomic(path, "new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_existing_directory_is_not_replaced(tmp_path):
    path = tmp_path / "1"
    path.mkdir()
    (path / "old").write_text("old")
    with pytest.raises(OSError, match="not empty"), atomic_directory(path) as temporary:
        (temporary / "a").write_text("a")
    assert (path / "old").read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["1"]


def test_an_output_that_is_an_input_is_rejected(tmp_path):
    path, link = tmp_path / "a.jsonl", tmp_path / "link.jsonl"
    path.write_text("x")
    link.symlink_to(path)
    reject_input_paths(tmp_path / "b.jsonl", [path, tmp_path / "none.jsonl"])
    for output in (path, link, tmp_path / "." / "a.jsonl"):
        with pytest.raises(
            UserError, match=r"is also an input\. Choose another --output"
        ):
            reject_input_paths(output, [tmp_path / "none.jsonl", path])


def test_two_directories_are_exchanged(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    inodes = [(tmp_path / name).stat().st_ino for name in ("a", "b")]
    if not exchange(tmp_path / "a", tmp_path / "b"):
        pytest.skip("needs renameat2 and a file system with it")
    assert [(tmp_path / name).stat().st_ino for name in ("b", "a")] == inodes
    assert (tmp_path / "a" / "b").exists()
    assert not exchange(tmp_path / "a", tmp_path / "none")
    assert (tmp_path / "a" / "b").exists()
