"""Tests of object2vec_tf/files/locks.py against locks of a second process."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from object2vec_tf.files.locks import is_locked, locked

PROGRAM = """
import fcntl, os, sys, time
descriptor = os.open(sys.argv[1], os.O_RDONLY)
fcntl.flock(descriptor, int(sys.argv[2]))
print("locked", flush=True)
time.sleep(float(sys.argv[3]))
"""
SHARED, EXCLUSIVE = 1, 2


@contextmanager
def other_process(path: Path, kind: int, seconds: float = 60) -> Iterator[None]:
    """Holds a lock in another process for some seconds."""
    command = [sys.executable, "-c", PROGRAM, str(path), str(kind), str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        try:
            yield
        finally:
            process.kill()


def test_a_lock_file_is_created_and_a_directory_is_locked_itself(tmp_path: Path):
    for path in (tmp_path / "lock", tmp_path):
        with locked(path):
            assert path.exists()
            assert is_locked(path)
        assert not is_locked(path)


def test_an_exclusive_lock_of_another_process_fails_at_once(tmp_path: Path):
    with other_process(tmp_path, EXCLUSIVE):
        assert is_locked(tmp_path)
        for shared in (False, True):
            with (
                pytest.raises(BlockingIOError),
                locked(tmp_path, shared=shared, timeout=0),
            ):
                pass


def test_shared_locks_exclude_only_exclusive_ones(tmp_path: Path):
    with other_process(tmp_path, SHARED):
        with locked(tmp_path, shared=True, timeout=0):
            pass
        with pytest.raises(BlockingIOError), locked(tmp_path, timeout=0):
            pass


@pytest.mark.parametrize("timeout", [None, 30.0])
def test_a_lock_is_waited_for(tmp_path: Path, timeout: float | None):
    with other_process(tmp_path, EXCLUSIVE, seconds=0.5):
        start = time.monotonic()
        with locked(tmp_path, timeout=timeout):
            assert time.monotonic() - start > 0.2


def test_the_timeout_ends_the_wait(tmp_path: Path):
    with other_process(tmp_path, EXCLUSIVE):
        start = time.monotonic()
        with pytest.raises(BlockingIOError), locked(tmp_path, timeout=0.3):
            pass
        assert time.monotonic() - start >= 0.3


def test_a_missing_path_is_not_locked(tmp_path: Path):
    assert not is_locked(tmp_path / "missing")
    assert not (tmp_path / "missing").exists()
