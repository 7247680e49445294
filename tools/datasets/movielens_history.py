"""Gives MovieLens pairs what else their user rated, and who else rated their movie.

    python tools/datasets/movielens_history.py --output=data/movielens_history

Reads the pairs that movielens.py wrote (--source, data/movielens by default). Written
into --output, packed by Zstandard, which fit reads as it is:

    rating/SPLIT.jsonl.zst            label: the rating, 1 to 5
    recommendation/SPLIT.jsonl.zst    label: 1 where the rating is above 3, else 0
    manifest.json                     the md5 of every file above

in0 is the user and, for every movie that he rated in the training part, two tokens: the
movie, and the movie with its rating. in1 is the movie and, for everyone who rated it
there, the same two tokens of the user. Never the pair's own rating: a training pair
says of its sides what was known without it, as a test pair does.

SPLIT is ua.base, ua.test, ub.base or ub.test, or ua.base.fit and ua.base.held_out, for
choosing hyperparameters without looking at ua.test. A second run finds the files in
order and does nothing.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import zstandard

sys.path.insert(0, str(Path(__file__).parents[2]))  # run as a script, in any checkout

from tools.datasets import outputs, program
from tools.datasets.movielens import is_positive
from tools.datasets.sources import DatasetError

SOURCE: Final = Path("data/movielens")
SOURCES: Final = "the directory that movielens.py wrote"
TRAINING_PARTS: Final = {
    "ua.base": "ua.base",
    "ua.test": "ua.base",
    "ub.base": "ub.base",
    "ub.test": "ub.base",
    "ua.base.fit": "ua.base.fit",
    "ua.base.held_out": "ua.base.fit",
}
"""Of a split the part that tells what was rated."""
TASKS: Final = ("rating", "recommendation")
FILES: Final = tuple(
    f"{task}/{split}.jsonl.zst" for task in TASKS for split in TRAINING_PARTS
)

USERS: Final = 944
ITEMS: Final = 1683
RATINGS: Final = 5


class Rating(NamedTuple):
    """A pair of rating/SPLIT.jsonl."""

    user: int
    item: int
    rating: int


class Tokens(NamedTuple):
    """The tokens of a side: own ids, the other side's ids, and those with a rating."""

    own: int
    others: int

    def of(self, other: int, rating: int) -> str:
        """Returns the two tokens that tell of a rating, as JSON."""
        rated = self.own + self.others + other * RATINGS + rating - 1
        return f"{self.own + other}, {rated}"

    @property
    def vocab_size(self) -> int:
        """Returns how many there are."""
        return self.own + self.others * (1 + RATINGS)


IN0: Final = Tokens(USERS, ITEMS)
IN1: Final = Tokens(ITEMS, USERS)


def prepare(output: Path, source: Path | None = None) -> None:
    """Reads movielens.py's pairs and writes the dataset, unless it is there already.

    Args:
        output: The directory to write into.
        source: The directory that movielens.py wrote. None: data/movielens.

    Raises:
        DatasetError: It is not there or not as it was written, or nothing can be
            written.
    """
    if outputs.keep_complete(output, FILES):
        return
    source = source or SOURCE
    ratings = {split: read_ratings(source, split) for split in TRAINING_PARTS}
    with outputs.writing(output, FILES) as paths:
        for split, training in TRAINING_PARTS.items():
            known = Known(ratings[training])
            for task in TASKS:
                path = paths[f"{task}/{split}.jsonl.zst"]
                write_packed(path, known.lines(ratings[split], task))
    print(f"Written to {output} from {source}:")
    print(outputs.summary(output, FILES))
    print(f"  vocab_size: in0 {IN0.vocab_size:,}, in1 {IN1.vocab_size:,}")


def read_ratings(source: Path, split: str) -> list[Rating]:
    """Reads a split's pairs.

    Raises:
        DatasetError: The file is not there, or a line is no pair of one id a side.
    """
    path = source / f"rating/{split}.jsonl"
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise DatasetError(
            f"{path}: {error.strerror}. Run tools/datasets/movielens.py first, or give"
            f" --source, {SOURCES}."
        ) from error
    return [
        _read_rating(line, f"{path}:{number}")
        for number, line in enumerate(lines, start=1)
    ]


def _read_rating(line: bytes, where: str) -> Rating:
    try:
        pair = json.loads(line)
        [user], [item] = pair["in0"], pair["in1"]
        if not (0 <= user < USERS and 0 <= item < ITEMS):
            raise ValueError("no such user or movie")
        return Rating(user, item, pair["label"])
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"{where}: expected a user, a movie and a rating, as movielens.py writes"
            f" them. Received: {line!r}. Run it again."
        ) from error


class Known:
    """What a training part tells of its users and its movies.

    Args:
        training: Its ratings.
    """

    def __init__(self, training: Sequence[Rating]) -> None:
        self._by_user: dict[int, dict[int, str]] = {}
        self._by_item: dict[int, dict[int, str]] = {}
        for user, item, rating in training:
            self._by_user.setdefault(user, {})[item] = IN0.of(item, rating)
            self._by_item.setdefault(item, {})[user] = IN1.of(user, rating)

    def lines(self, rows: Iterable[Rating], task: str) -> Iterator[str]:
        """Yields a line of JSON for each rating, which is left out of its sides."""
        for user, item, rating in rows:
            in0 = _but(self._by_user.get(user, {}), item)
            in1 = _but(self._by_item.get(item, {}), user)
            label = rating if task == "rating" else is_positive(rating)
            yield (
                f'{{"in0": [{", ".join([str(user), *in0])}], '
                f'"in1": [{", ".join([str(item), *in1])}], "label": {label}}}\n'
            )


def _but(tokens: dict[int, str], left_out: int) -> Iterator[str]:
    return (text for other, text in tokens.items() if other != left_out)


def write_packed(path: Path, lines: Iterable[str]) -> None:
    """Writes lines, packed: next to each other they are much alike."""
    with (
        path.open("wb") as file,
        zstandard.ZstdCompressor().stream_writer(file, closefd=False) as packed,
    ):
        for line in lines:
            packed.write(line.encode())


if __name__ == "__main__":
    program.run(prepare, output="data/movielens_history", sources=SOURCES)
