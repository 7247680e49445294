"""Tests of object2vec_tf/command.py: how commands end, in this process and in others.

The processes that are slow to start are started together, once.
"""

import logging as python_logging
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from absl import flags, logging
from absl.testing import flagsaver

from object2vec_tf.commands import runner
from object2vec_tf.errors import UserError

ROOT = Path(__file__).parents[2]
MODULE = [sys.executable, "-m", "object2vec_tf.fit"]
BUG = "from object2vec_tf.commands import runner; runner.run(lambda: 1 / 0)"
SCRIPT = """
import importlib, sys
sys.argv[0] = "/usr/bin/object2vec-fit"
importlib.import_module("object2vec_tf.fit").cli()
"""
COMMANDS = {
    "typo": [*MODULE, "--epoch=3"],
    "help": [*MODULE, "--help"],
    "script help": [sys.executable, "-c", SCRIPT, "--help"],
    "bug": [sys.executable, "-c", BUG],
}


@pytest.fixture(scope="module")
def ended() -> dict[str, tuple[int, str, str]]:
    """Exit status, stdout and stderr of each of COMMANDS."""
    processes = {
        name: subprocess.Popen(
            arguments,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name, arguments in COMMANDS.items()
    }
    texts = {name: process.communicate() for name, process in processes.items()}
    return {name: (processes[name].returncode, *texts[name]) for name in COMMANDS}


@pytest.fixture(autouse=True)
def _process_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Puts back what a command sets for its whole process."""
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    root = python_logging.root
    monkeypatch.setattr(root, "handlers", list(root.handlers))
    verbosity = logging.get_verbosity()
    with flagsaver.flagsaver():
        yield
    flags.FLAGS.unparse_flags()
    logging.set_verbosity(verbosity)


@pytest.fixture
def status(monkeypatch: pytest.MonkeyPatch) -> Callable[..., object]:
    """Runs a command with arguments and returns its exit status."""

    def run(main: Callable[[], None], *arguments: str) -> object:
        monkeypatch.setattr(sys, "argv", ["command", *arguments])
        with pytest.raises(SystemExit) as raised:
            runner.run(main)
        return raised.value.code or 0

    return run


def wrong() -> None:
    raise UserError("train.jsonl:3: mend me")


def never() -> None:
    raise AssertionError("the command ran")


def test_a_command_that_is_done_ends_with_0(status, capsys):
    assert status(lambda: print("done")) == 0
    assert capsys.readouterr().out == "done\n"


def test_what_the_user_can_mend_ends_with_2_and_one_plain_message(status, capsys):
    assert status(wrong) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", "error: train.jsonl:3: mend me\n")


def test_verbosity_1_shows_where_it_came_from(status, capsys):
    assert status(wrong, "--verbosity=1") == 2
    err = capsys.readouterr().err
    assert err.startswith("Traceback (most recent call last):")
    assert "in wrong" in err
    assert err.endswith("error: train.jsonl:3: mend me\n")


def test_verbosity_0_does_not(status, capsys):
    assert status(wrong, "--verbosity=0") == 2
    assert capsys.readouterr().err == "error: train.jsonl:3: mend me\n"


def test_an_argument_without_dashes_is_refused(status, capsys):
    assert status(never, "epochs=3") == 2
    assert capsys.readouterr().err == (
        "error: unexpected argument 'epochs=3'; flags start with --\n"
    )


def test_a_flag_of_the_wrong_type_is_refused(status, capsys):
    assert status(never, "--verbosity=loud") == 2
    err = capsys.readouterr().err
    assert err.startswith("error: flag --verbosity=loud")
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("missing.flags", "no such file"),
        ("directory", "cannot be read: Is a directory"),
        ("outer.flags", "no such file"),
    ],
)
def test_a_flagfile_that_cannot_be_read_is_told(
    status, capsys, tmp_path, name, problem
):
    (tmp_path / "directory").mkdir()
    missing = tmp_path / "missing.flags"
    (tmp_path / "outer.flags").write_text(f"--flagfile={missing}\n")
    assert status(never, f"--flagfile={tmp_path / name}") == 2
    path = missing if name == "outer.flags" else tmp_path / name
    assert capsys.readouterr().err == f"error: --flagfile: {path}: {problem}\n"


def test_a_flagfile_that_is_no_text_is_told(status, capsys, tmp_path):
    path = tmp_path / "x.flags"
    path.write_bytes(b"\xff\xfe-")
    assert status(never, f"--flagfile={path}") == 2
    assert capsys.readouterr().err.startswith("error: --flagfile: holds bytes that")


def test_an_interrupt_ends_with_130(status, capsys):
    def interrupted() -> None:
        raise KeyboardInterrupt

    assert status(interrupted) == 130
    assert capsys.readouterr().err.strip() == "interrupted"


def test_a_warning_is_one_plain_line(status, capsys):
    def warns() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("look here", stacklevel=1)

    # Entering catch_warnings puts Python's own way of showing back in place, unless
    # showwarning was replaced, as the command does.
    assert status(warns) == 0
    assert capsys.readouterr().err == "warning: look here\n"


def test_a_misspelt_flag_ends_with_2_and_the_one_meant(ended):
    status, out, err = ended["typo"]
    assert (status, out) == (2, "")
    assert err.startswith("error: Unknown command line flag 'epoch'. Did you mean:")
    assert "epochs" in err
    assert "Traceback" not in err


def test_help_ends_with_0_and_shows_ranges_and_defaults(ended):
    status, out, _ = ended["help"]
    assert status == 0
    text = " ".join(out.split())
    assert "--train:" in text
    assert "an integer in 1..100 (default: 30)" in text
    assert "one of hcnn, bilstm, pooled_embedding (default: hcnn)" in text


def test_a_console_script_shows_the_help_of_its_module(ended):
    status, out, err = ended["script help"]
    assert (status, err) == (0, "")
    module_help = ended["help"][1].splitlines()
    script_help = out.splitlines()
    (line,) = [line for line in module_help if line.endswith("object2vec_tf/fit.py:")]
    module_help[module_help.index(line)] = "/usr/bin/object2vec-fit:"
    assert script_help == module_help


def test_a_fault_of_ours_ends_with_1_and_a_traceback(ended):
    status, _, err = ended["bug"]
    assert status == 1
    assert "Traceback (most recent call last):" in err
    assert err.rstrip().endswith("ZeroDivisionError: division by zero")
