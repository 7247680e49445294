"""Tests of object2vec_tf/tables/resident_memory.py."""

import errno
import os
import sys

import numpy as np
import pytest

from object2vec_tf.tables.resident_memory import (
    MappedPages,
    prefetch_pages,
    resident_file_bytes,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")

SIZE = 64 << 20


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(SIZE))
    return path


def _read_all(pages, path):
    """Returns a mapping, all pages of which were read, and the growth of memory."""
    before = resident_file_bytes()
    with path.open("rb") as file:
        mapping = pages.map(file.fileno())
    assert np.frombuffer(mapping, np.uint8)[::4096].sum() == 0
    return mapping, resident_file_bytes() - before


def test_pages_are_released_above_the_limit_only(path):
    large, small = MappedPages(1 << 30), MappedPages(1 << 20)
    for pages, remaining in ((large, SIZE), (small, 0)):
        mapping, grown = _read_all(pages, path)
        assert grown > SIZE // 2
        before = resident_file_bytes()
        pages.release_if_many()
        released = before - resident_file_bytes()
        assert (released > SIZE // 2) == (remaining == 0)
        pages.release()
        assert mapping[-1] == 0  # is read from the file again


def test_a_mapping_that_is_gone_is_forgotten(path):
    pages = MappedPages(0)
    mapping, _ = _read_all(pages, path)
    del mapping
    pages.release()


class _Busy:
    """A mapping of a system that cannot read ahead now."""

    def madvise(self, *args):
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))


def test_reading_ahead_may_fail():
    prefetch_pages(_Busy(), np.array([0, 5000]), 20)
