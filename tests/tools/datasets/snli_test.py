"""Tests of tools/datasets/snli.py on handwritten pairs.

The premises in dev have these md5 modulo 100: "a bird flies" 5, "a cat sleeps" 44.
"""

import gzip
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tools.datasets import snli
from tools.datasets.sources import DatasetError

# A directory with a copy of the real files, as for `make texts SOURCE=DIR`.
SOURCE = os.environ.get("SENTENCES_SOURCE", "")

IN_VALIDATION = "A bird flies."
IN_TRAIN = "A cat sleeps."

Row = tuple[str, str, str]

TEST: list[Row] = [
    ("Two men play.", "Men play.", "entailment"),
    ("Two men play.", "Men sleep.", "contradiction"),
    ("Two men play.", "Men play golf.", "-"),
]
DEV: list[Row] = [
    (IN_VALIDATION, "An animal flies.", "entailment"),
    (IN_TRAIN, "A cat dreams.", "neutral"),
    (IN_TRAIN, "A cat runs.", "contradiction"),
    (IN_TRAIN, "A cat sings.", "-"),
    ("Two men play", "They win.", "neutral"),  # a premise of test, without the period
]
CAD: dict[str, list[Row]] = {
    "train": [
        ('A boy in front of "Bob\'s" waits.', "A boy waits.", "entailment"),
        ("A BIRD flies!", "A bird swims.", "contradiction"),  # a premise of validation
        (
            "A big bird soars.",
            "An animal flies.",
            "neutral",
        ),  # a hypothesis of validation
    ],
    "dev": [(IN_TRAIN, "A cat is awake.", "contradiction")],
    "test": [
        ("Two men play.", "Boys play.", "neutral"),  # a premise of test
        ("Two men play chess.", "Men play.", "entailment"),  # a hypothesis of test
        ("A girl reads.", "A girl eats.", "neutral"),
    ],
}


def jsonl(rows: list[Row]) -> bytes:
    names = ("sentence1", "sentence2", "gold_label")
    return "".join(
        json.dumps(dict(zip(names, row, strict=True)) | {"pairID": "7"}) + "\n"
        for row in rows
    ).encode()


def tsv(rows: list[Row]) -> bytes:
    def cell(text: str) -> str:
        doubled = text.replace('"', '""')
        return f'"{doubled}"' if '"' in text else text

    lines = [
        "sentence1\tsentence2\tgold_label",
        *("\t".join(map(cell, r)) for r in rows),
    ]
    return "".join(f"{line}\n" for line in lines).encode()


def read_rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").split("\n")[:-1]]


def row(premise: str, hypothesis: str, label: int) -> dict[str, Any]:
    return {"in0": premise, "in1": hypothesis, "label": label}


@pytest.fixture
def without_train(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "snli_1.0_dev.jsonl").write_bytes(jsonl(DEV))
    (folder / "snli_1.0_test.jsonl.gz").write_bytes(gzip.compress(jsonl(TEST)))
    for name, rows in CAD.items():
        (folder / f"snli_cad_{name}.tsv.gz").write_bytes(gzip.compress(tsv(rows)))
    return folder


def test_train_is_made_from_dev_and_augmented_pairs(
    without_train: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    snli.prepare(tmp_path / "out", without_train)

    assert read_rows(tmp_path / "out/train.jsonl") == [
        row(IN_TRAIN, "A cat dreams.", 1),
        row(IN_TRAIN, "A cat runs.", 2),
        row('A boy in front of "Bob\'s" waits.', "A boy waits.", 0),
        row(IN_TRAIN, "A cat is awake.", 2),
        row("A girl reads.", "A girl eats.", 1),
    ]
    assert read_rows(tmp_path / "out/validation.jsonl") == [
        row(IN_VALIDATION, "An animal flies.", 0)
    ]
    assert read_rows(tmp_path / "out/test.jsonl") == [
        row("Two men play.", "Men play.", 0),
        row("Two men play.", "Men sleep.", 2),
    ]
    shown = capsys.readouterr().out
    for line in (
        "left out: 1 pairs of dev without an agreed label",
        "left out: 1 pairs of test without an agreed label",
        "left out: 1 pairs of dev that share a premise with test",
        "left out: 1 augmented pairs that share a premise with test",
        "left out: 1 augmented pairs that share a hypothesis with test",
        "left out: 1 augmented pairs that share a premise with validation",
        "left out: 1 augmented pairs that share a hypothesis with validation",
    ):
        assert line in shown


def test_missing_augmented_files_are_reported(
    without_train: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (without_train / "snli_cad_dev.tsv.gz").unlink()

    snli.prepare(tmp_path / "out", without_train)

    assert "snli_cad_dev.tsv does not exist" in capsys.readouterr().out


def test_published_zip_keeps_its_splits(tmp_path: Path) -> None:
    archive = tmp_path / "snli_1.0.zip"
    with zipfile.ZipFile(archive, "w") as writer:
        for part, rows in (("train", [*TEST, DEV[1]]), ("dev", DEV), ("test", TEST)):
            writer.writestr(f"snli_1.0/snli_1.0_{part}.jsonl", jsonl(rows))

    snli.prepare(tmp_path / "out", archive)

    counts = [len(read_rows(tmp_path / "out" / name)) for name in snli.FILES]
    assert counts == [3, 4, 2]


@pytest.mark.parametrize(
    "line", ["[]", "{", '{"sentence1": "A"}', '{"sentence1": 1}', "null"]
)
def test_malformed_line_is_reported(
    without_train: Path, tmp_path: Path, line: str
) -> None:
    (without_train / "snli_1.0_dev.jsonl").write_bytes(jsonl(DEV) + line.encode())

    with pytest.raises(DatasetError, match=r"snli_1\.0_dev\.jsonl:6: expected a JSON"):
        snli.prepare(tmp_path / "out", without_train)

    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("one\ttwo", "expected tab-separated sentence1, sentence2"),
        ('"one\ttwo\tneutral', "expected tab-separated sentence1, sentence2"),
        ("one\ttwo\tmaybe", "got 'maybe'"),
        ("", "expected tab-separated sentence1, sentence2"),
    ],
)
def test_malformed_augmented_line_is_reported(
    without_train: Path, tmp_path: Path, line: str, reason: str
) -> None:
    path = without_train / "snli_cad_dev.tsv.gz"
    path.write_bytes(gzip.compress(tsv(CAD["dev"]) + f"{line}\n".encode()))

    with pytest.raises(DatasetError, match=rf"snli_cad_dev\.tsv\.gz:3: .*{reason}"):
        snli.prepare(tmp_path / "out", without_train)


def test_source_without_snli_ends_the_script_with_a_one_line_message(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        (
            sys.executable,
            snli.__file__,
            f"--output={tmp_path}/o",
            f"--source={tmp_path}",
        ),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert f"{tmp_path}: expected snli_1.0_dev.jsonl" in done.stderr


@pytest.mark.skipif(not SOURCE, reason="SENTENCES_SOURCE is not set")
def test_real_files(tmp_path: Path) -> None:
    snli.prepare(tmp_path / "out", Path(SOURCE))

    train, validation, test = (
        read_rows(tmp_path / "out" / name) for name in snli.FILES
    )
    assert len(test) == 9_824
    assert 1_300 < len(validation) < 1_700
    assert 16_000 < len(train) < 19_342
    test_premises = {pair["in0"] for pair in test}
    protected = test_premises | {pair["in0"] for pair in validation}
    assert not any(pair["in0"] in protected for pair in train)
    assert not any(pair["in0"] in test_premises for pair in validation)
