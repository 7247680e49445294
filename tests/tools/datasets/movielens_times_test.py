"""Tests of tools/datasets/movielens_times.py on the ratings of two users."""

import json
from pathlib import Path

import zstandard

from tools.datasets import movielens_times
from tools.datasets.movielens import SPLITS
from tools.datasets.movielens_raw import Rating

PAIR = Rating(1, 10, 5, 1000)
TRAINING = [
    PAIR,
    Rating(1, 20, 4, 1000),
    Rating(1, 30, 1, 1010),
    Rating(1, 40, 2, 989),
    Rating(1, 50, 3, 1300),
    Rating(1, 60, 3, 699),  # one second too far
    Rating(2, 20, 4, 1000),  # another user
]
# By hand: 944 users and 1683 movies, alone and with five ratings, are 11042 tokens.
# Next come five for the same second, for 10 seconds, for a minute and for 5 minutes.
SAME_SECOND, TEN_SECONDS, MINUTE, FIVE_MINUTES = 11041, 11046, 11051, 11056


def read(path: Path) -> list[tuple[list[int], list[int], int]]:
    with zstandard.open(path, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return [(row["in0"], row["in1"], row["label"]) for row in rows]


def tokens(training: list[Rating], pair: Rating) -> list[int]:
    return list(map(int, movielens_times.NearRatings(training).tokens(pair)))


def test_near_ratings_are_ordered_by_distance_without_the_pair_itself() -> None:
    assert tokens(TRAINING, PAIR) == [
        SAME_SECOND + 4,
        TEN_SECONDS + 1,
        MINUTE + 2,
        FIVE_MINUTES + 3,
    ]


def test_the_value_of_the_pair_is_not_used() -> None:
    other = [PAIR._replace(rating=1), *TRAINING[1:]]
    assert tokens(other, other[0]) == tokens(TRAINING, PAIR)


def test_pair_that_is_not_in_the_training_part_sees_all_its_ratings() -> None:
    test_pair = Rating(2, 10, 3, 1001)
    assert tokens(TRAINING, test_pair) == [TEN_SECONDS + 4]
    assert tokens(TRAINING, Rating(3, 10, 3, 1000)) == []


def test_only_the_nearest_ratings_count() -> None:
    first, second = Rating(1, 70, 2, 999), Rating(1, 80, 5, 1001)
    many = [Rating(1, item, 3, 1000) for item in range(100, 100 + 2)]
    far = [Rating(1, item, 1, 1002) for item in range(200, 210)]
    rows = [second, first, *far, *many]
    assert tokens(rows, PAIR) == [
        *[SAME_SECOND + 3] * 2,
        TEN_SECONDS + 2,
        TEN_SECONDS + 5,
        TEN_SECONDS + 1,
    ]


def test_vocabulary_has_all_tokens() -> None:
    assert movielens_times.VOCAB_SIZE == FIVE_MINUTES + 5 + 1
    assert movielens_times.encode(5, 300) == str(movielens_times.VOCAB_SIZE - 1)


def test_files_have_histories_and_near_ratings(tmp_path: Path) -> None:
    splits = dict.fromkeys(SPLITS["rating"], TRAINING[:2])
    splits["u1.test"] = [Rating(1, 30, 3, 1001)]
    movielens_times.write(tmp_path, splits)
    # In0: a movie is 944 + id, with its rating 944 + 1683 + 5 * id + rating - 1.
    assert read(tmp_path / "rating/ua.base.fit.jsonl.zst") == [
        ([1, 964, 2730, SAME_SECOND + 4], [10], 5),
        ([1, 954, 2681, SAME_SECOND + 5], [20], 4),
    ]
    near = [TEN_SECONDS + 5, TEN_SECONDS + 4]
    assert read(tmp_path / "rating/u1.test.jsonl.zst") == [
        ([1, 954, 2681, 964, 2730, *near], [30], 3)
    ]
    assert (tmp_path / "manifest.json").exists()
