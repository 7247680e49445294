import subprocess
import sys
import urllib.error
import urllib.request
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.tools.datasets.movielens_data import (
    FIRST_ITEM,
    LAST_ITEM,
    ratings_in_file_order,
    write_wheel,
)
from tools.datasets import movielens_raw
from tools.datasets.sources import DatasetError


def test_wheel_zip_and_directory_give_the_same_data(
    unpacked: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "ml-100k.zip"
    with zipfile.ZipFile(archive, "w") as writer:
        for name in ("u.data", "u.item"):
            writer.write(unpacked / name, f"ml-100k/{name}")
    wheel = write_wheel(tmp_path / "recbole-1.2.1-py3-none-any.whl")

    sources = [movielens_raw.read_source(path) for path in (unpacked, archive, wheel)]

    for source in sources:
        assert source.ratings == ratings_in_file_order()
        assert source.titles == {
            item: f"Café {item} (1993)" for item in range(FIRST_ITEM, LAST_ITEM + 1)
        }
        assert source.genres == {
            item: ["Comedy", "Drama"] for item in range(FIRST_ITEM, LAST_ITEM + 1)
        }


@pytest.mark.parametrize(
    ("fields", "title"),
    [
        ("Star Wars\t1977\tWar", "Star Wars (1977)"),
        ("Land Before Time III (1995)\tV\tComedy", "Land Before Time III (1995) (V)"),
        ("Heat\t\tCrime", "Heat"),
        ("Heat", "Heat"),
        ("unkonwn\tunkonwn\tunknown", "unknown"),
    ],
)
def test_recbole_titles_are_joined_with_their_years(fields: str, title: str) -> None:
    content = f"header\n7\t{fields}\n".encode()

    assert movielens_raw.parse_recbole_titles(content, "ml-100k.item") == {7: title}


@pytest.mark.parametrize(
    ("fields", "genres"),
    [
        ("Heat\t1995\tCrime Film-Noir", ["Crime", "Film-Noir"]),
        ("Heat\t1995\t", []),
        ("Heat", []),
        ("unkonwn\tunkonwn\tunkonwn", ["unknown"]),
    ],
)
def test_recbole_genres_are_separated_by_spaces(fields: str, genres: list[str]) -> None:
    content = f"header\n7\t{fields}\n".encode()

    assert movielens_raw.parse_recbole_genres(content, "ml-100k.item") == {7: genres}


def test_items_without_columns_of_genres_have_none() -> None:
    assert movielens_raw.parse_genres(b"7|Heat (1995)", "u.item") == {7: []}


@pytest.mark.parametrize("line", [b"1\t2\t3", b"1\t2\t3\t4\t5", b"1\t2\tgood\t4", b""])
def test_malformed_rating_is_reported_with_file_and_line(line: bytes) -> None:
    with pytest.raises(DatasetError, match=r"^u\.data:2: .*, got b'") as caught:
        movielens_raw.parse_ratings(b"1\t2\t3\t4\n" + line + b"\n", "u.data")

    assert repr(line) in str(caught.value)


@pytest.mark.parametrize("line", [b"7", b"seven|Heat (1995)|"])
def test_malformed_item_is_reported_with_file_and_line(line: bytes) -> None:
    with pytest.raises(DatasetError, match=r"^u\.item:1: .*, got b'"):
        movielens_raw.parse_titles(line, "u.item")


def refuse_connection(url: str, timeout: float) -> None:
    assert timeout <= 10
    raise urllib.error.URLError("Name or service not known")


def test_download_falls_back_to_the_wheel(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def pip(
        command: Sequence[str], *, env: dict[str, str], **_: Any
    ) -> subprocess.CompletedProcess[str]:
        assert command[:4] == (sys.executable, "-m", "pip", "download")
        assert "--no-deps" in command
        assert command[-1] == "recbole==1.2.1"
        assert env["PIP_DISABLE_PIP_VERSION_CHECK"] == "1"
        folder = Path(command[command.index("--dest") + 1])
        write_wheel(folder / "recbole-1.2.1-py3-none-any.whl")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(urllib.request, "urlopen", refuse_connection)
    monkeypatch.setattr(subprocess, "run", pip)

    raw = movielens_raw.download()

    assert raw.origin == "recbole-1.2.1-py3-none-any.whl"
    assert raw.ratings == ratings_in_file_order()
    choice, reason = capsys.readouterr().out.splitlines()
    assert "copy in the wheel of recbole==1.2.1" in choice
    assert "Name or service not known" in reason


def test_download_prefers_grouplens(
    unpacked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "source.zip"
    with zipfile.ZipFile(archive, "w") as writer:
        for name in ("u.data", "u.item"):
            writer.write(unpacked / name, f"ml-100k/{name}")
    monkeypatch.setattr(
        urllib.request, "urlopen", lambda url, timeout: archive.open("rb")
    )

    raw = movielens_raw.download()

    assert raw.origin == movielens_raw.URL
    assert raw.ratings == ratings_in_file_order()


def test_error_has_the_last_lines_of_a_failed_pip(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refusal = "ERROR: No matching distribution found for recbole==1.2.1"
    lines = "\n".join([*(f"line {n}" for n in range(9)), refusal])
    monkeypatch.setattr(urllib.request, "urlopen", refuse_connection)
    monkeypatch.setattr(
        subprocess,
        "run",
        lambda command, **_: subprocess.CompletedProcess(command, 1, "", lines),
    )

    with pytest.raises(DatasetError) as caught:
        movielens_raw.download()

    message = str(caught.value)
    assert message.endswith(refusal)
    assert "line 5" in message
    assert "line 4" not in message
    assert "--source" in message
