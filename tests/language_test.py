"""Idioms that the project's style avoids, in source, docs and the help of commands."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.command_server import python_m

ROOT = Path(__file__).parents[1]
FOLDERS = ("object2vec_tf", "export", "tools", "tests", "examples", "docs", ".github")
SUFFIXES = {".py", ".md", ".txt", ".flags", ".toml", ".yml", ".yaml", ".cff", ".j2"}
COMMANDS = (
    "object2vec_tf.fit",
    "object2vec_tf.tune",
    "object2vec_tf.transform",
    "object2vec_tf.neighbors",
    "object2vec_tf.vocabulary",
    "object2vec_tf.sagemaker",
    "export",
    "export.gateway",
)

# Idiom: the plain word to use instead.
IDIOMS = {
    "told": "reported",
    "tells?": "report, show, return",
    "telling": "reporting",
    "mend(s|ed|ing)?": "fix",
    "stands?|stood": "is",
    "behind": "after",
    "held(?! out)": "a name for the content: rows, entry, metadata",
    "(go|goes|going|gone|went) on": "continue, resume",
    "whole or not at all": "written atomically",
    "a line for a line": "one output line per input line",
    "he|his|him": "they, their",
    "learnt": "learned",
    "afresh|anew": "again, from scratch",
    "whoever": "users who",
    "slip of the pen": "typo",
}
PATTERN = re.compile(rf"(?i)(?<![a-z0-9-])({'|'.join(IDIOMS)})(?![a-z0-9-])")

# True uses, as (file, idiom): why.
ALLOWED = {
    ("tests/language_test.py", ""): "the list itself",
    ("export/onnx_graphs.py", "tell"): "io.IOBase.tell",
    ("object2vec_tf/data/arrow_store.py", "tell"): "io.IOBase.tell",
    ("object2vec_tf/tables/shard_files.py", "tell"): "io.IOBase.tell",
    ("object2vec_tf/tuning/trials.py", "tell"): "optuna.Study.tell",
    ("tests/object2vec_tf/tuning/trial_checksums_test.py", "tell"): "optuna.Study.tell",
    ("tests/object2vec_tf/tuning/search_space_test.py", "tell"): "optuna.Study.tell",
    ("tests/tools/datasets/stsb_test.py", "he"): "in a sentence of the data",
    ("tests/tools/datasets/wikitext_test.py", "he"): "in a sentence of the data",
}


def files():
    for path in sorted(ROOT.iterdir()):
        if path.is_file() and (path.suffix in SUFFIXES or path.name == "Makefile"):
            yield path
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in SUFFIXES and "fixtures" not in path.parts:
                yield path


def idioms(text):
    """The idioms in a text, with line numbers; identifiers are split into words."""
    for number, line in enumerate(text.splitlines(), start=1):
        for match in PATTERN.finditer(line.replace("_", " ")):
            yield number, match.group(1).lower(), line.strip()


def is_allowed(name, idiom):
    return (name, idiom) in ALLOWED or (name, "") in ALLOWED


@pytest.mark.parametrize(
    "path", list(files()), ids=lambda path: str(path.relative_to(ROOT))
)
def test_file_has_no_idioms(path):
    name = path.relative_to(ROOT).as_posix()
    found = [
        f"{name}:{number}: {idiom}: {line}"
        for number, idiom, line in idioms(path.read_text(encoding="utf-8"))
        if not is_allowed(name, idiom)
    ]
    assert not found, "\n".join(found)


def test_every_exception_is_needed():
    for name, idiom in ALLOWED:
        found = {each for _, each, _ in idioms((ROOT / name).read_text("utf-8"))}
        assert found if idiom == "" else idiom in found, (name, idiom)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_no_idioms(command):
    done = subprocess.run(
        [*python_m(command), "--helpfull"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout) > 200
    assert not list(idioms(done.stdout))


def test_the_check_recognizes_idioms():
    text = "it_told_us\nHeld-out\nstandard\nit goes on\nheld_out rows\nrows held"
    assert [(n, idiom) for n, idiom, _ in idioms(text)] == [
        (1, "told"),
        (4, "goes on"),
        (6, "held"),
    ]
