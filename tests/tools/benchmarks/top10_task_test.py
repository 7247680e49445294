"""Tests of tools/benchmarks/top10_task.py by hand and with linear algebra."""

import json
from pathlib import Path

import numpy as np
import pytest

from object2vec_tf.errors import UserError
from tools.benchmarks.top10_task import Task, ease, popularity
from tools.datasets.movielens_top10 import movie_token


def random_task() -> Task:
    random = np.random.default_rng(3)
    seen = random.random((12, 6)) < 0.6
    liked = seen & (random.random(seen.shape) < 0.7)
    return Task(liked, seen, ~seen)


def test_metrics_of_ten_unseen_movies_by_hand() -> None:
    seen, relevant = np.zeros((2, 3, 12), bool)
    scores = np.tile(-np.arange(12.0), (3, 1))
    # User 0: movie 0 is seen, so that movies 1 to 10 are the best. Movies 2 and 10 are
    # at ranks 2 and 10, and movie 11 is not found.
    seen[0, 0] = True
    relevant[0, [2, 10, 11]] = True
    # User 1 has no relevant movie and does not count. The best ten of user 2 are movies
    # 0 to 9, of which none is relevant.
    relevant[2, [10, 11]] = True
    metrics = Task(seen, seen, relevant).metrics(scores)
    gain = 1 / np.log2(3) + 1 / np.log2(11)
    ideal = 1 + 1 / np.log2(3) + 1 / np.log2(4)
    assert metrics == pytest.approx(
        {"recall@10": (2 / 3) / 2, "hits@10": 1 / 2, "ndcg@10": gain / ideal / 2}
    )


def test_popularity_counts_the_users_who_liked_a_movie() -> None:
    liked = np.array([[True, False], [True, True], [True, False]])
    task = Task(liked, liked, ~liked)
    np.testing.assert_array_equal(popularity(task), [[3, 1], [3, 1], [3, 1]])


@pytest.mark.parametrize("weight", [0.0, 0.4])
def test_ease_is_ridge_regression_of_each_movie_on_the_others(weight: float) -> None:
    task = random_task()
    entries = np.where(task.liked, 1.0, np.where(task.seen, weight, 0.0))
    expected = np.empty(entries.shape)
    for movie in range(6):
        others = np.delete(entries, movie, axis=1)
        gram = others.T @ others + 2.0 * np.eye(5)
        expected[:, movie] = others @ np.linalg.solve(
            gram, others.T @ entries[:, movie]
        )
    np.testing.assert_allclose(ease(task, 2.0, weight), expected, rtol=1e-9)


def test_a_task_is_read_from_its_files(tmp_path: Path) -> None:
    users = [
        {"in0": [1, movie_token(2, 5), movie_token(3, 3)], "exclude": [1, 2]},
        {"in0": [2], "exclude": []},
    ]
    pairs = [{"in0": [2], "in1": [1, 99], "label": 1}]
    files = {"users": users, "items": [{"in1": [i]} for i in (1, 2, 3)], "test": pairs}
    for name, rows in files.items():
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / f"{name}.jsonl").write_text(text)
    task = Task.read(tmp_path)
    np.testing.assert_array_equal(task.liked, [[0, 1, 0], [0, 0, 0]])
    np.testing.assert_array_equal(task.seen, [[0, 1, 1], [0, 0, 0]])
    np.testing.assert_array_equal(task.relevant, [[0, 0, 0], [1, 0, 0]])


def test_the_error_for_a_missing_file_names_the_target_of_make(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"users\.jsonl: .*make data/movielens_top10"):
        Task.read(tmp_path)
