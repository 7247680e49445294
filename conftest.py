"""Doctests of the packages run in a temporary current directory."""

import pytest

# Commands define flags when they are imported, and several define the same names.
COMMANDS = ("fit", "neighbors", "sagemaker", "transform", "tune", "vocabulary")
collect_ignore = [
    "export/__main__.py",
    "export/gateway.py",
    "export/tf_serving",
    *(f"object2vec_tf/{command}.py" for command in COMMANDS),
]


@pytest.fixture(autouse=True)
def _doctest_directory(request, monkeypatch, tmp_path_factory):
    if isinstance(request.node, pytest.DoctestItem):
        monkeypatch.chdir(tmp_path_factory.mktemp("doctest"))
