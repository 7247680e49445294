"""Files that cannot be replaced: devices, FIFOs, and the open files of this process.

``/dev/null``, a FIFO or ``/dev/stdout`` as an output is written to. A symbolic link
stays, and the file that it refers to is the output.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from object2vec_tf.files.leftovers import full_disk_named, scratch_directory
from object2vec_tf.standard_streams import is_missing

# The names of the open files of this process; /dev/stdout is a link to one of them.
_DESCRIPTOR = re.compile(r"/(?:dev|proc/([^/]+))/fd/([0-9]+)")
_STDOUT = 1
_COPY_BYTES = 1 << 20
_MAX_LINKS = 40


def is_special(path: Path) -> bool:
    """Returns whether a path exists and is neither a regular file nor a directory.

    The names of open files, such as ``/dev/stdout``, are special too.

    Example:
        >>> is_special(Path("/dev/null")), is_special(Path("/tmp"))
        (True, False)
    """
    if _descriptor(path) is not None:
        return True
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def is_stdout(path: Path) -> bool:
    """Returns whether a path is a name of the standard output, or is the same file."""
    descriptor = _descriptor(path)
    if descriptor is not None:
        return descriptor == _STDOUT
    try:
        return is_special(path) and os.path.samestat(path.stat(), os.fstat(_STDOUT))
    except OSError:
        return False


def target_of(path: Path) -> Path:
    """Returns the path that a symbolic link refers to, which may not exist.

    Example:
        >>> link = Path("link.jsonl")
        >>> link.symlink_to("results.jsonl")
        >>> target_of(link).name, target_of(Path("results.jsonl"))
        ('results.jsonl', PosixPath('results.jsonl'))
    """
    return Path(os.path.realpath(path)) if path.is_symlink() else path


@contextmanager
def open_for_writing(path: Path) -> Iterator[Path]:
    """Yields a path that is opened once to write into a special file.

    A FIFO or a device is written to while the context lasts. If an open file is a
    regular one, such as the standard output after ``> answers.jsonl``, the content is
    appended to it when the context ends without an error.

    Args:
        path: A special file.

    Raises:
        OSError: There is no such open file.
    """
    descriptor = _descriptor(path)
    if descriptor is None:
        yield path
        return
    if descriptor == _STDOUT and is_missing("stdout"):
        raise OSError(errno.EBADF, os.strerror(errno.EBADF), str(path))
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
        yield path
        return
    with scratch_directory("output") as directory:
        content = directory / "content"
        content.touch()
        yield content
        with (
            full_disk_named(path),
            content.open("rb") as source,
            os.fdopen(os.dup(descriptor), "wb") as file,
        ):
            while chunk := source.read(_COPY_BYTES):
                file.write(chunk)


def scratch_parent(path: Path) -> Path:
    """Returns where temporary files of an output belong: its directory if possible.

    Example:
        >>> scratch_parent(Path("results/answers.jsonl"))
        PosixPath('results')
    """
    if is_special(path):
        return Path(tempfile.gettempdir())
    return target_of(path).parent


def _descriptor(path: Path) -> int | None:
    """Returns the number of the open file of this process that a path is a name of."""
    path = path.absolute()
    for _ in range(_MAX_LINKS):
        match = _DESCRIPTOR.fullmatch(str(path))
        if match and match[1] in ("self", "thread-self", str(os.getpid()), None):
            return int(match[2])
        if not path.is_symlink():
            return None
        path = path.parent / path.readlink()
    return None
