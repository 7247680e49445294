"""Advisory locks of files and directories between processes."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_RETRY_SECONDS = 0.1


@contextmanager
def locked(
    path: Path, *, shared: bool = False, timeout: float | None = None
) -> Iterator[int]:
    """Locks a path against other processes while the context lasts.

    Args:
        path: A directory, or a lock file, which is created where it is missing.
        shared: Whether other processes may hold shared locks at the same time.
        timeout: Seconds to wait for the lock; 0 fails at once, None waits forever.

    Yields:
        The locked file descriptor. A child process that inherits it keeps the lock
        until the child ends.

    Raises:
        BlockingIOError: Another process holds the lock after the timeout.
        OSError: The path cannot be opened.
    """
    is_directory = path.is_dir()
    flags = os.O_RDONLY if is_directory else os.O_RDWR | os.O_APPEND | os.O_CREAT
    descriptor = os.open(path, flags, 0o666)
    try:
        lock(descriptor, shared=shared, timeout=timeout)
        yield descriptor
    finally:
        os.close(descriptor)


def lock(
    descriptor: int, *, shared: bool = False, timeout: float | None = None
) -> None:
    """Locks an open file until all copies of its descriptor are closed.

    Args:
        descriptor: The open file.
        shared: Whether other processes may hold shared locks at the same time.
        timeout: Seconds to wait for the lock; 0 fails at once, None waits forever.

    Raises:
        BlockingIOError: Another process holds the lock after the timeout.
    """
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    if timeout is None:
        fcntl.flock(descriptor, kind)
        return
    deadline = time.monotonic() + timeout
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_RETRY_SECONDS)
        else:
            return


def is_locked(path: Path) -> bool:
    """Returns whether a process holds a lock of a path; False where it is missing."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        lock(descriptor, timeout=0)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False
