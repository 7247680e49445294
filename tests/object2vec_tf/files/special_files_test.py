"""Tests of object2vec_tf/files/special_files.py, and of atomic files that are special.

The devices are made in a temporary directory: never write to those of the machine.
"""

import os
import resource
import stat
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from object2vec_tf.files.atomic import atomic_file, write_atomic
from object2vec_tf.files.special_files import (
    is_special,
    is_stdout,
    scratch_parent,
    target_of,
)


@pytest.fixture
def null(tmp_path):
    """A device like /dev/null."""
    path = tmp_path / "null"
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        path.write_text("x")
    except OSError:
        pytest.skip("needs the right to create and use a device")
    return path


def test_a_device_is_written_to_and_stays(null):
    before = null.stat()
    write_atomic(null, "x")
    with atomic_file(null) as path, path.open("wb") as file:
        file.write(b"x")
    assert stat.S_ISCHR(null.stat().st_mode)
    assert null.stat().st_ino == before.st_ino
    assert [entry.name for entry in null.parent.iterdir()] == ["null"]


def test_a_fifo_is_written_to_and_stays(tmp_path):
    fifo, received = tmp_path / "fifo", []
    os.mkfifo(fifo)
    reader = threading.Thread(target=lambda: received.append(fifo.read_text()))
    reader.start()
    write_atomic(fifo, "through the FIFO")
    reader.join(10)
    assert received == ["through the FIFO"]
    assert fifo.is_fifo()
    assert [entry.name for entry in tmp_path.iterdir()] == ["fifo"]


@pytest.mark.parametrize("is_broken", [False, True])
def test_a_link_stays_and_its_target_is_replaced(tmp_path, is_broken):
    (tmp_path / "results").mkdir()
    target, link = tmp_path / "results" / "real.json", tmp_path / "link.keras"
    link.symlink_to("results/real.json")
    if not is_broken:
        target.write_text("old")
        target.chmod(0o640)
        inode = target.stat().st_ino
    with atomic_file(link) as temporary:
        assert temporary.suffix == ".keras"
        assert temporary.parent == target.parent  # the same file system
        temporary.write_text("new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    if not is_broken:
        assert target.stat().st_ino != inode
        assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert target_of(link) == target


def test_a_directory_is_no_output_file(tmp_path):
    with pytest.raises(IsADirectoryError) as caught:
        write_atomic(tmp_path, "text")
    assert caught.value.filename == str(tmp_path)


@contextmanager
def stdout_into(target):
    """Makes an open file the standard output of this process, below Python's own."""
    saved = os.dup(1)
    os.dup2(target, 1)
    try:
        yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)


def write_to(name):
    """Does what a command does: prints, writes the output, prints."""
    os.write(1, b"before\n")
    assert is_stdout(Path(name))
    write_atomic(Path(name), "content\n")
    os.write(1, b"after\n")


@pytest.mark.parametrize(
    "name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "link"]
)
def test_the_standard_output_is_appended_to(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    Path("link").symlink_to("/dev/stdout")
    path = tmp_path / "out"
    path.write_text("old\n")
    inode = path.stat().st_ino
    for mode, old in (("a", "old\n"), ("w", "")):
        with path.open(mode) as file, stdout_into(file.fileno()):
            write_to(name)
        assert path.read_text() == f"{old}before\ncontent\nafter\n"
    assert path.stat().st_ino == inode
    reader, writer = os.pipe()
    with stdout_into(writer):
        write_to(name)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        assert file.read() == b"before\ncontent\nafter\n"
    assert Path("/dev/stdout").is_symlink()


def test_a_full_disk_of_the_standard_output_is_named(tmp_path):
    path = tmp_path / "out"
    path.write_bytes(bytes(100))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with path.open("ab") as file, stdout_into(file.fileno()):
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
        try:
            with pytest.raises(OSError, match="too large") as caught:
                write_atomic(Path("/dev/stdout"), "content")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.filename == "/dev/stdout"


def test_an_open_file_that_is_none_is_an_error():
    with pytest.raises(OSError, match="Bad file descriptor") as caught:
        write_atomic(Path("/dev/fd/999"), "text")
    assert caught.value.filename == "/dev/fd/999"


def test_kinds_of_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fifo, file, link = (tmp_path / name for name in ("fifo", "file", "link"))
    os.mkfifo(fifo)
    file.touch()
    link.symlink_to(fifo)
    assert [is_special(path) for path in (fifo, link, file, tmp_path / "none")] == [
        True,
        True,
        False,
        False,
    ]
    assert not is_special(tmp_path)
    assert not is_stdout(file)
    assert scratch_parent(file) == tmp_path
    assert scratch_parent(link) != tmp_path
