"""Tests of object2vec_tf/files/path_lists.py: lists of paths, and patterns."""

import os
from pathlib import Path

import pytest

from object2vec_tf.errors import UserError
from object2vec_tf.files.channels import channel_files
from object2vec_tf.files.path_lists import (
    exists,
    hint,
    literal_start,
    match_paths,
    split_paths,
)
from object2vec_tf.files.remote import local_path


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("files", "source", "expected"),
    [
        ([], "a,b", ["a", "b"]),
        ([], " a , b ,", ["a", "b"]),
        ([], ",,", []),
        ([], ["a,b", Path("c,d")], ["a", "b", "c,d"]),
        (["a,b"], "a,b", ["a,b"]),
        (["a,b"], "a,b,c", ["a,b", "c"]),
        (["a,b", "c"], "c,a,b", ["c", "a,b"]),
        (["a,b,c"], "x,a,b,c,y", ["x", "a,b,c", "y"]),
        (["a", "b", "a,b"], "a,b,c", ["a", "b", "c"]),
        (["a,b1"], "a,b*,c", ["a,b*", "c"]),
        (["a,b1", "a1"], "a*,b*,c", ["a*", "b*", "c"]),
        ([" a "], " a ", [" a "]),
        ([" a "], "b, a ", ["b", " a "]),
        (["a\n"], "a\n,b", ["a\n", "b"]),
        ([], "s3://bucket/a,s3://bucket/b", ["s3://bucket/a", "s3://bucket/b"]),
    ],
)
def test_names_that_exist_are_not_split(here, files, source, expected):
    for name in files:
        (here / name).touch()
    assert split_paths(source) == expected


def test_a_long_list_is_split(here):
    names = [f"{number:04}-{'n' * 40}.jsonl" for number in range(200)]
    for name in names:
        (here / name).touch()
    found = channel_files(",".join(names), "train")
    assert [path.name for path in found] == names
    assert split_paths(",".join("n" * 300 for _ in range(3))) == 3 * ["n" * 300]


def test_a_name_with_magic_that_exists_is_no_pattern(here):
    for name in ("run[1]/a.jsonl", "run1/b.jsonl", "a[1].jsonl", "a1.jsonl", "*.txt"):
        path = here / name
        path.parent.mkdir(exist_ok=True)
        path.touch()

    def found(source):
        return [str(path) for path in channel_files(source, "train")]

    assert found("a[1].jsonl") == ["a[1].jsonl"]
    assert found("a[1].jsonl,a1.jsonl") == ["a[1].jsonl", "a1.jsonl"]
    assert found("*.txt") == ["*.txt"]
    assert found("run[1]") == ["run[1]/a.jsonl"]
    assert found("run[1]/*.jsonl") == ["run[1]/a.jsonl"]
    assert found("run[12]/*.jsonl") == ["run1/b.jsonl"]
    assert found(str(here / "run[1]/?.jsonl")) == [str(here / "run[1]/a.jsonl")]
    assert found("r*/*.jsonl") == ["run1/b.jsonl", "run[1]/a.jsonl"]


def test_names_that_are_not_utf8(here):
    name = os.fsdecode(b"bad\xff[1]\n")
    (here / name).mkdir()
    (here / name / "a.jsonl").touch()
    for source in (name, f"{name}/*.jsonl", f"{name}/a.jsonl", str(here / name)):
        assert [path.name for path in channel_files(source, "train")] == ["a.jsonl"]


def test_the_literal_start_of_a_pattern(here):
    (here / "a[1]" / "b").mkdir(parents=True)
    assert literal_start("a[1]/b/*/c") == (Path("a[1]/b"), "*/c")
    assert literal_start("a[2]/b") == (Path(), "a[2]/b")
    assert literal_start("a[1]") == (Path("a[1]"), "")
    assert match_paths("a[1]/*") == [Path("a[1]/b")]
    assert match_paths("none/*") == []


def test_hints(here, monkeypatch):
    monkeypatch.setenv("HOME", "/home/user")
    monkeypatch.setenv("DATA", "/data")
    monkeypatch.delenv("UNSET", raising=False)
    assert hint("~/a") == " Only a shell replaces ~. Write /home/user/a."
    assert hint("$HOME/a").endswith("Write /home/user/a.")
    assert hint("x/${DATA}/a").endswith("Write x//data/a.")
    assert hint("~no_such_user/a") == hint("$UNSET/a") == hint("a~b") == ""
    (here / "a b").touch()
    assert hint("a%20b") == " Names are not percent-encoded. Write a b."


@pytest.mark.parametrize("path", ["~/run", "$HOME/run", "${HOME}/run", "~"])
def test_a_path_that_only_a_shell_can_read_is_an_error(here, monkeypatch, path):
    monkeypatch.setenv("HOME", "/home/user")
    with pytest.raises(UserError, match=r"Only a shell replaces .* Write /home/user"):
        local_path(path)
    assert local_path(f"./{path}") == Path(path)
    (here / path.partition("/")[0]).mkdir()
    assert local_path(path) == Path(path)


def test_a_missing_file_comes_with_a_hint(here, monkeypatch):
    monkeypatch.setenv("DATA", "/data")
    with pytest.raises(ValueError, match=r"Check the path\. Only a shell replaces var"):
        channel_files("in/$DATA.jsonl", "train")


def test_urls_of_local_files(here):
    (here / "a.jsonl").touch()
    for url in ("file://", "file://localhost", "file:", "FILE://"):
        assert channel_files(f"{url}{here}/a.jsonl", "train") == [here / "a.jsonl"]


def test_what_exists(here):
    (here / "link").symlink_to("none")
    assert not exists("link")
    assert not exists("n" * 5000)
    assert not exists("a\0b")
    assert exists(".")
