"""Bounds the pages of mapped files that count as memory of this process.

The system keeps pages of files in memory as long as it has room, for all processes
together. Those that a process has mapped and read count as its own resident memory,
though it does not need them: with random reads, soon most of a file. Where memory is
limited by process, it would look as if the process needed it.
"""

from __future__ import annotations

import contextlib
import mmap
import threading
import weakref
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

_STATM: Final = Path("/proc/self/statm")
_MAX_BYTES: Final = 1 << 28
_DONT_NEED: Final = getattr(mmap, "MADV_DONTNEED", None)
_RANDOM: Final = getattr(mmap, "MADV_RANDOM", None)
_WILL_NEED: Final = getattr(mmap, "MADV_WILLNEED", None)

Ids = npt.NDArray[np.int64]


class MappedPages:
    """The mapped files of a process; a thread may read them while others release pages.

    A page that is released and read again comes from the system's cache, in about a
    microsecond, or else from the disk.

    Args:
        max_bytes: Pages are released when those in use take more than this.
    """

    def __init__(self, max_bytes: int = _MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._mappings: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._others = resident_file_bytes()

    def map(self, descriptor: int) -> mmap.mmap:
        """Maps a file, of which random parts will be read.

        Args:
            descriptor: The open file, which is not empty.
        """
        mapping = mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
        if _RANDOM is not None:  # else the system reads 128 KB and more for each row
            mapping.madvise(_RANDOM)
        with self._lock:
            self._mappings.add(mapping)
        return mapping

    def release_if_many(self) -> None:
        """Releases all pages if they take too much memory, or if that is not known.

        One fault of a page maps its neighbors too, up to 2 MB. So this is called after
        every hundred or so random reads.
        """
        resident = resident_file_bytes()
        if resident is not None and self._others is not None:
            self._others = min(self._others, resident)
            if resident - self._others <= self._max_bytes:
                return
        self.release()

    def release(self) -> None:
        """Releases all pages; the next reads get them again."""
        if _DONT_NEED is None:
            return
        with self._lock:
            for mapping in self._mappings:
                with contextlib.suppress(OSError):  # it only saves memory
                    mapping.madvise(_DONT_NEED)
            self._others = resident_file_bytes()


def prefetch_pages(mapping: mmap.mmap, offsets: Ids, size: int) -> None:
    """Lets the system read parts of a mapped file from the disk, all at the same time.

    Without this, each part is read when the one before it has arrived, and meanwhile
    numpy blocks all other threads of the process.

    Args:
        mapping: The mapped file.
        offsets: The positions of the parts.
        size: The size of a part.
    """
    if _WILL_NEED is None:
        return
    for offset in offsets.tolist():
        start = offset - offset % mmap.PAGESIZE
        with contextlib.suppress(OSError):  # it only saves time
            mapping.madvise(_WILL_NEED, start, offset + size - start)


def resident_file_bytes() -> int | None:
    """Returns the memory of this process that is mapped from files; None if unknown.

    Shared libraries are included. Linux reports it.
    """
    try:
        return int(_STATM.read_bytes().split()[2]) * mmap.PAGESIZE
    except (OSError, ValueError, IndexError):
        return None
