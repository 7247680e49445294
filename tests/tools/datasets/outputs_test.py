import hashlib
import json
from pathlib import Path

import pytest

from tools.datasets import outputs
from tools.datasets.sources import DatasetError

FILES = ("a.jsonl", "deep/b.jsonl")


def write(output: Path) -> None:
    with outputs.atomic_outputs(output, FILES) as paths:
        outputs.write_rows(paths["a.jsonl"], [{"in0": "thé"}, {"in0": "x"}])
        paths["deep/b.jsonl"].write_bytes(b"")


def all_files(output: Path) -> set[str]:
    return {str(p.relative_to(output)) for p in output.rglob("*") if p.is_file()}


def test_files_and_manifest_are_written(tmp_path: Path) -> None:
    write(tmp_path)

    content = '{"in0": "thé"}\n{"in0": "x"}\n'.encode()
    assert (tmp_path / "a.jsonl").read_bytes() == content
    assert all_files(tmp_path) == {*FILES, "manifest.json"}
    assert json.loads((tmp_path / "manifest.json").read_text()) == {
        "a.jsonl": hashlib.md5(content).hexdigest(),
        "deep/b.jsonl": "d41d8cd98f00b204e9800998ecf8427e",
    }


def test_summary_counts_rows(tmp_path: Path) -> None:
    write(tmp_path)

    table = [line.split() for line in outputs.summary(tmp_path, FILES).splitlines()]

    assert table == [["file", "rows"], ["a.jsonl", "2"], ["deep/b.jsonl", "0"]]


def test_complete_outputs_are_recognized(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not outputs.is_complete(tmp_path, FILES)
    write(tmp_path)

    assert outputs.is_complete(tmp_path, FILES)
    assert "nothing to do" in capsys.readouterr().out


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
def test_changed_or_missing_file_is_detected(tmp_path: Path, name: str) -> None:
    write(tmp_path)
    (tmp_path / name).write_text("{}")
    assert not outputs.is_complete(tmp_path, FILES)

    (tmp_path / name).unlink()
    assert not outputs.is_complete(tmp_path, FILES)


def test_failure_keeps_the_old_files(tmp_path: Path) -> None:
    write(tmp_path)

    def write_half() -> None:
        with outputs.atomic_outputs(tmp_path, FILES) as paths:
            paths["a.jsonl"].write_text("half")
            raise DatasetError("bad line")

    with pytest.raises(DatasetError, match="bad line"):
        write_half()

    assert outputs.is_complete(tmp_path, FILES)
    assert all_files(tmp_path) == {*FILES, "manifest.json"}


def test_full_disk_is_an_error(tmp_path: Path) -> None:
    with (
        pytest.raises(DatasetError, match=r"cannot write .*: No space .* --output"),
        outputs.atomic_outputs(tmp_path, FILES),
    ):
        raise OSError(28, "No space left on device")


def test_bucket_is_the_md5_modulo_100() -> None:
    # md5("") is d41d8cd98f00b204e9800998ecf8427e; in decimal it ends with 178366.
    assert outputs.md5_bucket("") == 66


def test_negatives_are_never_positive_pairs() -> None:
    pairs = [(f"a{i % 20}", f"b{i}") for i in range(60)]
    negatives = list(outputs.sample_negatives(pairs, 5))
    assert not set(negatives) & set(pairs)
    assert [a for a, _ in negatives] == [f"a{i}" for i in range(20) for _ in range(5)]
    assert len({b for _, b in negatives}) > 40
    assert negatives == list(outputs.sample_negatives(pairs, 5))
    assert negatives != list(outputs.sample_negatives(pairs, 5, seed=1))


def test_fewer_negatives_are_sampled_if_there_are_not_enough() -> None:
    pairs = [("a", "x"), ("a", "y"), ("b", "x")]
    assert list(outputs.sample_negatives(pairs, 5)) == [("b", "y")]
