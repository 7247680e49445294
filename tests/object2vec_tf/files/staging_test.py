"""Tests of object2vec_tf/files/staging.py: local copies of remote files."""

import os
import pickle
import time
from pathlib import Path

import pytest

from object2vec_tf.errors import UserError
from object2vec_tf.files import staging


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("OBJECT2VEC_TF_STAGING", str(tmp_path))
    return tmp_path


def test_messages_have_the_url_and_files_the_path(root):
    path = staging.register(root / "runs" / "1", "memory://bucket/run/")
    assert f"{path / 'a.txt'}" == "memory://bucket/run/a.txt"
    assert f"{path.parent}" == str(root / "runs")
    assert (
        str(path / "a.txt") == os.fspath(path / "a.txt") == str(root / "runs/1/a.txt")
    )
    assert (
        staging.with_urls(f"x {root}/runs/1/a.txt y") == "x memory://bucket/run/a.txt y"
    )
    path.mkdir(parents=True)
    (path / "a.txt").write_text("text")
    assert [f"{file}" for file in path.iterdir()] == ["memory://bucket/run/a.txt"]
    assert pickle.loads(pickle.dumps(path)) == path == Path(path)


def test_the_directory_is_in_the_cache_directory_by_default(tmp_path, monkeypatch):
    monkeypatch.delenv("OBJECT2VEC_TF_STAGING")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert staging.staging_directory() == tmp_path / "cache/object2vec_tf"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert staging.staging_directory() == tmp_path / ".cache/object2vec_tf"
    monkeypatch.setenv("HOME", "/nonexistent")
    assert f"object2vec_tf-{os.getuid()}" in str(staging.staging_directory())


def test_old_copies_and_those_over_the_limit_are_removed(root, monkeypatch):
    monkeypatch.setenv("OBJECT2VEC_TF_STAGING_GB", "2.5e-6")  # 2,500 bytes
    now = time.time()
    hour = 3600
    for name, hours in {
        "now": 0,
        "used": 2,
        "big": 30,
        "bigger": 40,
        "old": 800,
    }.items():
        (root / name).mkdir()
        (root / name / "file").write_bytes(bytes(1000))
        os.utime(root / name, (now - hours * hour,) * 2)
    staging.clean(root)
    assert {path.name for path in root.iterdir()} == {"now", "used"}


def test_copies_that_a_process_uses_are_not_removed(root):
    for name in ("used", "unused"):
        (root / name).mkdir()
        os.utime(root / name, (0, 0))
    assert staging.protect(root / "used")
    assert staging.protect(root / "used")
    assert not staging.protect(root / "missing")
    staging.clean(root)
    assert {path.name for path in root.iterdir()} == {"used"}


def test_a_limit_that_is_no_number_is_an_error(root, monkeypatch):
    monkeypatch.setenv("OBJECT2VEC_TF_STAGING_GB", "much")
    with pytest.raises(UserError, match="OBJECT2VEC_TF_STAGING_GB: expected gigabytes"):
        staging.make_directory("inputs")


def test_a_directory_that_cannot_be_made_is_an_error(root, monkeypatch):
    (root / "file").touch()
    monkeypatch.setenv("OBJECT2VEC_TF_STAGING", str(root / "file"))
    with pytest.raises(UserError, match="Set OBJECT2VEC_TF_STAGING"):
        staging.make_directory("inputs")


def test_names_of_other_encodings_are_shown_as_far_as_they_are_utf8():
    in_ascii_locale = "räß".encode().decode("ascii", "surrogateescape")
    assert staging.local_name(f"/tmp/{in_ascii_locale}") == "räß"
    assert staging.local_name("/tmp/data\udce9 1") == "data 1"
    assert staging.local_name("/tmp/\udce9") == "unnamed"
    assert len(staging.digest(in_ascii_locale)) == 24
