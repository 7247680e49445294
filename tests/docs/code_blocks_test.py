"""Every code block of README and docs is run, or says why not."""

import dataclasses
import json
import re
import subprocess
import sys

import pytest

from object2vec_tf import Hyperparameters
from tests.docs.code_blocks import ROOT, blocks_of, setup_of

PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "export" / "tf_serving" / "README.md",
    *sorted((ROOT / "examples").glob("*/README.md")),
]
NOT_RUN = ("json", "jsonl", "text", "yaml", "dockerfile")
LANGUAGES = ("python", "pycon", "bash", *NOT_RUN)


def name(page):
    return page.relative_to(ROOT).as_posix()


pages = pytest.mark.parametrize("page", PAGES, ids=name)


@pages
def test_blocks_are_well_formed(page):
    for block in blocks_of(page):
        place = f"{name(page)}:{block.line}"
        assert block.language is not None, f"{place}: an indented block; use a fence"
        assert block.language in LANGUAGES, f"{place}: a block of {block.language!r}"
        if block.language == "json":
            json.loads(block.source)
        elif block.language == "jsonl":
            [json.loads(line) for line in block.source.splitlines()]
        elif block.language == "python":
            compile(block.source, place, "exec")
        elif block.language == "bash":
            command = ["bash", "-n", "-c", block.source]
            assert not subprocess.run(command, check=False).returncode, place
            if not block.skip:
                assert "..." not in block.source, place


@pytest.fixture(scope="module")
def known_flags():
    """The flags of all commands, from the page that a long test compares with them."""
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    hyperparameters = {field.name for field in dataclasses.fields(Hyperparameters)}
    names = {"help", "helpfull", "version", *hyperparameters}
    names |= {f"no{name}" for name in hyperparameters}
    for negated, flag in re.findall(r"--(\[no\])?([a-z0-9_]+)", text):
        names |= {flag, f"no{flag}"} if negated else {flag}
    return names


@pages
def test_flags_exist(page, known_flags):
    """A renamed flag is found without running the page."""
    for block in blocks_of(page):
        text = block.source.replace("\\\n", " ")
        if block.language == "bash":
            for line in text.splitlines():
                command = re.search(
                    r"-m (object2vec_tf|export)\b|\bobject2vec-[a-z]+ ", line
                )
                if command:  # what is before it belongs to another, such as docker
                    rest = line[command.start() :].split("|")[0]
                    found = re.findall(r"(?<=\s)--([a-z0-9_]+)", rest)
                    unknown = set(found) - known_flags
                    assert not unknown, f"{name(page)}:{block.line}: {unknown}"


def test_setups_belong_to_pages():
    expected = {setup_of(page) for page in PAGES}
    assert set((ROOT / "tests" / "docs" / "setups").iterdir()) <= expected


@pytest.mark.long
@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if any(block.runs for block in blocks_of(page))],
    ids=name,
)
def test_blocks_run(page):
    text = page.read_text(encoding="utf-8")
    setup = setup_of(page)
    if setup.exists():
        text += setup.read_text(encoding="utf-8")
    for needed in set(re.findall(r"\bdata/[a-z][a-z_0-9]*(?=/)", text)):
        if not (ROOT / needed).exists():
            pytest.skip(f"{needed} does not exist: make data documents texts")
    command = [sys.executable, "-m", "tests.docs.code_blocks", str(page)]
    subprocess.run(command, check=True, cwd=ROOT)
