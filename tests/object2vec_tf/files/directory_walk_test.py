"""Links, loops, special files and files that are given twice in channels."""

import os
import socket
import warnings
from pathlib import Path

import pytest

from object2vec_tf.errors import DataError
from object2vec_tf.files.channels import channel_files
from object2vec_tf.files.directory_walk import kind_of


@pytest.fixture
def root(tmp_path):
    """data/a.jsonl and data/sub/b.jsonl, and elsewhere/deep/c.jsonl."""
    for name in ("data/a.jsonl", "data/sub/b.jsonl", "elsewhere/deep/c.jsonl"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def names(root, source):
    return [str(path.relative_to(root)) for path in channel_files(source, "train")]


def test_linked_directories_are_read(root):
    (root / "data/link").symlink_to("../elsewhere")
    found = ["data/a.jsonl", "data/link/deep/c.jsonl", "data/sub/b.jsonl"]
    assert names(root, root / "data") == found
    assert names(root, f"{root}/data/*") == found
    assert names(root, f"{root}/data/**") == found
    assert names(root, f"{root}/dat*") == found
    (root / "top").symlink_to("data")
    assert names(root, root / "top") == [name.replace("data", "top") for name in found]


def test_loops_of_links_end(root):
    (root / "data/sub/loop").symlink_to("..")
    (root / "data/back").symlink_to("../elsewhere")
    (root / "elsewhere/forth").symlink_to("../data")
    (root / "data/again").symlink_to("sub")
    assert names(root, root / "data") == [
        "data/a.jsonl",
        "data/back/deep/c.jsonl",
        "data/sub/b.jsonl",
    ]
    (root / "self").symlink_to("self")
    with pytest.raises(
        DataError, match="self: a symbolic link to self, which does not"
    ):
        channel_files(root, "train")


def test_hidden_linked_directories_are_not_read(root):
    (root / "data/_link").symlink_to("../elsewhere")
    (root / "data/.link").symlink_to("../elsewhere")
    assert names(root, root / "data") == ["data/a.jsonl", "data/sub/b.jsonl"]
    assert names(root, f"{root}/data/*") == ["data/a.jsonl", "data/sub/b.jsonl"]


def test_files_that_are_not_regular_are_skipped_with_a_warning(root):
    os.mkfifo(root / "data/sub/pipe")
    assert kind_of(root / "data/sub/pipe") == "a FIFO"
    with pytest.warns(
        UserWarning, match="^train: .*/sub/pipe: skipped, since it is a F"
    ):
        assert names(root, root / "data") == ["data/a.jsonl", "data/sub/b.jsonl"]
    with pytest.warns(UserWarning, match="/sub/pipe: skipped"):
        assert names(root, f"{root}/data/sub/*") == ["data/sub/b.jsonl"]
    with (
        pytest.warns(UserWarning, match="/sub/pipe: skipped"),
        pytest.raises(DataError, match="no file matches"),
    ):
        channel_files(f"{root}/data/sub/p*", "train")
    assert channel_files(root / "data/sub/pipe", "train") == [root / "data/sub/pipe"]


def test_a_socket_is_skipped(root, monkeypatch):
    monkeypatch.chdir(root / "data")  # names of sockets have at most 107 bytes
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        with pytest.warns(UserWarning, match="skipped, since it is a socket"):
            assert len(channel_files(".", "train")) == 2


@pytest.mark.parametrize(
    "source",
    [
        "a.jsonl,a.jsonl",
        "a.jsonl,./a.jsonl",
        "a.jsonl,*.jsonl",
        "a.jsonl,link.jsonl",
        "a.jsonl,linked/a.jsonl",
        ["a.jsonl", Path("a.jsonl")],
        "a.jsonl,file:a.jsonl",
    ],
)
def test_a_file_is_read_once(root, monkeypatch, source):
    monkeypatch.chdir(root / "data")
    Path("link.jsonl").symlink_to("a.jsonl")
    Path("linked").symlink_to(".")
    if source == "a.jsonl,file:a.jsonl":
        source = f"a.jsonl,file://{Path.cwd()}/a.jsonl"
    with pytest.warns(UserWarning, match=r"^train: .* is given more than once, and"):
        assert channel_files(source, "train") == [Path("a.jsonl")]


def test_a_hard_link_is_another_file(root):
    (root / "data/hard.jsonl").hardlink_to(root / "data/a.jsonl")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(channel_files(root / "data", "train")) == 3


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser can read everything")
def test_a_directory_that_cannot_be_read_is_an_error(root):
    (root / "data/sub").chmod(0)
    with pytest.raises(
        DataError, match="sub: the directory cannot be read: Permission"
    ):
        channel_files(root / "data", "train")
