"""Prepares MovieLens-100k in the order of time, for models that are retrained.

    python tools/datasets/movielens_weeks.py --output=data/movielens_weeks

The ratings come from --source or are downloaded, as movielens.py does. Weeks are
numbered from the first rating; there are 31. For every week from 14 on, --output has a
directory with what is known when the week starts, and with what happens in it:

    WEEK/train.jsonl.zst   a pair for each movie that a user liked (4 or 5) so far
    WEEK/words/in0.json    the vocabulary of in0: all users and movies so far
    WEEK/words/in1.json    the vocabulary of in1: all movies so far
    WEEK/items.jsonl       `{"in1": [movie]}`, all movies so far
    WEEK/seen.jsonl        the movies that each user of test.jsonl has rated so far
    WEEK/test.jsonl        the movies that known users like in this week
    manifest.json          the md5 of every file above

in0 has the user and the last 50 movies that the user has liked so far, except that of
the pair itself: `["u196", "m242", "m51"]`. in1 has a movie: `["m302"]`. Known users
have liked a movie before. Vocabularies grow from week to week. Their words are ordered
by frequency, so that ids change.
"""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[2]))  # so that it runs as a script

from tools.datasets import outputs, program
from tools.datasets.movielens import is_positive, read_raw
from tools.datasets.movielens_history import write_compressed
from tools.datasets.movielens_raw import SOURCES, Rating

FIRST_WEEK: Final = 14
WEEKS: Final = 31
HISTORY: Final = 50
"""The most movies of a user in in0."""
UNKNOWN: Final = "[UNK]"
SECONDS_PER_WEEK: Final = 7 * 24 * 3600
NAMES: Final = (
    *("train.jsonl.zst", "words/in0.json", "words/in1.json"),
    *("items.jsonl", "seen.jsonl", "test.jsonl"),
)
FILES: Final = tuple(
    f"{week}/{name}" for week in range(FIRST_WEEK, WEEKS) for name in NAMES
)


def prepare(output: Path, source: Path | None = None) -> None:
    """Downloads and writes the dataset, unless it already exists.

    Args:
        output: The output directory.
        source: An ml-100k.zip, a directory with u.data and u.item, or a recbole wheel.
            None: download it.

    Raises:
        DatasetError: The data cannot be downloaded, read or written.
    """
    if outputs.is_complete(output, FILES):
        return
    raw = read_raw(source)
    weeks = by_week(raw.ratings)
    with outputs.atomic_outputs(output, FILES) as paths:
        for week in range(FIRST_WEEK, WEEKS):
            past = [row for rows in weeks[:week] for row in rows]
            current = weeks[week] if week < len(weeks) else []
            write_week({name: paths[f"{week}/{name}"] for name in NAMES}, past, current)
    print(f"Written to {output} from {raw.origin}: weeks {FIRST_WEEK} to {WEEKS - 1}")


def by_week(ratings: Sequence[Rating]) -> list[list[Rating]]:
    """Returns the ratings of each week, in the order of time."""
    ordered = sorted(ratings, key=lambda row: row.timestamp)
    weeks: list[list[Rating]] = []
    for row in ordered:
        week = (row.timestamp - ordered[0].timestamp) // SECONDS_PER_WEEK
        while len(weeks) <= week:
            weeks.append([])
        weeks[week].append(row)
    return weeks


def write_week(
    paths: dict[str, Path], past: Sequence[Rating], current: Sequence[Rating]
) -> None:
    """Writes the files of a week.

    Args:
        paths: The path of each of `NAMES`.
        past: All ratings before the week, in the order of time.
        current: The ratings of the week.
    """
    liked, seen = defaultdict(list), defaultdict(list)
    for row in past:
        seen[row.user].append(row.item)
        if is_positive(row.rating):
            liked[row.user].append(row.item)
    users, items = (
        [value for value, _ in Counter(values).most_common()]
        for values in ([row.user for row in past], [row.item for row in past])
    )
    user_words, item_words = map(_user, users), [_item(item) for item in items]
    write_vocabulary(paths["words/in0.json"], [*user_words, *item_words])
    write_vocabulary(paths["words/in1.json"], item_words)
    write_compressed(
        paths["train.jsonl.zst"], map(outputs.json_line, pairs(past, liked))
    )
    outputs.write_rows(paths["items.jsonl"], ({"in1": [item]} for item in item_words))
    known = [
        row
        for row in current
        if liked[row.user] and is_positive(row.rating) and row.item in set(items)
    ]
    outputs.write_rows(paths["test.jsonl"], pairs(known, liked))
    outputs.write_rows(
        paths["seen.jsonl"],
        (
            {"in0": _history(user, liked[user]), "in1": [_item(item)]}
            for user in dict.fromkeys(row.user for row in known)
            for item in seen[user]
        ),
    )


def pairs(
    rows: Iterable[Rating], liked: dict[int, list[int]]
) -> Iterator[dict[str, Any]]:
    """Yields a pair for each liked movie; its history excludes that movie.

    Args:
        rows: Ratings.
        liked: The movies that each user has liked so far, the last one last.
    """
    for row in rows:
        if is_positive(row.rating):
            history = [item for item in liked[row.user] if item != row.item]
            yield {
                "in0": _history(row.user, history),
                "in1": [_item(row.item)],
                "label": 1,
            }


def write_vocabulary(path: Path, words: Iterable[str]) -> None:
    """Writes a vocabulary whose first word is that of unknown ones."""
    ids = {word: id_ for id_, word in enumerate([UNKNOWN, *words])}
    path.write_text(json.dumps(ids, indent=0) + "\n", encoding="utf-8")


def _history(user: int, items: Sequence[int]) -> list[str]:
    return [_user(user), *map(_item, items[-HISTORY:])]


def _user(user: int) -> str:
    return f"u{user}"


def _item(item: int) -> str:
    return f"m{item}"


if __name__ == "__main__":
    program.run(prepare, output="data/movielens_weeks", sources=SOURCES)
