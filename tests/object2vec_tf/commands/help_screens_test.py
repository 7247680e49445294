"""Tests of the short helps and of ``python -m object2vec_tf``."""

import functools
import re
import subprocess
import sys
from pathlib import Path

import pytest

import object2vec_tf
from object2vec_tf.commands.help_screens import (
    COMMANDS,
    FOLDER,
    OVERVIEW,
    screen,
    verbs,
)
from tests.command_server import python_m

CALLS = [
    (module, *verb)
    for module, name in COMMANDS.items()
    for verb in ((), *((verb,) for verb in verbs(name)))
]
FLAG = re.compile(r"(?m)^  (?:-\w,)?--(?:\[no\])?(\w+): ")


def run(*arguments):
    return subprocess.run(arguments, capture_output=True, text=True, check=False)


@functools.cache
def full_help(module, verb=""):
    """The text of each flag in the output of --helpfull."""
    done = run(*python_m(module), *filter(None, [verb]), "--helpfull")
    assert (done.returncode, done.stderr) == (0, "")
    _, *found = FLAG.split(done.stdout)
    texts = (" ".join(text.split()) for text in found[1::2])
    return dict(zip(found[::2], texts, strict=True))


def default(text):
    """The default in the text of a flag; None if it is described by words."""
    found = re.findall(r"\(default: '([^']*)'\)", text)
    return found[0] if found else None


def entries(text):
    """The flags that a screen explains, each with its text."""
    parts = re.split(r"(?m)^  (?=-)", text.partition("\nAll flags")[0])[1:]
    for part in parts:
        names = re.match(r"(?:--?\w+(?:=\S+| [A-Z])?(?:,\s+)?)+", part)[0]
        yield re.findall(r"--?(\w+)", names), " ".join(part.split())


@pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=lambda path: path.stem)
def test_a_screen_fits_a_terminal(path):
    lines = path.read_text("ascii").splitlines()
    assert len(lines) <= 23  # and the prompt
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("Usage: python -m ") for line in lines)


def test_every_screen_belongs_to_a_command():
    names = {
        COMMANDS[module] + "".join(f"_{v}" for v in verb) for module, *verb in CALLS
    }
    assert {path.stem for path in FOLDER.iterdir()} == names


@pytest.mark.parametrize("call", [c for c in CALLS if c[0] != OVERVIEW], ids=" ".join)
def test_a_screen_has_flags_and_defaults_of_the_command(call):
    module, *verb = call
    known = full_help(*call)
    explained = list(entries(screen(COMMANDS[module], verb)))
    assert bool(explained) == bool(verb or not verbs(COMMANDS[module]))
    for names, text in explained:
        for name in names:
            assert name in known, name
        shown = re.search(r"\(default: ([^)]*)\)", text)
        actual = default(known[names[0]])
        if actual:
            assert shown, text
            assert shown[1].replace(",", "") == actual.replace(",", ""), text
        elif shown and (own := re.search(r"\(default: ([^)]*)\)", known[names[0]])):
            words = own[1].replace(",", "")
            assert shown[1].replace(",", "") in words or " " in words, text


def test_the_overview_names_every_command():
    text = screen(OVERVIEW)
    for module in COMMANDS:
        assert f"  {module} " in text or module == OVERVIEW


def test_help_does_not_import_tensorflow():
    for module, *arguments in (
        ("object2vec_tf",),
        ("object2vec_tf.fit", "--help"),
        ("object2vec_tf.neighbors", "build", "--input=x", "--help"),
        ("export", "-h"),
        ("export.gateway", "--helpshort"),
    ):
        done = run(sys.executable, "-X", "importtime", "-m", module, *arguments)
        expected = screen(COMMANDS[module], arguments)
        assert done.stdout == expected.replace("{version}", object2vec_tf.__version__)
        assert done.returncode == 0
        assert " keras" not in done.stderr
        assert " tensorflow" not in done.stderr


@pytest.mark.parametrize(
    ("argument", "meant"),
    [
        ("neighbor", "Did you mean python -m object2vec_tf.neighbors?"),
        ("object2vec_tf.fitt", "Did you mean python -m object2vec_tf.fit?"),
        ("gateway", "Did you mean python -m export.gateway?"),
        ("--verison", "Did you mean python -m object2vec_tf --version?"),
        ("object2vec_tf", "Did you mean python -m object2vec_tf.fit?"),
        ("xyz", "python -m object2vec_tf lists the commands."),
    ],
)
def test_an_unknown_argument_is_an_error_with_the_closest_command(argument, meant):
    done = run(sys.executable, "-m", "object2vec_tf", argument)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: unexpected argument {argument!r}. {meant}\n"


@pytest.mark.parametrize("module", ["object2vec_tf", "object2vec_tf.fit", "export"])
def test_the_version_is_shown(module):
    done = run(sys.executable, "-m", module, "--version")
    assert done.stdout == f"object2vec_tf {object2vec_tf.__version__}\n"
    assert done.returncode == 0


def test_the_overview_shows_the_help_of_a_command_that_it_is_given():
    for arguments, text in (
        (["fit", "--help"], screen("fit")),
        (["vocabulary", "build", "--help"], screen("vocabulary", ["build"])),
        (["export.gateway", "-h"], screen("gateway")),
    ):
        done = run(sys.executable, "-m", "object2vec_tf", *arguments)
        assert (done.returncode, done.stdout) == (0, text)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_help_that_cannot_be_written_is_an_error():
    for module in ("object2vec_tf", "object2vec_tf.fit"):
        with open("/dev/full", "w") as full:
            done = subprocess.run(
                [sys.executable, "-m", module, "--help"],
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
        assert done.returncode == 2
        assert done.stderr == "error: stdout: No space left on device\n"


def test_an_imported_package_lists_its_commands_too():
    done = run(*python_m("object2vec_tf"), "--help")
    assert done.stdout.startswith(f"object2vec_tf {object2vec_tf.__version__}: ")
    assert done.returncode == 0
