"""Adds rating histories to MovieLens pairs: the user's movies and the movie's users.

    python tools/datasets/movielens_history.py --output=data/movielens_history

Reads the pairs that movielens.py wrote (--source, by default data/movielens). Files
written to --output, compressed with Zstandard, which fit reads directly:

    rating/SPLIT.jsonl.zst            label: the rating, 1 to 5
    recommendation/SPLIT.jsonl.zst    label: 1 if the rating is above 3, else 0
    manifest.json                     the md5 of every file above

in0 has the user id and two tokens for every movie that the user rated in the training
part: the movie, and the movie with its rating. in1 has the movie id and the same two
tokens for every user who rated the movie in the training part. The rating of the pair
itself is always left out, so that training pairs and test pairs have the same kind of
input.

SPLIT is ua.base, ua.test, ub.base or ub.test, or one of ua.base.fit and
ua.base.held_out for choosing hyperparameters without using ua.test. For the ratings,
SPLIT is also uN.base or uN.test with N from 1 to 5, or u1.base.fit or
u1.base.held_out. If all files already exist and match the manifest, nothing is done.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import pyarrow as pa

sys.path.insert(0, str(Path(__file__).parents[2]))  # so that it runs as a script

from tools.datasets import outputs, program
from tools.datasets.movielens import SPLITS, is_positive
from tools.datasets.sources import DatasetError

SOURCE: Final = Path("data/movielens")
SOURCES: Final = "the output directory of movielens.py"
FILES: Final = tuple(
    f"{task}/{split}.jsonl.zst" for task, splits in SPLITS.items() for split in splits
)

USERS: Final = 944
ITEMS: Final = 1683
RATINGS: Final = 5


class Rating(NamedTuple):
    """A pair of rating/SPLIT.jsonl."""

    user: int
    item: int
    rating: int


class HistoryTokens(NamedTuple):
    """Token ids of one side of a pair.

    The vocabulary has three blocks: the ids of the side itself, the ids of the other
    side, and the combinations of an id of the other side and a rating.

    Attributes:
        own: Number of ids of the side itself.
        others: Number of ids of the other side.
    """

    own: int
    others: int

    def encode(self, other: int, rating: int) -> str:
        """Returns the two tokens of a rating, as comma-separated JSON numbers."""
        with_rating = self.own + self.others + other * RATINGS + rating - 1
        return f"{self.own + other}, {with_rating}"

    @property
    def vocab_size(self) -> int:
        """The number of token ids."""
        return self.own + self.others * (1 + RATINGS)


IN0: Final = HistoryTokens(USERS, ITEMS)
IN1: Final = HistoryTokens(ITEMS, USERS)


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
    ratings = {split: read_ratings(source, split) for split in SPLITS["rating"]}
    with outputs.atomic_outputs(output, FILES) as paths:
        for task, splits in SPLITS.items():
            for split in splits:
                histories = Histories(ratings[training_part(split)])
                path = paths[f"{task}/{split}.jsonl.zst"]
                write_compressed(path, histories.lines(ratings[split], task))
    print(f"Written to {output} from {source}:")
    print(outputs.summary(output, FILES))
    print(f"  vocab_size: in0 {IN0.vocab_size:,}, in1 {IN1.vocab_size:,}")


def training_part(split: str) -> str:
    """Returns the split whose ratings are the histories of a split."""
    return split.replace(".test", ".base").replace(".held_out", ".fit")


def read_ratings(source: Path, split: str) -> list[Rating]:
    """Reads the pairs of a split.

    Raises:
        DatasetError: The file is missing, or a line is not a pair of single ids.
    """
    path = source / f"rating/{split}.jsonl"
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise DatasetError(
            f"{path}: {error.strerror}. Run tools/datasets/movielens.py first, or set"
            f" --source to {SOURCES}."
        ) from error
    return [
        _parse_rating(line, f"{path}:{number}")
        for number, line in enumerate(lines, start=1)
    ]


def _parse_rating(line: bytes, location: str) -> Rating:
    try:
        pair = json.loads(line)
        [user], [item] = pair["in0"], pair["in1"]
        if not (0 <= user < USERS and 0 <= item < ITEMS):
            raise ValueError("no such user or movie")
        return Rating(user, item, pair["label"])
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"{location}: expected a pair of a user and a movie with a rating, as"
            f" movielens.py writes it, got {line!r}. Run movielens.py again."
        ) from error


class Histories:
    """The ratings of a training part by user and by movie, as tokens.

    Args:
        training: The ratings of the training part.
    """

    def __init__(self, training: Sequence[Rating]) -> None:
        self._by_user: dict[int, dict[int, str]] = {}
        self._by_item: dict[int, dict[int, str]] = {}
        for user, item, rating in training:
            self._by_user.setdefault(user, {})[item] = IN0.encode(item, rating)
            self._by_item.setdefault(item, {})[user] = IN1.encode(user, rating)

    def lines(self, rows: Iterable[Rating], task: str) -> Iterator[str]:
        """Yields a JSON line for each rating; its histories exclude that rating."""
        for user, item, rating in rows:
            label = rating if task == "rating" else is_positive(rating)
            yield self.line(user, item, label)

    def line(self, user: int, item: int, label: int, more: Iterable[str] = ()) -> str:
        """Returns the JSON line of a pair; its histories exclude the rating itself.

        Args:
            user: The user of in0.
            item: The movie of in1.
            label: The label.
            more: More tokens of in0, after the history.
        """
        in0 = _excluding(self._by_user.get(user, {}), item)
        in1 = _excluding(self._by_item.get(item, {}), user)
        return (
            f'{{"in0": [{", ".join([str(user), *in0, *more])}], '
            f'"in1": [{", ".join([str(item), *in1])}], "label": {label}}}\n'
        )


def _excluding(tokens: dict[int, str], excluded: int) -> Iterator[str]:
    return (text for other, text in tokens.items() if other != excluded)


def write_compressed(path: Path, lines: Iterable[str]) -> None:
    """Writes lines compressed with Zstandard."""
    with pa.output_stream(path, "zstd", buffer_size=1 << 20) as file:
        for line in lines:
            file.write(line.encode())


if __name__ == "__main__":
    program.run(prepare, output="data/movielens_history", sources=SOURCES)
