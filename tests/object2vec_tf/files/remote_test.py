"""Tests of object2vec_tf/files/remote.py: URLs, and errors of remote file systems."""

import http.server
import os
import socket
import threading
from pathlib import Path

import pytest

from object2vec_tf.errors import UserError
from object2vec_tf.files import remote
from object2vec_tf.files.channels import channel_files
from object2vec_tf.files.remote import (
    RemoteError,
    absolute,
    attempt,
    is_remote,
    join_url,
    local_path,
    open_filesystem,
)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(remote.time, "sleep", lambda seconds: None)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("s3://bucket/run", True),
        ("S3://bucket/run", True),
        ("hf://datasets/user/name@main/x.parquet", True),
        ("memory://a", True),
        ("data/train.jsonl", False),
        ("/data/a:b/train.jsonl", False),
        ("file:///data/train.jsonl", False),
        ("local:///data", False),
        ("C:/data", False),
        (Path("data"), False),
        ("", False),
    ],
)
def test_urls_are_remote(path, expected):
    assert is_remote(path) is expected


@pytest.mark.parametrize("url", ["s3://", "s3:///", "memory://", "memory:////"])
def test_a_url_without_a_name_is_an_error(url):
    with pytest.raises(UserError, match="got one without a name"):
        is_remote(url)


@pytest.mark.parametrize("url", ["s3://bucket/..", "s3://bucket/a/../b", "s3://b/./a"])
def test_a_url_with_relative_names_is_an_error(url):
    with pytest.raises(UserError, match=r"without the names \. and \.\."):
        is_remote(url)
    assert is_remote("s3://bucket/..a/b..") is True


def test_a_path_that_lost_a_slash_is_an_error():
    with pytest.raises(UserError, match=r"expected s3://\.\.\., got a single slash"):
        is_remote(Path("s3://bucket/run"))


def test_a_local_directory_may_be_named_like_a_scheme(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s3:").mkdir()
    assert not is_remote("s3:/new")


def test_a_chained_url_is_an_error():
    with pytest.raises(UserError, match="expected a path or a URL"):
        is_remote("simplecache::s3://bucket/run")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("file:///data/x", "/data/x"),
        ("file:/data/x", "/data/x"),
        ("file://data/x", "data/x"),
        ("data/x", "data/x"),
    ],
)
def test_file_urls_are_local_paths(path, expected):
    assert local_path(path) == Path(expected)


def test_a_url_is_no_local_path():
    with pytest.raises(UserError, match=r"^cache_dir: expected a local path, got the"):
        local_path("s3://bucket/cache", "cache_dir")


def test_absolute_keeps_urls():
    assert absolute("s3://bucket/run") == "s3://bucket/run"
    assert absolute("run") == f"{Path.cwd()}/run"
    assert join_url("s3://bucket/run/", "a", "b") == "s3://bucket/run/a/b"


def test_an_unknown_scheme_is_an_error():
    with pytest.raises(UserError, match="unknown scheme nosuch"):
        open_filesystem("nosuch://bucket/run")


def test_a_missing_package_is_named(monkeypatch):
    registry = pytest.importorskip("fsspec.registry")
    entry = {"class": "no_such_package.FileSystem", "err": "Install no_such_package"}
    monkeypatch.setitem(registry.known_implementations, "nosuch", entry)
    with pytest.raises(UserError, match=r"Run: pip install no_such_package$"):
        open_filesystem("nosuch://bucket/run")


def test_errors_that_may_pass_are_tried_again():
    errors = [ConnectionError("reset"), TimeoutError("slow"), ConnectionError("reset")]

    def action():
        if errors:
            raise errors.pop()
        return "content"

    assert attempt(action, "s3://bucket/x", "read") == "content"


def test_an_error_that_stays_names_the_url():
    calls = []

    def action():
        calls.append(1)
        raise ConnectionError("connection\nreset")

    with pytest.raises(RemoteError) as error:
        attempt(action, "s3://bucket/x", "written")
    assert len(calls) == 1 + len(remote.PAUSES)
    assert str(error.value) == (
        "s3://bucket/x: cannot be written: connection reset. Check the network, the "
        "endpoint and the path."
    )


class NoCredentialsError(Exception):
    """botocore's, by name."""


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (FileNotFoundError("The specified bucket does not exist"), "Check the bucket"),
        (PermissionError("Access Denied"), "permissions"),
        (NoCredentialsError("Unable to locate credentials"), "Set the credentials"),
        (OSError(28, os.strerror(28)), "Free disk space"),
    ],
)
def test_permanent_errors_are_not_tried_again(error, advice):
    calls = []

    def action():
        calls.append(1)
        raise error

    with pytest.raises(RemoteError, match=advice):
        attempt(action, "s3://bucket/x", "written")
    assert len(calls) == 1


class _Answers(http.server.BaseHTTPRequestHandler):
    """Answers every request with the status in its path."""

    def do_GET(self):
        self.server.requests += 1
        self.send_error(int(self.path.strip("/").partition("/")[0]))

    do_HEAD = do_GET

    def log_message(self, *_):
        """Prints nothing."""


@pytest.fixture
def answers():
    """A server of HTTP, its address, and the number of requests it got."""
    pytest.importorskip("aiohttp")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answers) as server:
        server.requests = 0
        threading.Thread(target=server.serve_forever, args=[0.01]).start()
        server.address = f"http://127.0.0.1:{server.server_port}"
        yield server
        server.shutdown()


def test_a_refused_connection_is_no_missing_file(answers, monkeypatch):
    monkeypatch.setattr(remote, "PAUSES", (0.0, 0.0))
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # and does not listen
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/a.jsonl"
        with pytest.raises(RemoteError, match=r"cannot be listed: Connect call failed"):
            channel_files(url, "train")


@pytest.mark.parametrize(
    ("status", "expected", "attempts"),
    [
        (404, "train: .*: no such file or directory. Check the path", 1),
        (401, "cannot be listed: 401, .* Check the credentials", 1),
        (403, "cannot be listed: 403, .* Check the credentials", 1),
        (503, "cannot be listed: 503, .* Check the network", 3),
        (429, "cannot be listed: 429, .* Check the network", 3),
    ],
)
def test_answers_of_http_servers(answers, monkeypatch, status, expected, attempts):
    monkeypatch.setattr(remote, "PAUSES", (0.0, 0.0))
    with pytest.raises(UserError, match=expected):
        channel_files(f"{answers.address}/{status}/a.jsonl", "train")
    assert answers.requests == 2 * attempts  # HEAD and GET
