"""Tests of tools/datasets/movielens_history.py on four users and three movies."""

import json
from pathlib import Path

import pytest
import zstandard

from tools.datasets import movielens_history
from tools.datasets.sources import DatasetError

BASE = [(1, 10, 5), (1, 20, 3), (2, 10, 1), (3, 20, 4)]
TEST = [(1, 30, 2), (2, 20, 5), (4, 10, 4)]
# Of user 1 and so on, worked out by hand: the movie is 944 + id, the movie with its
# rating 944 + 1683 + 5 * id + rating - 1; on the other side 1683 and 944 change places.
LIKES_10 = [954, 2681]
LIKES_20 = [964, 2729]
HATES_10 = [954, 2677]
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
    for split in ("ua", "ub"):
        write(folder, f"{split}.base", BASE)
        write(folder, f"{split}.test", TEST)
    write(folder, "ua.base.fit", BASE[:2])
    write(folder, "ua.base.held_out", BASE[2:])
    return folder


def read(path: Path) -> list[tuple[list[int], list[int], int]]:
    with zstandard.open(path, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return [(row["in0"], row["in1"], row["label"]) for row in rows]


def test_a_training_pair_is_not_told_of_itself(source: Path, tmp_path: Path) -> None:
    movielens_history.prepare(tmp_path / "out", source)
    assert read(tmp_path / "out/rating/ua.base.jsonl.zst") == [
        ([1, *LIKES_20], [10, *BY_2_10], 5),
        ([1, *LIKES_10], [20, *BY_3_20], 3),
        ([2], [10, *BY_1_10], 1),
        ([3], [20, *BY_1_20], 4),
    ]


def test_a_test_pair_is_told_all_of_the_training_part(
    source: Path, tmp_path: Path
) -> None:
    movielens_history.prepare(tmp_path / "out", source)
    assert read(tmp_path / "out/recommendation/ub.test.jsonl.zst") == [
        ([1, *LIKES_10, *LIKES_20], [30], 0),
        ([2, *HATES_10], [20, *BY_1_20, *BY_3_20], 1),
        ([4], [10, *BY_1_10, *BY_2_10], 1),
    ]


def test_held_out_pairs_are_told_of_what_is_fitted_alone(
    source: Path, tmp_path: Path
) -> None:
    movielens_history.prepare(tmp_path / "out", source)
    assert read(tmp_path / "out/rating/ua.base.held_out.jsonl.zst") == [
        ([2], [10, *BY_1_10], 1),
        ([3], [20, *BY_1_20], 4),
    ]


def test_no_token_is_beyond_the_vocabulary() -> None:
    assert movielens_history.IN0.vocab_size == 11042
    assert movielens_history.IN1.vocab_size == 7347
    assert movielens_history.IN0.of(1682, 5) == "2626, 11041"
    assert movielens_history.IN1.of(943, 5) == "2626, 7346"


def test_a_second_run_does_nothing(
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
def test_other_pairs_are_refused_with_their_line(
    source: Path, tmp_path: Path, line: str
) -> None:
    path = source / "rating/ub.base.jsonl"
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(DatasetError, match=r"ub\.base\.jsonl:5: expected a user"):
        movielens_history.prepare(tmp_path / "out", source)
    assert not (tmp_path / "out").exists()


def test_a_missing_file_names_what_makes_it(source: Path, tmp_path: Path) -> None:
    (source / "rating/ub.test.jsonl").unlink()
    with pytest.raises(DatasetError, match=r"ub\.test\.jsonl: .*movielens\.py first"):
        movielens_history.prepare(tmp_path / "out", source)
