"""Tests of tools/datasets/movielens_weeks.py on a few ratings."""

import json
from pathlib import Path

import zstandard

from tools.datasets import movielens_weeks
from tools.datasets.movielens_raw import Rating

WEEK = 7 * 24 * 3600
# In the order of time: two weeks, then the week that is predicted.
PAST = [
    Rating(1, 10, 5, 100),
    Rating(1, 20, 4, 200),
    Rating(2, 10, 2, 300),
    Rating(2, 30, 5, 100 + WEEK),
]
CURRENT = [
    Rating(1, 30, 4, 100 + 2 * WEEK),  # known and liked
    Rating(2, 20, 3, 200 + 2 * WEEK),  # not liked
    Rating(3, 20, 5, 300 + 2 * WEEK),  # a new user
    Rating(2, 40, 5, 400 + 2 * WEEK),  # a new movie
]


def read(path: Path) -> list[dict[str, object]]:
    opened = zstandard.open(path, "rt") if path.suffix == ".zst" else path.open()
    with opened as file:
        return [json.loads(line) for line in file]


def test_weeks_are_in_the_order_of_time() -> None:
    later = Rating(4, 50, 1, 100 + 4 * WEEK)
    weeks = movielens_weeks.by_week([later, *CURRENT, *reversed(PAST)])
    assert weeks == [PAST[:3], PAST[3:], CURRENT, [], [later]]


def test_files_of_a_week_have_what_was_known_before_it(tmp_path: Path) -> None:
    (tmp_path / "words").mkdir()
    paths = {name: tmp_path / name for name in movielens_weeks.NAMES}
    movielens_weeks.write_week(paths, PAST, CURRENT)
    assert read(paths["train.jsonl.zst"]) == [
        {"in0": ["u1", "m20"], "in1": ["m10"], "label": 1},
        {"in0": ["u1", "m10"], "in1": ["m20"], "label": 1},
        {"in0": ["u2"], "in1": ["m30"], "label": 1},
    ]
    assert read(paths["test.jsonl"]) == [
        {"in0": ["u1", "m10", "m20"], "in1": ["m30"], "label": 1}
    ]
    assert read(paths["seen.jsonl"]) == [
        {"in0": ["u1", "m10", "m20"], "in1": [movie]} for movie in ("m10", "m20")
    ]
    # Movie 10 has two ratings; [UNK] comes first.
    words = ["[UNK]", "u1", "u2", "m10", "m20", "m30"]
    ids = {word: id_ for id_, word in enumerate(words)}
    assert json.loads(paths["words/in0.json"].read_text()) == ids
    ids = {word: id_ for id_, word in enumerate(["[UNK]", "m10", "m20", "m30"])}
    assert json.loads(paths["words/in1.json"].read_text()) == ids
    assert [row["in1"] for row in read(paths["items.jsonl"])] == [
        ["m10"],
        ["m20"],
        ["m30"],
    ]


def test_histories_have_the_last_movies() -> None:
    liked = {1: list(range(100, 160))}
    rows = [Rating(1, 159, 5, 0), Rating(1, 1, 1, 0)]
    [pair] = movielens_weeks.pairs(rows, liked)
    assert pair["in0"] == ["u1", *(f"m{movie}" for movie in range(109, 159))]
