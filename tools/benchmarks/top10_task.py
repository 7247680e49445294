"""The task of recommending ten unseen movies, as arrays, and its metrics."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from object2vec_tf.errors import UserError
from tools.datasets.movielens_history import USERS
from tools.datasets.movielens_top10 import LEVELS

Booleans = npt.NDArray[np.bool_]
Scores = npt.NDArray[np.floating[Any]]
COUNT = 10


@dataclasses.dataclass(frozen=True)
class Task:
    """A part of the data that tools/datasets/movielens_top10.py wrote.

    Attributes:
        liked: Whether a user rated a movie 4 or 5 in the training part, bool
            ``[users, movies]``; row i has user i + 1, column j movie j + 1.
        seen: Whether a user rated a movie in the training part, of the same shape.
        relevant: Whether a user rated a movie 4 or 5 in the test part.
    """

    liked: Booleans
    seen: Booleans
    relevant: Booleans

    @classmethod
    def read(cls, part: Path) -> Task:
        """Reads a part.

        Raises:
            UserError: A file is missing.
        """
        users = list(_rows(part / "users.jsonl"))
        movies = sum(1 for _ in _rows(part / "items.jsonl"))
        liked, seen, relevant = np.zeros((3, len(users), movies), bool)
        for user, row in enumerate(users):
            tokens = np.array(row["in0"][1:], np.int64) - USERS
            rated, levels = np.divmod(tokens, LEVELS)
            seen[user, row["exclude"]] = True
            liked[user, rated[levels == LEVELS - 1] - 1] = True
        for row in _rows(part / "test.jsonl"):
            relevant[row["in0"][0] - 1, row["in1"][0] - 1] = True
        return cls(liked, seen, relevant)

    def metrics(self, scores: Scores) -> dict[str, float]:
        """Returns the metrics of the ten best unseen movies of each user.

        Only users with a relevant movie count. The metrics are recall@10 (the fraction
        of a user's relevant movies that is found), hits@10 (the fraction of users of
        whom at least one is found) and ndcg@10.

        Args:
            scores: The score of each movie for each user, ``[users, movies]``. Of equal
                scores, the movie with the lower id comes first.

        Example:
            >>> seen = np.array([[True, False, False]])
            >>> relevant = np.array([[False, False, True]])
            >>> Task(seen, seen, relevant).metrics(np.array([[3.0, 2.0, 1.0]]))
            {'recall@10': 1.0, 'hits@10': 1.0, 'ndcg@10': 0.6309297535714575}
        """
        users = self.relevant.any(axis=1)
        candidates = np.where(self.seen, -np.inf, scores)[users]
        best = np.argsort(-candidates, axis=1, kind="stable")[:, :COUNT]
        found = np.take_along_axis(self.relevant[users], best, axis=1)
        counts = self.relevant[users].sum(axis=1)
        discounts = 1 / np.log2(np.arange(2, COUNT + 2))
        ideal = np.cumsum(discounts)[np.minimum(counts, COUNT) - 1]
        gains = found @ discounts[: found.shape[1]]
        return {
            "recall@10": float(np.mean(found.sum(axis=1) / counts)),
            "hits@10": float(np.mean(found.any(axis=1))),
            "ndcg@10": float(np.mean(gains / ideal)),
        }


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with path.open(encoding="utf-8") as file:
            yield from map(json.loads, file)
    except OSError as error:
        raise UserError(
            f"{path}: {error.strerror}. Run make data/movielens_top10/manifest.json."
        ) from error


def popularity(task: Task) -> Scores:
    """Returns the number of users who liked each movie, ``[users, movies]``."""
    return np.tile(task.liked.sum(axis=0, dtype=np.float64), (len(task.liked), 1))


def ease(task: Task, regularization: float, weight_of_others: float = 0.0) -> Scores:
    """Returns the scores of EASE, a linear model of movies, ``[users, movies]``.

    Source: Steck 2019, "Embarrassingly Shallow Autoencoders for Sparse Data".

    Args:
        task: The task.
        regularization: The parameter lambda.
        weight_of_others: The entry of movies that a user rated, but not 4 or 5; EASE
            itself has 0, and 1 for the liked movies.
    """
    entries = np.where(task.seen, weight_of_others, 0.0)
    entries[task.liked] = 1.0
    gram = entries.T @ entries
    gram[np.diag_indices_from(gram)] += regularization
    inverse = np.linalg.inv(gram)
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    return np.asarray(entries @ weights)
