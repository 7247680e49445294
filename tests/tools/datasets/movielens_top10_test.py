"""Tests of tools/datasets/movielens_top10.py on three users and three movies."""

import json
from pathlib import Path
from typing import Any

import pytest
import zstandard

from tools.datasets import movielens_top10
from tools.datasets.movielens_history import Rating
from tools.datasets.sources import DatasetError

BASE = [(1, 1, 5), (1, 2, 3), (2, 1, 1), (3, 2, 4), (3, 3, 4)]
TEST = [(1, 3, 4), (2, 2, 5), (3, 1, 2)]
# Tokens calculated by hand. In in0, a movie is 944 + 3 * id + level; in in1, a user is
# 1683 + 3 * id + level. The level is 0 for 1 and 2, 1 for 3, and 2 for 4 and 5.
LIKES_1, DISLIKES_1, MEDIUM_2, LIKES_2, LIKES_3 = 949, 947, 951, 952, 955
BY_1_LIKED, BY_1_MEDIUM, BY_2_DISLIKED, BY_3_LIKED = 1688, 1687, 1689, 1694


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("movielens")
    (folder / "rating").mkdir()
    for split in ("ua", "ub"):
        write(folder / f"rating/{split}.base.jsonl", BASE)
        write(folder / f"rating/{split}.test.jsonl", TEST)
    (folder / "titles.tsv").write_text("Café\nB\nC\n", "utf-8")
    return folder


def write(path: Path, rows: list[tuple[int, int, int]]) -> None:
    lines = (
        json.dumps({"in0": [user], "in1": [item], "label": rating}) + "\n"
        for user, item, rating in rows
    )
    path.write_text("".join(lines))


@pytest.fixture(scope="module")
def prepared(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("output") / "top10"
    movielens_top10.prepare(output, source)
    return output


def read(path: Path) -> list[dict[str, Any]]:
    content = path.read_bytes()
    if path.suffix == ".zst":
        content = zstandard.ZstdDecompressor().stream_reader(content).read()
    return [json.loads(line) for line in content.splitlines()]


def test_training_pairs_leave_out_their_own_rating(prepared: Path) -> None:
    assert read(prepared / "ua/train.jsonl.zst") == [
        pair([1, MEDIUM_2], [1, BY_2_DISLIKED], 1.0),
        pair([1, LIKES_1], [2, BY_3_LIKED], 0.3),
        pair([2], [1, BY_1_LIKED], 0.1),
        # User 3 liked two movies: the weight is divided by the square root of 2.
        pair([3, LIKES_3], [2, BY_1_MEDIUM], 0.7071),
        pair([3, LIKES_2], [3], 0.7071),
    ]


def pair(in0: list[int], in1: list[int], weight: float) -> dict[str, Any]:
    return {"in0": in0, "in1": in1, "label": 1, "weight": weight}


def test_test_pairs_are_the_liked_movies_with_full_histories(prepared: Path) -> None:
    assert read(prepared / "ub/test.jsonl") == [
        {"in0": [1, LIKES_1, MEDIUM_2], "in1": [3, BY_3_LIKED], "label": 1},
        {"in0": [2, DISLIKES_1], "in1": [2, BY_1_MEDIUM, BY_3_LIKED], "label": 1},
    ]


def test_items_and_titles_are_in_the_order_of_ids(prepared: Path) -> None:
    assert read(prepared / "ua/items.jsonl") == [
        {"in1": [1, BY_1_LIKED, BY_2_DISLIKED]},
        {"in1": [2, BY_1_MEDIUM, BY_3_LIKED]},
        {"in1": [3, BY_3_LIKED]},
    ]
    assert (prepared / "titles.tsv").read_text("utf-8") == "Café\nB\nC\n"


def test_users_exclude_the_lines_of_the_movies_they_rated(prepared: Path) -> None:
    users = read(prepared / "ua/users.jsonl")
    assert len(users) == 943
    assert users[:4] == [
        {"in0": [1, LIKES_1, MEDIUM_2], "exclude": [0, 1]},
        {"in0": [2, DISLIKES_1], "exclude": [0]},
        {"in0": [3, LIKES_2, LIKES_3], "exclude": [1, 2]},
        {"in0": [4], "exclude": []},
    ]


def test_validation_holds_out_ten_ratings_of_each_user_but_none_of_ub_test() -> None:
    base = [Rating(1, item, 4) for item in range(30)]
    base += [Rating(2, item, 4) for item in range(15)]
    used = [Rating(1, 0, 4), *(Rating(2, item, 4) for item in range(9))]
    training, held_out = movielens_top10.hold_out(base, used)
    assert sorted(training + held_out) == base
    assert [row.user for row in held_out] == [1] * 10 + [2] * 6
    assert not set(held_out) & set(used)
    assert movielens_top10.hold_out(base, used) == (training, held_out)


@pytest.mark.parametrize(("rating", "level"), [(1, 0), (2, 0), (3, 1), (4, 2), (5, 2)])
def test_level_of_a_rating(rating: int, level: int) -> None:
    assert movielens_top10.level(rating) == level


def test_tokens_are_below_the_vocabulary_size() -> None:
    assert movielens_top10.movie_token(1682, 5) == 5992
    assert movielens_top10.IN0_VOCAB_SIZE == 5993
    assert movielens_top10.user_token(943, 5) == 4514
    assert movielens_top10.IN1_VOCAB_SIZE == 4515


def test_second_run_does_nothing(
    prepared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    movielens_top10.prepare(prepared, prepared / "nowhere")
    assert "nothing to do" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["titles.tsv", "rating/ub.test.jsonl"])
def test_error_for_a_missing_file_names_the_script_to_run(
    source: Path, tmp_path: Path, name: str
) -> None:
    path = source / name
    moved = path.rename(tmp_path / path.name)
    try:
        with pytest.raises(DatasetError, match=rf"{path.name}: .*movielens\.py first"):
            movielens_top10.prepare(tmp_path / "out", source)
    finally:
        moved.rename(path)
    assert not (tmp_path / "out").exists()
