"""Tests of object2vec_tf/files/uploads.py: copies of local files on remote systems."""

from pathlib import Path

import pytest

from object2vec_tf.errors import UserError
from object2vec_tf.files.downloads import staged_file
from object2vec_tf.files.staging import staging_directory
from object2vec_tf.files.uploads import (
    check_remote_writable,
    delete_file,
    local_output,
    next_remote_version,
    read_bytes,
    remote_versions,
    upload_directory,
)


@pytest.fixture
def puts(remote, monkeypatch):
    """The paths that are written, in order."""
    paths = []
    put_file = type(remote).put_file
    monkeypatch.setattr(
        type(remote),
        "put_file",
        lambda self, local, path, **kwargs: (
            paths.append(path),
            put_file(self, local, path, **kwargs),
        ),
    )
    return paths


def test_a_directory_is_uploaded_with_its_last_files_last(remote, puts, tmp_path):
    for name in ("saved_model.pb", "variables/x", "z"):
        (tmp_path / "m" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "m" / name).write_text(name)
    upload_directory(tmp_path / "m", "memory://b/1", ("saved_model.pb",))
    assert puts[-1] == "/b/1/saved_model.pb"
    assert remote.cat("/b/1/variables/x") == b"variables/x"
    assert sorted(puts) == ["/b/1/saved_model.pb", "/b/1/variables/x", "/b/1/z"]


def test_versions_are_numbered_on(remote):
    remote.pipe("/b/7/saved_model.pb", b"")
    remote.pipe("/b/notes/saved_model.pb", b"")
    assert remote_versions("memory://b") == [7]
    with next_remote_version("memory://b", ()) as (temporary, path):
        (temporary / "saved_model.pb").write_text("graph")
    assert f"{path}" == "memory://b/8"
    assert remote.cat("/b/8/saved_model.pb") == b"graph"
    assert (path / "saved_model.pb").read_text() == "graph"


def test_a_failed_export_leaves_nothing(remote):
    with pytest.raises(RuntimeError), next_remote_version("memory://b", ()):
        raise RuntimeError
    assert remote.find("/b") == []
    assert not any((staging_directory() / "outputs").iterdir())


def test_an_output_file_is_uploaded_when_it_is_complete(remote, tmp_path):
    with local_output("memory://b/out.jsonl") as path:
        path.write_text("line")
        assert f"{path}" == "memory://b/out.jsonl"
        assert not remote.exists("/b/out.jsonl")
    assert remote.cat("/b/out.jsonl") == b"line"
    assert not any(file.is_file() for file in staging_directory().rglob("*"))
    with local_output(tmp_path / "out") as path:
        assert path == tmp_path / "out"


def test_an_output_that_cannot_be_uploaded_is_kept(remote, monkeypatch):
    def denied(*_, **__):
        raise PermissionError("Access Denied")

    def write():
        with local_output("memory://b/out.jsonl") as path:
            path.write_text("line")
            monkeypatch.setattr(type(remote), "put_file", denied)

    with pytest.raises(UserError, match="The result is in") as error:
        write()
    kept = str(error.value).partition("The result is in ")[2].removesuffix(".")
    assert Path(kept).read_text() == "line"


def test_names_may_be_longer_than_those_of_local_files(remote):
    url = f"memory://b/{400 * 'd'}/{400 * 'n'}.jsonl"
    with local_output(url) as path:
        path.write_text("line")
        assert f"{path}" == url
        assert path.suffix == ".jsonl"
    assert remote.cat(url.removeprefix("memory:/")) == b"line"
    assert staged_file(url).read_text() == "line"


def test_a_directory_is_no_output_file(remote):
    with pytest.raises(UserError, match="expected a file"):
        local_output("memory://b/").__enter__()


def test_the_check_of_a_directory_leaves_nothing(remote):
    check_remote_writable("memory://b/exports", "export_dir")
    assert remote.find("/b") == []


def test_the_permission_to_delete_is_checked_where_it_is_needed(remote, monkeypatch):
    def denied(*_, **__):
        raise PermissionError("Access Denied")

    monkeypatch.setattr(type(remote), "rm_file", denied)
    check_remote_writable("memory://b/exports", "export_dir")
    with pytest.raises(UserError, match="cannot be deleted: Access Denied"):
        check_remote_writable("memory://b/run", "model_dir", deletes=True)


def test_files_that_do_not_exist(remote):
    assert read_bytes("memory://b/x") is None
    delete_file("memory://b/x")
