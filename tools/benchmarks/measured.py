"""What a measurement depends on: settings, data, versions of packages, processor."""

from __future__ import annotations

import datetime
import hashlib
import importlib.metadata
import os
import platform
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_CHANNELS = ("train", "validation", "test", "auxiliary")
_PACKAGES = ("object2vec_tf", "tensorflow", "keras")
_DIGITS = 16


def settings(flagfile: Path) -> list[str]:
    """Returns the flags in a flagfile and in those that it names, without comments."""
    flags = []
    for line in map(str.strip, flagfile.read_text(encoding="utf-8").splitlines()):
        if line.startswith("--flagfile="):
            flags += settings(ROOT / line.partition("=")[2])
        elif line and not line.startswith("#"):
            flags.append(line)
    return flags


def settings_digest(flagfile: Path, *overrides: str) -> str:
    """Returns a digest of the flags of a recipe; comments do not change it.

    Args:
        flagfile: The recipe.
        *overrides: Flags that the command line adds.
    """
    return _digest("\n".join([*settings(flagfile), *overrides]).encode())


def data_digests(flagfile: Path, *overrides: str) -> dict[str, str]:
    """Returns the digest of each file of a recipe's channels that exists.

    Args:
        flagfile: The recipe.
        *overrides: Flags that the command line adds, such as ``--test=``.
    """
    channels: dict[str, str] = {}
    for flag in (*settings(flagfile), *overrides):
        name, _, value = flag.removeprefix("--").partition("=")
        if name in _CHANNELS:
            channels[name] = value
    paths = [
        Path(path) for value in channels.values() for path in value.split(",") if path
    ]
    return file_digests(*paths)


def file_digests(*paths: Path) -> dict[str, str]:
    """Returns the digest of each file that exists, by its path."""
    return {
        path.as_posix(): file_digest(path)
        for path in dict.fromkeys(paths)
        if path.is_file()
    }


def file_digest(path: Path) -> str:
    """Returns a digest of the content of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:_DIGITS]


def environment() -> dict[str, Any]:
    """Returns the date, the versions of the packages, and the processor."""
    return {
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "versions": {
            **{name: importlib.metadata.version(name) for name in _PACKAGES},
            "python": platform.python_version(),
        },
        "processor": processor(),
    }


def processor() -> str:
    """Returns the name of the processor, and the number of cores of this process."""
    names = [*_processor_names(Path("/proc/cpuinfo")), platform.machine()]
    name = re.sub(r"\s+", " ", re.sub(r"\((R|TM)\)| CPU", "", names[0]))
    return f"{name}, {len(os.sched_getaffinity(0))} cores"


def _processor_names(cpuinfo: Path) -> Iterator[str]:
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                yield line.partition(":")[2].strip()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:_DIGITS]
