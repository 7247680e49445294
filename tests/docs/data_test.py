"""The examples of docs/data.md."""

import doctest
from pathlib import Path

import pytest

_PAGE = Path(__file__).parents[2] / "docs" / "data.md"


@pytest.mark.long
def test_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    result = doctest.testfile(str(_PAGE), module_relative=False)
    assert result.attempted > 20
    assert not result.failed
