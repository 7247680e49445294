"""The examples of docs/keras.md."""

import doctest
from pathlib import Path

import pytest

_PAGE = Path(__file__).parents[2] / "docs" / "keras.md"


@pytest.mark.long
def test_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("pydot")
    monkeypatch.chdir(tmp_path)
    result = doctest.testfile(str(_PAGE), module_relative=False)
    assert result.attempted > 20
    assert not result.failed
