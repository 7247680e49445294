"""Tests of object2vec_tf/files/channels.py: the files of a channel, and their bytes."""

import gzip
import io
from pathlib import Path

import pytest
import zstandard

from object2vec_tf.errors import DataError
from object2vec_tf.files.channels import channel_files, open_file


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in (
        "b.jsonl",
        "a.jsonl",
        "deep/er/c.jsonl",
        "deep/d.txt",
        ".hidden",
        "_SUCCESS",
        "deep/.git/config",
        "_temporary/part-0",
        "with,comma.jsonl",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path


def names(root: Path, files: list[Path]) -> list[str]:
    return [path.relative_to(root).as_posix() for path in files]


def test_a_file_is_a_channel_of_one_file(root: Path):
    assert channel_files(root / "a.jsonl", "train") == [root / "a.jsonl"]
    assert channel_files(str(root / "a.jsonl"), "train") == [root / "a.jsonl"]


def test_a_directory_means_all_files_below_it_without_hidden_and_marker_files(
    root: Path,
):
    assert names(root, channel_files(root, "train")) == [
        "a.jsonl",
        "b.jsonl",
        "deep/d.txt",
        "deep/er/c.jsonl",
        "with,comma.jsonl",
    ]


def test_a_hidden_directory_that_is_given_is_read(root: Path):
    found = channel_files(root / "deep/.git", "train")
    assert names(root, found) == ["deep/.git/config"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("?.jsonl", ["a.jsonl", "b.jsonl"]),
        ("**/c.jsonl", ["deep/er/c.jsonl"]),
        ("deep/*", ["deep/d.txt", "deep/er/c.jsonl"]),
        ("with,comma.jsonl", ["with,comma.jsonl"]),
    ],
)
def test_a_glob_matches_files_in_the_order_of_their_names(
    root: Path, pattern: str, expected: list[str]
):
    assert names(root, channel_files(f"{root}/{pattern}", "train")) == expected


def test_several_sources_keep_their_order(root: Path):
    b, a, deep = root / "b.jsonl", root / "a.jsonl", root / "deep"
    expected = ["b.jsonl", "deep/d.txt", "deep/er/c.jsonl", "a.jsonl"]
    assert names(root, channel_files([b, deep, a], "train")) == expected
    assert names(root, channel_files(f"{b}, {deep},{a},", "train")) == expected
    assert names(root, channel_files([str(b), f"{deep},{a}"], "train")) == expected


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("", "no file given"),
        (" , ", "no file given"),
        ([], "no file given"),
        ("/no/such.jsonl", "/no/such.jsonl: no such file or directory. Check"),
        ("/no/*.jsonl", r"/no/\*.jsonl: no file matches. Check the path"),
    ],
)
def test_a_missing_file_is_an_error_that_names_the_channel(
    source: str | list[str], problem: str
):
    with pytest.raises(DataError, match=f"^validation: {problem}"):
        channel_files(source, "validation")


@pytest.mark.parametrize("source", ["", "deep", "*", "lost.jsonl"])
def test_a_broken_link_is_an_error_that_names_it(root: Path, source: str):
    (root / "_link").symlink_to("nothing")
    channel_files(root, "train")
    (root / "_link").unlink()
    for link in (root / "lost.jsonl", root / "deep/lost.jsonl"):
        link.symlink_to("nothing")
    link = "deep/lost.jsonl" if source == "deep" else r".*lost.jsonl"
    with pytest.raises(DataError, match=rf"^train: {root}/{link}: a symbolic link to"):
        channel_files(f"{root}/{source}", "train")


def test_a_link_to_a_file_is_read(root: Path):
    (root / "deep/link.jsonl").symlink_to(root / "a.jsonl")
    found = names(root, channel_files(root / "deep", "train"))
    assert found == ["deep/d.txt", "deep/er/c.jsonl", "deep/link.jsonl"]


def test_a_directory_with_only_marker_files_is_an_error(tmp_path: Path):
    (tmp_path / "_SUCCESS").touch()
    with pytest.raises(DataError, match=r"^train: .*: the directory has no data"):
        channel_files(tmp_path, "train")


TEXT = b"first\nsecond\n" * 50


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


def zstd_stream(data: bytes) -> bytes:
    """A frame without its length, as a pipe writes it."""
    target = io.BytesIO()
    with zstandard.ZstdCompressor().stream_writer(target, closefd=False) as writer:
        writer.write(data)
    return target.getvalue()


# A skippable frame, which readers must ignore (RFC 8878, 3.1.2).
SKIPPED = b"\x50\x2a\x4d\x18" + (3).to_bytes(4, "little") + b"abc"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("plain.jsonl", TEXT),
        ("one.gz", gzip.compress(TEXT)),
        ("members.gz", gzip.compress(TEXT[:77]) + gzip.compress(TEXT[77:])),
        ("one.zst", zstd(TEXT)),
        ("frames.zst", zstd(TEXT[:77]) + zstd(TEXT[77:])),
        ("skipped.zst", SKIPPED + zstd(TEXT) + SKIPPED),
        ("streamed.zst", zstd_stream(TEXT[:77]) + zstd_stream(TEXT[77:])),
    ],
)
def test_a_file_is_decompressed(tmp_path: Path, name: str, content: bytes):
    path = tmp_path / name
    path.write_bytes(content)
    with open_file(path) as stream:
        assert stream.read() == TEXT


@pytest.mark.parametrize("name", ["x.jsonl", "x.gz", "x.zst"])
def test_a_file_that_cannot_be_opened_is_an_error_that_names_it(
    tmp_path: Path, name: str
):
    path = tmp_path / name
    with pytest.raises(DataError, match=f"{name}: cannot be opened: No such file"):
        open_file(path)


def test_gzip_is_detected_without_a_suffix(tmp_path: Path):
    path = tmp_path / "part-0"
    path.write_bytes(gzip.compress(b'{"in0": [1]}\n') + gzip.compress(b"{}\n"))
    with open_file(path) as file:
        assert file.read() == b'{"in0": [1]}\n{}\n'
