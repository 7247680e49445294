"""What a staging directory knows of the remote directory that follows it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import time
import uuid
from pathlib import Path
from typing import Any, Final

import msgspec

from object2vec_tf.errors import UserError
from object2vec_tf.files.locks import locked
from object2vec_tf.files.sealed_json import read_sealed, sealed_text
from object2vec_tf.files.staging import MIN_SECONDS, limit_bytes, size_of

# A staging directory without files to upload is removed after this time without use.
_MAX_SECONDS = 7 * 24 * 3600
_STATE = "state.json"
_FIELDS = ("writer", "claimed", "clean", "uploaded")
# The file in a remote directory that names the staging directory which writes to it.
MARKER: Final = ".object2vec_tf.json"

# Size and time of the last change of a local file.
Signature = tuple[int, int]


@dataclasses.dataclass
class MirrorState:
    """What a staging directory knows of its remote directory, in state.json.

    Attributes:
        writer: The name of the staging directory.
        claimed: Whether the marker was written.
        clean: Whether all files are uploaded.
        uploaded: The local files of which the remote directory has a copy.
    """

    writer: str = dataclasses.field(default_factory=lambda: uuid.uuid4().hex)
    claimed: bool = False
    clean: bool = False
    uploaded: dict[str, Signature] = dataclasses.field(default_factory=dict)

    @staticmethod
    def read(home: Path) -> MirrorState | None:
        """Returns the state in a staging directory; None if there is none."""
        try:
            state = read_sealed(home / _STATE, "", required=_FIELDS)
            return msgspec.convert(state, MirrorState)
        except (UserError, msgspec.ValidationError):
            return None

    @staticmethod
    def remove(home: Path) -> None:
        """Removes the state in a staging directory."""
        (home / _STATE).unlink(missing_ok=True)

    def save(self, home: Path) -> None:
        """Writes the state to a staging directory.

        It is not synchronized with the disk, for speed: after a power failure the
        remote directory counts, as on a new machine.
        """
        temporary = home / f"{_STATE}.new"
        temporary.write_text(sealed_text(dataclasses.asdict(self)), encoding="utf-8")
        temporary.replace(home / _STATE)


def size_and_time(path: Path) -> Signature:
    """Returns size and time of the last change of a file."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def parse_marker(content: bytes | None) -> dict[str, Any]:
    """Returns the content of a marker; an unreadable one is of another writer.

    Example:
        >>> parse_marker(b'{"writer": "a0", "host": "one"}')["host"]
        'one'
        >>> parse_marker(None), parse_marker(b"damaged")
        ({}, {'writer': ''})
    """
    if content is None:
        return {}
    try:
        marker = json.loads(content)
    except (ValueError, RecursionError):
        marker = None
    return marker if isinstance(marker, dict) and marker else {"writer": ""}


def remove_unused(parent: Path, current: Path) -> None:
    """Removes staging directories that are uploaded, and old or above the limit.

    Args:
        parent: The directory of the staging directories.
        current: The one that is being used.
    """
    limit, now, sizes = limit_bytes(), time.time(), size_of(current)
    others = ((_last_use(home), home) for home in parent.iterdir() if home != current)
    for last_use, home in sorted(others, reverse=True):  # the last used ones first
        sizes += size_of(home)
        age = now - last_use
        if age > _MAX_SECONDS or (age > MIN_SECONDS and sizes > limit):
            state = MirrorState.read(home)
            if state and state.clean:
                with contextlib.suppress(OSError), locked(home / "lock", timeout=0):
                    shutil.rmtree(home, ignore_errors=True)


def _last_use(home: Path) -> float:
    """Returns when the state was last written; now, if there is none."""
    try:
        return (home / _STATE).stat().st_mtime
    except OSError:
        return time.time()
