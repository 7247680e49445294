"""Compares all readers of JSON Lines with the reference, on files with mistakes."""

import tempfile
from pathlib import Path

import pytest

from tests.line_fuzzer import differences, memory_folder


@pytest.mark.parametrize(
    ("first_seed", "cases"),
    [(0, 2000), pytest.param(10**6, 100_000, marks=pytest.mark.long)],
)
def test_all_readers_take_the_same_lines(first_seed, cases):
    with tempfile.TemporaryDirectory(dir=memory_folder()) as folder:
        assert list(differences(first_seed, cases, Path(folder))) == []
