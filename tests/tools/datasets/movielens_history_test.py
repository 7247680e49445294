"""Tests of tools/datasets/movielens_history.py on four users and three movies."""

import json
from pathlib import Path

import pytest
import zstandard

from tools.datasets import movielens_history
from tools.datasets.sources import DatasetError

BASE = [(1, 10, 5), (1, 20, 3), (2, 10, 1), (3, 20, 4)]
TEST = [(1, 30, 2), (2, 20, 5), (4, 10, 4)]
# Tokens calculated by hand. In in0, a movie is 944 + id, and a movie with its rating is
# 944 + 1683 + 5 * id + rating - 1. In in1, 1683 and 944 are swapped.
LIKES_10 = [954, 2681]
LIKES_20 = [964, 2729]
DISLIKES_10 = [954, 2677]
BY_1_20 = [1684, 2634]
BY_2_10 = [1685, 2637]
BY_1_10 = [1684, 2636]
BY_3_20 = [1686, 2645]


def write(folder: Path, name: str, rows: list[tuple[int, int, int]]) -> None:
    path = folder / f"rating/{name}.jsonl"
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        "".join(
            json.dumps({"in0": [user], "in1": [item], "label": rating}) + "\n"
            for user, item, rating in rows
        )
    )


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "movielens"
    folder.mkdir()
    for split in ("ua", "ub", "u1", "u2", "u3", "u4", "u5"):
        write(folder, f"{split}.base", BASE)
        write(folder, f"{split}.test", TEST)
    for split in ("ua", "u1"):
        write(folder, f"{split}.base.fit", BASE[:2])
        write(folder, f"{split}.base.held_out", BASE[2:])
    return folder


def read(path: Path) -> list[tuple[list[int], list[int], int]]:
    with zstandard.open(path, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return [(row["in0"], row["in1"], row["label"]) for row in rows]


def test_history_of_a_training_pair_excludes_the_pair(
    source: Path, tmp_path: Path
) -> None:
    movielens_history.prepare(tmp_path / "out", source)
    assert read(tmp_path / "out/rating/ua.base.jsonl.zst") == [
        ([1, *LIKES_20], [10, *BY_2_10], 5),
        ([1, *LIKES_10], [20, *BY_3_20], 3),
        ([2], [10, *BY_1_10], 1),
        ([3], [20, *BY_1_20], 4),
    ]


def test_history_of_a_test_pair_has_all_training_ratings(
    source: Path, tmp_path: Path
) -> None:
    movielens_history.prepare(tmp_path / "out", source)
    assert read(tmp_path / "out/recommendation/ub.test.jsonl.zst") == [
        ([1, *LIKES_10, *LIKES_20], [30], 0),
        ([2, *DISLIKES_10], [20, *BY_1_20, *BY_3_20], 1),
        ([4], [10, *BY_1_10, *BY_2_10], 1),
    ]


def test_history_of_held_out_pairs_has_only_fitted_ratings(
    source: Path, tmp_path: Path
) -> None:
    movielens_history.prepare(tmp_path / "out", source)
    assert read(tmp_path / "out/rating/ua.base.held_out.jsonl.zst") == [
        ([2], [10, *BY_1_10], 1),
        ([3], [20, *BY_1_20], 4),
    ]


def test_history_of_a_fold_has_its_own_training_ratings(
    source: Path, tmp_path: Path
) -> None:
    write(source, "u2.base", [(1, 10, 5)])
    movielens_history.prepare(tmp_path / "out", source)
    assert read(tmp_path / "out/rating/u2.test.jsonl.zst") == [
        ([1, *LIKES_10], [30], 2),
        ([2], [20], 5),
        ([4], [10, *BY_1_10], 4),
    ]
    assert not (tmp_path / "out/recommendation/u2.test.jsonl.zst").exists()


def test_tokens_are_below_the_vocabulary_size() -> None:
    assert movielens_history.IN0.vocab_size == 11042
    assert movielens_history.IN1.vocab_size == 7347
    assert movielens_history.IN0.encode(1682, 5) == "2626, 11041"
    assert movielens_history.IN1.encode(943, 5) == "2626, 7346"


def test_second_run_does_nothing(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    movielens_history.prepare(tmp_path / "out", source)
    capsys.readouterr()
    movielens_history.prepare(tmp_path / "out", tmp_path / "nowhere")
    assert "nothing to do" in capsys.readouterr().out


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        '{"in0": [1, 2], "in1": [3], "label": 4}',
        '{"in0": [1]}',
        '{"in0": [944], "in1": [3], "label": 4}',
    ],
)
def test_invalid_pairs_are_rejected_with_their_line(
    source: Path, tmp_path: Path, line: str
) -> None:
    path = source / "rating/ub.base.jsonl"
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(
        DatasetError, match=r"ub\.base\.jsonl:5: expected a pair of a user"
    ):
        movielens_history.prepare(tmp_path / "out", source)
    assert not (tmp_path / "out").exists()


def test_error_for_a_missing_file_names_the_script_to_run(
    source: Path, tmp_path: Path
) -> None:
    (source / "rating/ub.test.jsonl").unlink()
    with pytest.raises(DatasetError, match=r"ub\.test\.jsonl: .*movielens\.py first"):
        movielens_history.prepare(tmp_path / "out", source)
