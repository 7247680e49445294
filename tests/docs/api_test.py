"""The pages of the API reference list every public name."""

import importlib
import re
from pathlib import Path

import pytest

import export
import object2vec_tf

PAGES = sorted((Path(__file__).parents[2] / "docs" / "api").glob("*.md"))
LISTED = [
    path
    for page in PAGES
    for path in re.findall(r"(?m)^::: (\S+)$", page.read_text("utf-8"))
]
PUBLIC = [
    getattr(package, name)
    for package in (object2vec_tf, export)
    for name in package.__all__
]


@pytest.mark.parametrize("path", LISTED)
def test_listed_name_exists(path):
    module, _, name = path.rpartition(".")
    assert getattr(importlib.import_module(module), name).__doc__


@pytest.mark.parametrize("value", PUBLIC, ids=lambda value: value.__name__)
def test_public_name_is_listed(value):
    assert f"{value.__module__}.{value.__qualname__}" in LISTED


def test_no_name_is_listed_twice():
    assert len(LISTED) == len(set(LISTED))
