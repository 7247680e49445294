import gzip
import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tools.datasets import stsb
from tools.datasets.sources import DatasetError

# A directory with a copy of the real files, as for `make texts SOURCE=DIR`.
SOURCE = os.environ.get("SENTENCES_SOURCE", "")

LINES = {
    "train": [
        "main-news\theadlines\t2016\t0012\t4\tA car.\tThe car.\tEurope\tEurope",
        'main-captions\tMSRvid\t2012test\t0001\t3.800\tHe says "yes.\tHe nods. ',
    ],
    "dev": ["main-forums\tx\t2015\t3\t0.0\tA thé.\tB"],
    "test": ["main-forums\tx\t2015\t4\t5.000\tSame\tSame"],
}
ROWS = {
    "train": [
        {"in0": "A car.", "in1": "The car.", "label": 4.0},
        {"in0": 'He says "yes.', "in1": "He nods.", "label": 3.8},
    ],
    "validation": [{"in0": "A thé.", "in1": "B", "label": 0.0}],
    "test": [{"in0": "Same", "in1": "Same", "label": 5.0}],
}
CLASSES = {"train": [0, 1], "validation": [2], "test": [0]}


def content(part: str) -> bytes:
    return "".join(f"{line}\n" for line in LINES[part]).encode()


def read_rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").split("\n")[:-1]]


def write_folder(folder: Path) -> Path:
    folder.mkdir()
    for part in LINES:
        packed = gzip.compress(content(part))
        (folder / f"stsb_{part}.tsv.gz").write_bytes(packed)
    return folder


def write_tar(path: Path) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for part in LINES:
            member = tarfile.TarInfo(f"stsbenchmark/sts-{part}.csv")
            member.size = len(content(part))
            tar.addfile(member, io.BytesIO(content(part)))
        tar.addfile(tarfile.TarInfo("../escaped.csv"))
    return path


@pytest.mark.parametrize("kind", ["folder", "tar"])
def test_scores_are_written_as_floats(tmp_path: Path, kind: str) -> None:
    source = (write_folder if kind == "folder" else write_tar)(tmp_path / "source")

    stsb.prepare(tmp_path / "out", source)

    for part, rows in ROWS.items():
        assert read_rows(tmp_path / f"out/{part}.jsonl") == rows
        classes = [
            row["label"] for row in read_rows(tmp_path / f"out/classes/{part}.jsonl")
        ]
        assert classes == CLASSES[part]
    assert '"label": 4.0}' in (tmp_path / "out/train.jsonl").read_text("utf-8")


@pytest.mark.parametrize(
    "line", ["", "a\tb\tc\td\t4\tone", "a\tb\tc\td\tgood\tA\tB", "a\tb\tc\td\t6\tA\tB"]
)
def test_malformed_line_is_reported(tmp_path: Path, line: str) -> None:
    source = write_folder(tmp_path / "source")
    packed = gzip.compress(content("dev") + f"{line}\n".encode())
    (source / "stsb_dev.tsv.gz").write_bytes(packed)

    with pytest.raises(
        DatasetError, match=r"stsb_dev\.tsv\.gz:2: expected tab-separated genre, .*"
    ):
        stsb.prepare(tmp_path / "out", source)


def test_error_names_the_missing_table(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "source")
    (source / "stsb_test.tsv.gz").unlink()

    with pytest.raises(DatasetError, match=r"source: expected stsb_test\.tsv"):
        stsb.prepare(tmp_path / "out", source)


@pytest.mark.parametrize("cut", [0, 20])
def test_damaged_archive_is_an_error(tmp_path: Path, cut: int) -> None:
    source = write_tar(tmp_path / "source")
    source.write_bytes(source.read_bytes()[:cut])

    with pytest.raises(DatasetError, match=r"expected a complete tar\.gz file: .* Use"):
        stsb.prepare(tmp_path / "out", source)


@pytest.mark.skipif(not SOURCE, reason="SENTENCES_SOURCE is not set")
def test_real_files(tmp_path: Path) -> None:
    stsb.prepare(tmp_path / "out", Path(SOURCE))

    counts = [len(read_rows(tmp_path / "out" / name)) for name in stsb.FILES]
    assert counts == 2 * [5_749, 1_500, 1_379]
