"""Tests of tools/datasets/debian.py on handwritten lists.

The sources have these md5 modulo 100: a 97 and b 43 (train), m 11
(validation), j 5 (test).
"""

import gzip
import json
import lzma
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tools.datasets import debian
from tools.datasets.sources import DatasetError

FIFTEEN = "One two three four five six seven eight nine ten eleven 12 thirteen 14"

PACKAGES = """\
Package: a-tool
Source: a (1.2-3)
Description: in short only
Description-md5: 1
Tag: role::program, made-of::{icon, data},
 use::editing

Package: a-doc
Source: a
Description-md5: 2
Tag: role::program

Package: b
Description-md5: 3
Tag: role::program, use::editing, rare::tag

Package: brief
Description-md5: 4

Package: b-same
Description-md5: 5

Package: few
Description-md5: 6

Package: j-utils
Source: j
Description-md5: 7
Tag: use::editing, rare::tag

Package: libm
Source: m
Description-md5: 8
Tag: role::program

Package: none
Description-md5: 404
"""

TRANSLATION = f"""\
Package: a-tool
Description-md5: 1
Description-en: Tool for "a" things
 {FIFTEEN} tool.
 .
   * with   points

Package: a-doc
Description-md5: 2
Description-en: Pages on a
 {FIFTEEN} doc.

Package: b
Description-md5: 3
Description-en: Blue café bar
 {FIFTEEN} b.

Package: brief
Description-md5: 4
Description-en: Only two
 {FIFTEEN} brief.

Package: b-same
Description-md5: 5
Description-en: Another short text
 {FIFTEEN.upper()},
 b!

Package: few
Description-md5: 6
Description-en: Three words here
 {FIFTEEN}.

Package: j-utils
Description-md5: 7
Description-en: Utilities of j
 {FIFTEEN} j.

Package: libm
Description-md5: 8
Description-en: Library of m
 {FIFTEEN} m.
"""

PARTS = ("train", "validation", "test")
A_TOOL = f"{FIFTEEN} tool. * with points"


def prepare(output: Path, source: Path) -> None:
    debian.prepare(output, source, min_tag_uses=2)


def write_lists(
    folder: Path, suffix: str = "", pack: Callable[[bytes], bytes] = bytes
) -> Path:
    folder.mkdir()
    for name, text in (("Packages", PACKAGES), ("i18n_Translation-en", TRANSLATION)):
        (folder / f"mirror_main_{name}{suffix}").write_bytes(pack(text.encode()))
    (folder / "mirror_InRelease").write_text("Origin: Debian\n")
    return folder


def read_rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").split("\n")[:-1]]


@pytest.mark.parametrize(
    ("suffix", "pack"), [("", bytes), (".gz", gzip.compress), (".xz", lzma.compress)]
)
def test_retrieval_pairs_short_with_long_description(
    tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]
) -> None:
    prepare(tmp_path / "out", write_lists(tmp_path / "lists", suffix, pack))

    found = {
        part: read_rows(tmp_path / f"out/retrieval/{part}.jsonl") for part in PARTS
    }
    assert found == {
        "train": [
            {"in0": "Pages on a", "in1": f"{FIFTEEN} doc.", "label": 1},
            {"in0": 'Tool for "a" things', "in1": A_TOOL, "label": 1},
            {"in0": "Blue café bar", "in1": f"{FIFTEEN} b.", "label": 1},
        ],
        "validation": [{"in0": "Library of m", "in1": f"{FIFTEEN} m.", "label": 1}],
        "test": [{"in0": "Utilities of j", "in1": f"{FIFTEEN} j.", "label": 1}],
    }


def test_frequent_training_tags_are_paired_with_the_text(tmp_path: Path) -> None:
    prepare(tmp_path / "out", write_lists(tmp_path / "lists"))

    tags = tmp_path / "out/tags"
    doc = f"Pages on a. {FIFTEEN} doc."
    tool = f'Tool for "a" things. {A_TOOL}'
    blue = f"Blue café bar. {FIFTEEN} b."
    assert read_rows(tags / "tags.jsonl") == [
        {"in1": ["role::program"]},
        {"in1": ["use::editing"]},
    ]
    assert read_rows(tags / "train.jsonl") == [
        {"in0": doc, "in1": ["role::program"], "label": 1},
        {"in0": tool, "in1": ["role::program"], "label": 1},
        {"in0": tool, "in1": ["use::editing"], "label": 1},
        {"in0": blue, "in1": ["role::program"], "label": 1},
        {"in0": blue, "in1": ["use::editing"], "label": 1},
    ]
    assert read_rows(tags / "test.packages.jsonl") == [
        {"in0": f"Utilities of j. {FIFTEEN} j.", "tags": ["use::editing"]}
    ]
    assert read_rows(tags / "validation.packages.jsonl") == [
        {"in0": f"Library of m. {FIFTEEN} m.", "tags": ["role::program"]}
    ]


def test_counts_of_packages_left_out_are_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(tmp_path / "out", write_lists(tmp_path / "lists"))

    shown = capsys.readouterr().out
    for line in (
        "packages: 5; 5 of them have at least one tag",
        "left out: 1 packages without an English description",
        "left out: 1 packages with a short text below 3 words",
        "left out: 1 packages with a long text below 15 words",
        "left out: 1 packages with the long text of another package",
    ):
        assert line in shown


def test_braces_in_tags_are_expanded() -> None:
    field = "a::{b,c}, d::e,\n f::{g, h}"

    assert list(debian.expand_tags(field)) == ["a::b", "a::c", "d::e", "f::g", "f::h"]


def test_package_in_several_lists_is_used_once(tmp_path: Path) -> None:
    lists = write_lists(tmp_path / "lists")
    (lists / "other_Packages").write_text(PACKAGES)

    prepare(tmp_path / "out", lists)

    assert len(read_rows(tmp_path / "out/retrieval/train.jsonl")) == 3


@pytest.mark.parametrize("kind", ["Packages", "Translation-en"])
def test_error_for_missing_lists_names_the_command_to_run(
    tmp_path: Path, kind: str
) -> None:
    lists = write_lists(tmp_path / "lists")
    next(lists.glob(f"*{kind}")).unlink()

    with pytest.raises(
        DatasetError, match=rf"lists: expected a list \*{kind}; .*en update;"
    ):
        prepare(tmp_path / "out", lists)


def test_lists_without_matching_descriptions_are_an_error(tmp_path: Path) -> None:
    lists = write_lists(tmp_path / "lists")
    next(lists.glob("*Translation-en")).write_text("Package: x\n")

    with pytest.raises(DatasetError, match=r"no package in these lists .*en update;"):
        prepare(tmp_path / "out", lists)


def test_lz4_is_read_with_apt_helper(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cat_file(command: tuple[str, ...], **_: Any) -> Any:
        assert command[:2] == ("/usr/lib/apt/apt-helper", "cat-file")
        return subprocess.CompletedProcess(command, 0, Path(command[2]).read_bytes())

    monkeypatch.setattr(subprocess, "run", cat_file)

    prepare(tmp_path / "out", write_lists(tmp_path / "lists", ".lz4"))

    assert len(read_rows(tmp_path / "out/retrieval/train.jsonl")) == 3


def test_lz4_without_apt_helper_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(debian, "APT_HELPER", str(tmp_path / "apt-helper"))

    with pytest.raises(DatasetError, match=r"en\.lz4: .* cannot read it: .* unpacked"):
        prepare(tmp_path / "out", write_lists(tmp_path / "lists", ".lz4"))


@pytest.mark.long
@pytest.mark.skipif(
    not list(debian.LISTS.glob("*Translation-en*")),
    reason=f"{debian.LISTS} has no Translation-en: run {debian.UPDATE}",
)
def test_real_lists(tmp_path: Path) -> None:
    debian.prepare(tmp_path)

    rows = {part: read_rows(tmp_path / f"retrieval/{part}.jsonl") for part in PARTS}
    assert 40_000 < len(rows["train"]) < 80_000
    assert 2_000 < len(rows["validation"]) < 5_000
    assert 5_000 < len(rows["test"]) < 10_000
    pool = [row["in1"] for part in PARTS for row in rows[part]]
    assert len(set(pool)) == len(pool)
    assert 100 < len(read_rows(tmp_path / "tags/tags.jsonl")) < 400
