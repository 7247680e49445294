"""Tests of tools/datasets/sources.py; they use only the loopback network."""

import bz2
import gzip
import lzma
import socket
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tools.datasets import sources
from tools.datasets.sources import DatasetError


def serve_once(answer: bytes) -> str:
    """Serves ``answer`` for one request; returns the URL."""
    listener = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        with listener, listener.accept()[0] as connection:
            connection.recv(65_536)
            connection.sendall(answer)

    threading.Thread(target=run, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}/set.zip"


def test_fetch_writes_the_response_body(tmp_path: Path) -> None:
    url = serve_once(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello")

    sources.fetch(url, tmp_path / "set.zip")

    assert (tmp_path / "set.zip").read_bytes() == b"hello"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.0 404 Not Found\r\n\r\n", "404: Not Found.* pass it as --source"),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\nhello", "ended 4 bytes early"),
        (b"no such protocol\r\n\r\n", "pass it as --source"),
    ],
)
def test_fetch_reports_the_reason_of_a_failure(
    tmp_path: Path, answer: bytes, reason: str
) -> None:
    url = serve_once(answer)

    with pytest.raises(DatasetError, match=reason) as caught:
        sources.fetch(url, tmp_path / "set.zip")

    assert str(caught.value).startswith(f"cannot fetch {url}: ")


@pytest.mark.parametrize(
    ("name", "compress"),
    [
        ("set.txt", bytes),
        ("set.txt.gz", gzip.compress),
        ("set.txt.bz2", bz2.compress),
        ("set.txt.xz", lzma.compress),
    ],
)
def test_lines_are_read_with_their_locations(
    tmp_path: Path, name: str, compress: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / name
    path.write_bytes(compress("café\r\n\nthé\u2028vert\n".encode()))

    assert list(sources.read_lines(path)) == [
        (f"{path}:1", "café"),
        (f"{path}:2", ""),
        (f"{path}:3", "thé\u2028vert"),
    ]


def test_lines_of_a_file_in_a_zip_are_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr("folder/set.txt.gz", gzip.compress(b"one\ntwo\n"))

    with sources.open_tree(tmp_path / "set.zip", "set.zip", "a zip") as root:
        member = sources.find_file(root, "set.txt", "folder/set.txt")
        assert member is not None
        assert [line for _, line in sources.read_lines(member)] == ["one", "two"]


@pytest.mark.parametrize("name", ["set.gz", "set.bz2", "set.xz"])
def test_error_names_the_damaged_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"not compressed")

    with pytest.raises(
        DatasetError, match=rf"{name}: cannot be read: .* complete copy"
    ):
        list(sources.read_lines(tmp_path / name))


def test_error_names_the_truncated_file(tmp_path: Path) -> None:
    (tmp_path / "set.gz").write_bytes(gzip.compress(b"one\n" * 999)[:-9])

    with pytest.raises(
        DatasetError, match=r"set\.gz: cannot be read: .* complete copy"
    ):
        list(sources.read_lines(tmp_path / "set.gz"))


def test_error_for_invalid_utf8_has_the_line(tmp_path: Path) -> None:
    (tmp_path / "set.txt").write_bytes(b"one\ntw\xff\n")

    with pytest.raises(
        DatasetError, match=r"set\.txt:2: expected UTF-8, got .* at byte 2"
    ):
        list(sources.read_lines(tmp_path / "set.txt"))


def test_error_names_the_missing_source(tmp_path: Path) -> None:
    with (
        pytest.raises(DatasetError, match=r"^cannot read here: No such file.*a zip\.$"),
        sources.open_tree(tmp_path / "none.zip", "here", "a zip"),
    ):
        pass
