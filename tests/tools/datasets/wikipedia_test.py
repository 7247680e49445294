"""Tests of tools/datasets/wikipedia.py on handwritten articles.

The sentences have these md5 modulo 100: ONE 44, TWO 27, FOUR 94 (train), THREE 16
(validation), EIGHT 1 (test).
"""

import bz2
import json
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tools.datasets import wikipedia
from tools.datasets.sources import DatasetError

ONE = "The cat has seen one mice."
TWO = "The cat has seen two mice."
THREE = "The cat has seen three mice."
FOUR = "The cat has seen four mice."
EIGHT = "Red birds like eight blue flowers."


def page(text: str, kind: str = "0", more: str = "", title: str = "T") -> str:
    return (
        f"<page><title>{title}</title><ns>{kind}</ns><id>1</id>{more}"
        f"<revision><id>2</id><text>{text}</text></revision></page>"
    )


PAGES = [
    page(f"{ONE} {THREE}\n\n{TWO} {EIGHT} {ONE}", title="Cats &amp; mice"),
    page(f"{FOUR} {EIGHT}\n\n{TWO}", title=" Four\n mice"),
    page(f"{ONE} {EIGHT}"),  # only one training sentence
    page(f"#REDIRECT [[T]] {ONE} {TWO}", more="<redirect title='T' />"),
    page(f"{ONE} {TWO}", kind="4"),
    page(""),
]
DUMP = f"""\
<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.10/" version="0.10">
<siteinfo><namespaces>
<namespace key="0" /><namespace key="6">Datei</namespace>
</namespaces></siteinfo>
{"".join(PAGES)}
</mediawiki>
""".encode()


@pytest.fixture(autouse=True)
def _parser() -> None:
    pytest.importorskip("mwparserfromhell", reason="pip install '.[datasets]'")


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    path = tmp_path / "pages-articles.xml.bz2"
    path.write_bytes(bz2.compress(DUMP))
    return path


def read_rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").split("\n")[:-1]]


def row(sentence: str, *article: str) -> dict[str, Any]:
    return {"in0": sentence, "in1": " ".join(article), "label": 1}


def test_sentences_are_paired_with_articles_without_held_out_sentences(
    dump: Path, tmp_path: Path
) -> None:
    wikipedia.prepare(tmp_path / "out", dump)

    assert read_rows(tmp_path / "out/train.jsonl") == [
        row(ONE, TWO),
        row(TWO, ONE, ONE),
        row(FOUR, TWO),
        row(TWO, FOUR),
    ]
    assert read_rows(tmp_path / "out/validation.jsonl") == [row(THREE, ONE, TWO, ONE)]
    assert read_rows(tmp_path / "out/test.jsonl") == [
        row(EIGHT, ONE, TWO, ONE),
        row(EIGHT, FOUR, TWO),
    ]
    assert read_rows(tmp_path / "out/articles.jsonl") == [
        {"in1": f"{ONE} {TWO} {ONE}"},
        {"in1": f"{FOUR} {TWO}"},
    ]


def test_titles_are_in_the_order_of_the_articles(dump: Path, tmp_path: Path) -> None:
    wikipedia.prepare(tmp_path / "out", dump)

    titles = (tmp_path / "out/titles.tsv").read_text("utf-8")
    assert titles == "Cats & mice\nFour mice\n"


def test_counts_are_printed(
    dump: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wikipedia.prepare(tmp_path / "out", dump)

    shown = capsys.readouterr().out
    assert "articles: 2\n" in shown
    assert "articles with too few sentences: 1\n" in shown


@pytest.mark.parametrize(
    ("words", "article"),
    [(7, f"{ONE} The"), (6, ONE), (3, "The cat has"), (0, f"{ONE} {TWO} {ONE}")],
)
def test_articles_are_truncated(
    dump: Path, tmp_path: Path, words: int, article: str
) -> None:
    wikipedia.prepare(tmp_path / "out", dump, words)

    assert read_rows(tmp_path / "out/validation.jsonl") == [row(THREE, article)]


def test_excerpt_is_read_from_the_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pip(command: tuple[str, ...], **_: Any) -> subprocess.CompletedProcess[str]:
        assert command[-1] == "gensim==4.4.0"
        folder = Path(command[command.index("--dest") + 1])
        with zipfile.ZipFile(folder / "gensim-4.4.0.whl", "w") as wheel:
            wheel.writestr(wikipedia.IN_WHEEL, bz2.compress(DUMP))
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", pip)

    wikipedia.prepare(tmp_path / "out")

    assert len(read_rows(tmp_path / "out/articles.jsonl")) == 2


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (bz2.compress(DUMP[:-20]), "expected a complete XML file"),
        (bz2.compress(DUMP)[:-20], "cannot be read"),
        (DUMP, "cannot be read"),
        (bz2.compress(b"<mediawiki></mediawiki>"), "expected articles, got none"),
        (bz2.compress(b""), "expected a complete XML file"),
    ],
)
def test_error_names_the_bad_dump_and_nothing_is_written(
    dump: Path, tmp_path: Path, content: bytes, reason: str
) -> None:
    dump.write_bytes(content)

    with pytest.raises(DatasetError, match=rf"articles\.xml\.bz2: {reason}"):
        wikipedia.prepare(tmp_path / "out", dump)

    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_other_wheel_is_an_error(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "other.whl", "w") as wheel:
        wheel.writestr("README", "")

    with pytest.raises(DatasetError, match=r"other\.whl: expected gensim/.*==4\.4"):
        wikipedia.prepare(tmp_path / "out", tmp_path / "other.whl")


@pytest.mark.long
@pytest.mark.network
def test_real_excerpt(tmp_path: Path) -> None:
    wikipedia.prepare(tmp_path)

    train, validation, test = (
        read_rows(tmp_path / f"{part}.jsonl") for part in wikipedia.PARTS
    )
    pool = [row["in1"] for row in read_rows(tmp_path / "articles.jsonl")]
    assert 90 <= len(pool) == len(set(pool)) <= 106
    assert 12_000 < len(train) < 20_000
    for part in (validation, test):
        assert 0.1 < len(part) / len(train) < 0.15
        assert all(row["in1"] in pool for row in part)
        assert not any(row["in0"] in text for row in part for text in pool)
