"""Makes the task of recommending ten unseen movies from the pairs of MovieLens-100k.

    python tools/datasets/movielens_top10.py --output=data/movielens_top10

Reads the pairs that movielens.py wrote (--source, by default data/movielens). Files
written to --output for each PART of ua, ub and validation:

    PART/train.jsonl.zst    a pair for every rating of the training part
    PART/test.jsonl         a pair for every rating of 4 or 5 in the test part
    PART/items.jsonl        `{"in1": [...]}` for all 1,682 movies, ordered by id
    PART/users.jsonl        `{"in0": [...], "exclude": [...]}` for all 943 users,
                            ordered by id; exclude has the lines of items.jsonl, from 0,
                            with the movies that the user rated in the training part
    titles.tsv              the titles, in the order of items.jsonl
    manifest.json           the md5 of every file above

ua and ub are GroupLens's splits. validation is for choosing settings: its test part has
ten random ratings of each user from ua.base, none of them in ub.test, and its training
part the rest of ua.base.

in0 has the user id, and a token for every movie that the user rated in the training
part. in1 has the movie id, and a token for every user who rated it. The token combines
the id with one of three levels: 1 or 2, 3, and 4 or 5. A training pair leaves out its
own rating on both sides. All training pairs have label 1, so that no rated movie is a
negative of its user; the weight of a pair says how much it counts: 1 for a rating of 4
or 5, 0.3 for 3, and 0.1 for 1 or 2, divided by the square root of the number of movies
that the user rated 4 or 5.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))  # so that it runs as a script

from tools.datasets import outputs, program
from tools.datasets.movielens import TEST_RATINGS_PER_USER, is_positive
from tools.datasets.movielens_history import (
    ITEMS,
    SOURCE,
    SOURCES,
    USERS,
    Rating,
    read_ratings,
    write_compressed,
)
from tools.datasets.sources import DatasetError

PARTS: Final = ("ua", "ub", "validation")
TITLES: Final = "titles.tsv"
NAMES: Final = ("train.jsonl.zst", "test.jsonl", "items.jsonl", "users.jsonl")
FILES: Final = (*(f"{part}/{name}" for part in PARTS for name in NAMES), TITLES)
VALIDATION_SEED: Final = 1

LEVELS: Final = 3
"""Levels of a rating: 1 or 2, 3, and 4 or 5."""
WEIGHTS: Final = (0.1, 0.3, 1.0)
"""The weight of a training pair by the level of its rating."""
IN0_VOCAB_SIZE: Final = USERS + LEVELS * ITEMS
IN1_VOCAB_SIZE: Final = ITEMS + LEVELS * USERS


def prepare(output: Path, source: Path | None = None) -> None:
    """Reads the pairs of movielens.py and writes the dataset, unless it exists.

    Args:
        output: The output directory.
        source: The output directory of movielens.py. None: data/movielens.

    Raises:
        DatasetError: The pairs are missing or malformed, or the output cannot be
            written.
    """
    if outputs.is_complete(output, FILES):
        return
    source = source or SOURCE
    splits = read_splits(source)
    titles = read_titles(source)
    with outputs.atomic_outputs(output, FILES) as paths:
        paths[TITLES].write_text("".join(f"{title}\n" for title in titles), "utf-8")
        for part, (training, test) in splits.items():
            objects = Objects(training)
            lines = {
                "test.jsonl": objects.test_lines(test),
                "items.jsonl": map(objects.item_line, range(1, len(titles) + 1)),
                "users.jsonl": map(objects.user_line, range(1, USERS)),
            }
            write_compressed(paths[f"{part}/train.jsonl.zst"], objects.train_lines())
            for name, content in lines.items():
                paths[f"{part}/{name}"].write_text("".join(content), "utf-8")
    print(f"Written to {output} from {source}:")
    print(outputs.summary(output, FILES))
    print(f"  vocab_size: in0 {IN0_VOCAB_SIZE:,}, in1 {IN1_VOCAB_SIZE:,}")


def read_splits(source: Path) -> dict[str, tuple[list[Rating], list[Rating]]]:
    """Returns the training ratings and the test ratings of each part.

    Raises:
        DatasetError: A file is missing or malformed.
    """
    ua, ub = (
        (read_ratings(source, f"{name}.base"), read_ratings(source, f"{name}.test"))
        for name in ("ua", "ub")
    )
    return {"ua": ua, "ub": ub, "validation": hold_out(ua[0], ub[1])}


def read_titles(source: Path) -> list[str]:
    """Returns the titles in the order of the ids, which start at 1.

    Raises:
        DatasetError: The file is missing.
    """
    path = source / TITLES
    try:
        return path.read_text("utf-8").splitlines()
    except OSError as error:
        raise DatasetError(
            f"{path}: {error.strerror}. Run tools/datasets/movielens.py first, or set"
            f" --source to {SOURCES}."
        ) from error


def hold_out(
    base: Sequence[Rating], excluded: Iterable[Rating]
) -> tuple[list[Rating], list[Rating]]:
    """Splits off ten random ratings of each user; the split is always the same.

    Args:
        base: The ratings of ua.base, ordered by user.
        excluded: Ratings that are never split off: those of ub.test.

    Returns:
        The remaining ratings and the held-out ratings, both in their original order.
    """
    used = {(row.user, row.item) for row in excluded}
    by_user: dict[int, list[int]] = {}
    for index, row in enumerate(base):
        if (row.user, row.item) not in used:
            by_user.setdefault(row.user, []).append(index)
    generator = np.random.default_rng(VALIDATION_SEED)
    held_out: set[int] = set()
    for candidates in by_user.values():
        order = generator.permutation(len(candidates))[:TEST_RATINGS_PER_USER]
        held_out.update(candidates[i] for i in order)
    return (
        [row for index, row in enumerate(base) if index not in held_out],
        [row for index, row in enumerate(base) if index in held_out],
    )


def level(rating: int) -> int:
    """Returns the level of a rating: 0 for 1 and 2, 1 for 3, 2 for 4 and 5."""
    return max(rating - 2, 0) if rating <= 3 else LEVELS - 1


def movie_token(item: int, rating: int) -> int:
    """Returns the token of in0 for a movie that the user rated."""
    return USERS + LEVELS * item + level(rating)


def user_token(user: int, rating: int) -> int:
    """Returns the token of in1 for a user who rated the movie."""
    return ITEMS + LEVELS * user + level(rating)


class Objects:
    """The users and movies of a training part, as tokens.

    Args:
        training: The ratings of the training part.
    """

    def __init__(self, training: Sequence[Rating]) -> None:
        self._training = training
        self._movies = {user: _Tokens() for user in range(USERS)}
        self._users = {item: _Tokens() for item in range(ITEMS)}
        for user, item, rating in training:
            self._movies[user].add(item, movie_token(item, rating))
            self._users[item].add(user, user_token(user, rating))

    def train_lines(self) -> Iterator[str]:
        """Yields a line for each training rating; both sides leave that rating out."""
        liked = Counter(row.user for row in self._training if is_positive(row.rating))
        for user, item, rating in self._training:
            weight = WEIGHTS[level(rating)] / max(liked[user], 1) ** 0.5
            yield (
                f'{{"in0": {self._in0(user, item)}, "in1": {self._in1(item, user)},'
                f' "label": 1, "weight": {weight:.4f}}}\n'
            )

    def test_lines(self, test: Iterable[Rating]) -> Iterator[str]:
        """Yields a line for each test rating of 4 or 5."""
        for user, item, rating in test:
            if is_positive(rating):
                yield (
                    f'{{"in0": {self._in0(user)}, "in1": {self._in1(item)},'
                    ' "label": 1}\n'
                )

    def item_line(self, item: int) -> str:
        """Returns the line of items.jsonl of a movie."""
        return f'{{"in1": {self._in1(item)}}}\n'

    def user_line(self, user: int) -> str:
        """Returns the line of users.jsonl of a user."""
        seen = sorted(item - 1 for item in self._movies[user].spans)
        return f'{{"in0": {self._in0(user)}, "exclude": {seen}}}\n'

    def _in0(self, user: int, left_out: int | None = None) -> str:
        return f"[{user}{self._movies[user].without(left_out)}]"

    def _in1(self, item: int, left_out: int | None = None) -> str:
        return f"[{item}{self._users[item].without(left_out)}]"


class _Tokens:
    """The tokens after the first one of an object, as JSON.

    Attributes:
        spans: The part of the text that belongs to each id of the other side.
    """

    def __init__(self) -> None:
        self._text = ""
        self.spans: dict[int, slice] = {}

    def add(self, other: int, token: int) -> None:
        """Adds the token of an id of the other side."""
        start = len(self._text)
        self._text += f", {token}"
        self.spans[other] = slice(start, len(self._text))

    def without(self, other: int | None) -> str:
        """Returns the text without the token of an id; None leaves nothing out."""
        if other is None:
            return self._text
        span = self.spans[other]
        return self._text[: span.start] + self._text[span.stop :]


if __name__ == "__main__":
    program.run(prepare, output="data/movielens_top10", sources=SOURCES)
