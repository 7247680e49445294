"""Doctests of the packages run in a temporary current directory."""

import pytest


@pytest.fixture(autouse=True)
def _doctest_directory(request, monkeypatch, tmp_path_factory):
    if isinstance(request.node, pytest.DoctestItem):
        monkeypatch.chdir(tmp_path_factory.mktemp("doctest"))
