"""Flips single bits in the files of a directory, and checks what doors make of them.

A door is a function of the directory: it resumes the run, loads the model, searches the
index. For each flip its result must be one that is expected, or a user error. Another
result is silent damage, another exception a traceback.
"""

from __future__ import annotations

import collections
import dataclasses
import fnmatch
import json
import random
import shutil
import traceback
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from object2vec_tf.errors import UserError

Door = Callable[[Path], Any]
GARBAGE = b"\xa5garbage"


def flipped(data: bytes, bit: int) -> bytes:
    """Returns a copy of bytes in which one bit is flipped.

    Args:
        data: The bytes.
        bit: The number of the bit; the lowest bit of the first byte is 0.
    """
    copy = bytearray(data)
    copy[bit // 8] ^= 1 << bit % 8
    return bytes(copy)


def outcome(
    directory: Path, flip: tuple[str, int], command: Callable[[], Any], expected: Any
) -> str:
    """Runs a command on a damaged directory; returns "same" or "user error".

    Args:
        directory: The directory.
        flip: The file and the bit that was flipped, for messages.
        command: Reads the directory.
        expected: The result of the command without damage.

    Raises:
        AssertionError: The command returns something else than expected, or its error
            does not name the directory.
    """
    try:
        result = command()
    except UserError as error:
        if f"{directory}" not in str(error):
            message = f"{flip}: {error} does not name {directory}"
            raise AssertionError(message) from error
        return "user error"
    assert result == expected, flip
    return "same"


@dataclasses.dataclass
class Report:
    """What happened in a flip test.

    Attributes:
        seed: The seed of the flips.
        flips: The number of flips by file.
        counts: The number of cases by door and outcome: user error, or as expected.
        failures: A line for each case of silent damage, and a traceback for each
            exception that is not a user error.
    """

    seed: int
    flips: collections.Counter[str] = dataclasses.field(
        default_factory=collections.Counter
    )
    counts: collections.Counter[tuple[str, str]] = dataclasses.field(
        default_factory=collections.Counter
    )
    failures: list[str] = dataclasses.field(default_factory=list)

    def __str__(self) -> str:
        """Returns the figures as a table."""
        lines = [f"seed {self.seed}: {self.flips.total()} flips"]
        lines += [f"  {n:6} {name}" for name, n in sorted(self.flips.items())]
        lines += [
            f"{door}: {n} {outcome}"
            for (door, outcome), n in sorted(self.counts.items())
        ]
        return "\n".join([*lines, f"{len(self.failures)} failures", *self.failures])


def flip_test(
    directory: Path,
    doors: Mapping[str, tuple[Door, Sequence[Any]]],
    flips: int,
    seed: int,
    exclude: Collection[str] = (),
    *,
    skip_unread: bool = True,
) -> Report:
    """Flips bits, one at a time, and sends the directory through all doors.

    Half of the flips are in files that are drawn uniformly, so that small files are
    not missed, and half at bytes that are. A door that gives the same result with
    another content of a file does not read it: flips in it are not sent through.

    Args:
        directory: The directory. Doors that write files have to copy it.
        doors: By name, a door, and the results that are expected of it: first the one
            without damage.
        flips: The number of flips.
        seed: The seed of the flips.
        exclude: Patterns of files to leave alone.
        skip_unread: Whether doors that do not read a file are skipped. A door that
            repairs all damage seems to read nothing.
    """
    report = Report(seed)
    files = {
        path.relative_to(directory).as_posix(): path
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.stat().st_size
    }
    files = {
        name: path
        for name, path in files.items()
        if not any(fnmatch.fnmatch(name, pattern) for pattern in exclude)
    }
    readers = {
        name: [
            door
            for door, (function, expected) in doors.items()
            if not skip_unread or _reads(directory, path, function, expected[0])
        ]
        for name, path in files.items()
    }
    generator = random.Random(seed)
    names, sizes = list(files), [path.stat().st_size for path in files.values()]
    for number in range(flips):
        (name,) = generator.choices(names, sizes if number % 2 else None)
        path = files[name]
        bit = generator.randrange(8 * path.stat().st_size)
        report.flips[name] += 1
        data = path.read_bytes()
        with _content(path, flipped(data, bit)):
            for door, (function, expected) in doors.items():
                if door in readers[name]:
                    case = f"{door}: bit {bit} of {name}"
                    outcome = _send(directory, function, expected, case, report)
                else:
                    outcome = "does not read the file"
                report.counts[door, outcome] += 1
    return report


def _reads(directory: Path, path: Path, door: Door, intact: Any) -> bool:
    """Returns whether the result of a door depends on the content of a file."""
    with _content(path, GARBAGE):
        return _send(directory, door, [intact], "", Report(0)) != "as expected"


def _send(
    directory: Path,
    door: Door,
    expected: Collection[Any],
    case: str,
    report: Report,
) -> str:
    """Sends a damaged directory through a door; returns the outcome."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = door(directory)
    except UserError as error:
        if "\n  File " in str(error):
            report.failures.append(f"{case}: a traceback in a message: {error}")
        return "user error"
    except Exception:
        report.failures.append(f"{case}: {traceback.format_exc()}")
        return "TRACEBACK"
    if result in expected:
        return "as expected"
    report.failures.append(f"{case}: SILENT: {result!r:.300}")
    return "SILENT"


@contextmanager
def _content(path: Path, data: bytes) -> Iterator[None]:
    """Replaces the content of a file while the context lasts.

    A hard link of the file keeps its content.
    """
    aside = path.with_name(f".{path.name}.aside")
    path.rename(aside)
    try:
        path.write_bytes(data)
        yield
    finally:
        path.unlink(missing_ok=True)
        aside.rename(path)


def copied(directory: Path, destination: Path) -> Path:
    """Returns a copy of a directory, which replaces an earlier one."""
    shutil.rmtree(destination, ignore_errors=True)
    return shutil.copytree(directory, destination, symlinks=True)


def frozen(value: Any) -> str:
    """Returns a value of JSON as a string, to be compared."""
    return json.dumps(value, sort_keys=True)
