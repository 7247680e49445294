"""Adds to rating histories what the user rated at about the same time.

    python tools/datasets/movielens_times.py --output=data/movielens_times

The ratings come from --source or are downloaded, as movielens.py does. Files written to
--output, compressed with Zstandard, which fit reads directly:

    rating/SPLIT.jsonl.zst   label: the rating, 1 to 5
    manifest.json            the md5 of every file above

Pairs are those of movielens_history.py with more tokens in in0: one for each of the
5 ratings of the user that are nearest in time to that of the pair, up to 5 minutes
before or after it. Such a token is a rating value combined with the distance in time:
the same second, up to 10 seconds, up to a minute, or more. MovieLens showed several
movies on a page, whose ratings have the same timestamp if they were sent together.
Ratings from one page or one visit differ from the user's other ratings in the same
direction.

Only ratings of the training part are used, and never that of the pair itself. They may
be later than the rating of the pair, as in the histories: the splits of MovieLens-100k
are not ordered by time. Timestamps are side information that most published models of
these splits do not use.

SPLIT is one of the splits of the ratings, see movielens.py. If all files already exist
and match the manifest, nothing is done.
"""

from __future__ import annotations

import bisect
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[2]))  # so that it runs as a script

from tools.datasets import outputs, program
from tools.datasets.movielens import SPLITS, all_splits, read_splits
from tools.datasets.movielens_history import (
    IN0,
    IN1,
    RATINGS,
    Histories,
    training_part,
    write_compressed,
)
from tools.datasets.movielens_history import Rating as RatingOnly
from tools.datasets.movielens_raw import SOURCES, Rating

FILES: Final = tuple(f"rating/{split}.jsonl.zst" for split in SPLITS["rating"])

NEAREST: Final = 5
"""The most near ratings of a pair."""
DISTANCES: Final = (0, 10, 60, 300)
"""The largest distances in time of near ratings, in seconds, one for each token."""
VOCAB_SIZE: Final = IN0.vocab_size + RATINGS * len(DISTANCES)
"""The number of token ids of in0."""


def prepare(output: Path, source: Path | None = None) -> None:
    """Downloads, splits and writes the dataset, unless it already exists.

    Args:
        output: The output directory.
        source: An ml-100k.zip, a directory with u.data and u.item, or a recbole wheel.
            None: download it.

    Raises:
        DatasetError: The data cannot be downloaded, read or written, or is not
            MovieLens-100k.
    """
    if outputs.is_complete(output, FILES):
        return
    raw, splits = read_splits(source)
    write(output, all_splits(splits))
    print(f"Written to {output} from {raw.origin}:")
    print(outputs.summary(output, FILES))
    print(f"  vocab_size: in0 {VOCAB_SIZE:,}, in1 {IN1.vocab_size:,}")


def write(output: Path, splits: dict[str, list[Rating]]) -> None:
    """Writes all files.

    Args:
        output: The output directory.
        splits: The rows of each split.

    Raises:
        DatasetError: The directory cannot be written.
    """
    with outputs.atomic_outputs(output, FILES) as paths:
        for split in SPLITS["rating"]:
            training = splits[training_part(split)]
            path = paths[f"rating/{split}.jsonl.zst"]
            write_compressed(path, lines(splits[split], training))


def lines(rows: Iterable[Rating], training: Sequence[Rating]) -> Iterator[str]:
    """Yields the JSON line of each rating.

    Args:
        rows: The ratings.
        training: The ratings of the training part.
    """
    histories = Histories([RatingOnly(*row[:3]) for row in training])
    near = NearRatings(training)
    for row in rows:
        yield histories.line(row.user, row.item, row.rating, near.tokens(row))


class NearRatings:
    """The ratings of a training part by user and time.

    Args:
        training: The ratings of the training part.
    """

    def __init__(self, training: Iterable[Rating]) -> None:
        self._by_user: dict[int, list[Rating]] = defaultdict(list)
        for row in sorted(training, key=lambda row: (row.timestamp, row.item)):
            self._by_user[row.user].append(row)

    def tokens(self, pair: Rating) -> list[str]:
        """Returns the tokens of the ratings that are near to that of a pair.

        The nearest one comes first. Of two at the same distance, the earlier one comes
        first, and of two in the same second, that of the smaller movie id.

        Args:
            pair: The pair; its value is not used, and its own rating is left out.
        """
        ratings = self._by_user.get(pair.user, [])
        start = bisect.bisect_left(
            ratings, pair.timestamp - DISTANCES[-1], key=lambda row: row.timestamp
        )
        end = bisect.bisect_right(
            ratings, pair.timestamp + DISTANCES[-1], key=lambda row: row.timestamp
        )
        near = sorted(
            (row for row in ratings[start:end] if row.item != pair.item),
            key=lambda row: abs(row.timestamp - pair.timestamp),
        )
        return [
            encode(row.rating, abs(row.timestamp - pair.timestamp))
            for row in near[:NEAREST]
        ]


def encode(rating: int, distance: int) -> str:
    """Returns the token of a near rating.

    Args:
        rating: Its value.
        distance: Its distance in time from the pair's, in seconds.

    Example:
        >>> encode(5, 0), encode(1, 10), encode(1, 11)
        ('11046', '11047', '11052')
    """
    position = bisect.bisect_left(DISTANCES, distance)
    return str(IN0.vocab_size + RATINGS * position + rating - 1)


if __name__ == "__main__":
    program.run(prepare, output="data/movielens_times", sources=SOURCES)
