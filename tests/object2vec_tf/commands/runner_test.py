"""Tests of how commands end, in this process and in others."""

import logging as python_logging
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import tensorflow as tf
from absl import flags, logging
from absl.testing import flagsaver

from object2vec_tf.commands import runner
from object2vec_tf.errors import UserError
from tests.command_server import python_c, python_m

ROOT = Path(__file__).parents[3]
BUG = "from object2vec_tf.commands import runner; runner.run(lambda: 1 / 0)"
SCRIPT = """
import importlib, sys
sys.argv[0] = "/usr/bin/object2vec-fit"
importlib.import_module("object2vec_tf.fit").cli()
"""


@pytest.fixture(scope="module")
def ended() -> dict[str, tuple[int, str, str]]:
    """Exit status, stdout and stderr of each command."""
    module = python_m("object2vec_tf.fit")
    commands = {
        "typo": [*module, "--epoch=3"],
        "help": [*module, "--helpfull"],
        "script help": [*python_c(SCRIPT), "--helpfull"],
        "bug": python_c(BUG),
    }
    processes = {
        name: subprocess.Popen(
            arguments,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name, arguments in commands.items()
    }
    texts = {name: process.communicate() for name, process in processes.items()}
    return {name: (processes[name].returncode, *texts[name]) for name in commands}


@pytest.fixture(autouse=True)
def _restore_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Restores what a command sets for its whole process."""
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


def fail() -> None:
    raise UserError("train.jsonl:3: expected 1, got 2.")


def unreachable() -> None:
    raise AssertionError("the command ran")


def test_success_exits_with_0(status, capsys):
    assert status(lambda: print("done")) == 0
    assert capsys.readouterr().out == "done\n"


def test_a_user_error_exits_with_2_and_one_message(status, capsys):
    assert status(fail) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", "error: train.jsonl:3: expected 1, got 2.\n")


def test_verbosity_1_shows_the_traceback_of_a_user_error(status, capsys):
    assert status(fail, "--verbosity=1") == 2
    err = capsys.readouterr().err
    assert err.startswith("Traceback (most recent call last):")
    assert "in fail" in err
    assert err.endswith("error: train.jsonl:3: expected 1, got 2.\n")


def test_verbosity_0_hides_the_traceback_of_a_user_error(status, capsys):
    assert status(fail, "--verbosity=0") == 2
    assert capsys.readouterr().err == "error: train.jsonl:3: expected 1, got 2.\n"


def test_an_argument_without_dashes_is_rejected(status, capsys):
    assert status(unreachable, "epochs=3") == 2
    assert capsys.readouterr().err == (
        "error: unexpected argument 'epochs=3'. Flags start with --.\n"
    )


def test_a_flag_of_the_wrong_type_is_rejected(status, capsys):
    assert status(unreachable, "--verbosity=loud") == 2
    err = capsys.readouterr().err
    assert err.startswith("error: flag --verbosity=loud")
    assert "Traceback" not in err


def test_a_word_for_a_boolean_flag_is_rejected(status, capsys):
    assert status(unreachable, "--alsologtostderr=maybe") == 2
    expected = "error: flag --alsologtostderr=maybe: expected true or false.\n"
    assert capsys.readouterr().err == expected


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("missing.flags", "no such file"),
        ("directory", "cannot be read: Is a directory"),
        ("outer.flags", "no such file"),
    ],
)
def test_an_unreadable_flagfile_is_reported(status, capsys, tmp_path, name, problem):
    (tmp_path / "directory").mkdir()
    missing = tmp_path / "missing.flags"
    (tmp_path / "outer.flags").write_text(f"--flagfile={missing}\n")
    assert status(unreachable, f"--flagfile={tmp_path / name}") == 2
    path = missing if name == "outer.flags" else tmp_path / name
    assert capsys.readouterr().err == f"error: --flagfile: {path}: {problem}\n"


def test_a_binary_flagfile_is_reported(status, capsys, tmp_path):
    path = tmp_path / "x.flags"
    path.write_bytes(b"\xff\xfe-")
    assert status(unreachable, f"--flagfile={path}") == 2
    assert capsys.readouterr().err.startswith("error: --flagfile: expected text, got")


def test_a_keyboard_interrupt_exits_with_130(status, capsys):
    def interrupted() -> None:
        raise KeyboardInterrupt

    assert status(interrupted) == 130
    assert capsys.readouterr().err.strip() == "interrupted"


def test_a_warning_is_one_line(status, capsys):
    def warns() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("look here", stacklevel=1)

    # catch_warnings restores Python's own showwarning, unless it was replaced, as the
    # runner does.
    assert status(warns) == 0
    assert capsys.readouterr().err == "warning: look here\n"


def test_a_misspelled_flag_exits_with_2_and_a_suggestion(ended):
    status, out, err = ended["typo"]
    assert (status, out) == (2, "")
    assert err.startswith("error: Unknown command line flag 'epoch'. Did you mean:")
    assert "epochs" in err
    assert "Traceback" not in err


def test_full_help_exits_with_0_and_shows_ranges_and_defaults(ended):
    status, out, _ = ended["help"]
    assert status == 0
    text = " ".join(out.split())
    assert "--train:" in text
    assert "an integer in 1..100 (default: 30)" in text
    assert "one of hcnn, bilstm, pooled_embedding (default: hcnn)" in text


def test_a_console_script_shows_the_full_help_of_its_module(ended):
    status, out, err = ended["script help"]
    assert (status, err) == (0, "")
    assert out == ended["help"][1]


def test_an_internal_error_exits_with_1_and_a_traceback(ended):
    status, _, err = ended["bug"]
    assert status == 1
    assert "Traceback (most recent call last):" in err
    assert err.rstrip().endswith("ZeroDivisionError: division by zero")


def test_a_gpu_that_does_not_start_is_a_problem_of_the_user() -> None:
    message = (
        "CUDA runtime implicit initialization on GPU:0 failed. Status: out of memory"
    )

    assert runner._user_message(tf.errors.InternalError(None, None, message)) == (
        f"device: TensorFlow cannot start the GPU: {message}. See nvidia-smi for other "
        "processes that use it, or give --device=cpu."
    )
    assert runner._user_message(tf.errors.InternalError(None, None, "other")) is None


def test_a_full_disk_that_tensorflow_meets_is_a_problem_of_the_user() -> None:
    node = "{{function_node __wrapped__CreateSummaryFileWriter_device_/job:x}} "
    for text in (f"{node}run/events.v2; No space left on device", "run/events.v2: No "):
        message = text if "left" in text else f"{text}space left on device [Op:X]"
        error = tf.errors.ResourceExhaustedError(None, None, message)
        assert runner._user_message(error) == (
            "run/events.v2: No space left on device. Free disk space and start again."
        )


def test_temporary_files_of_killed_commands_are_removed_by_the_next(tmp_path):
    program = (
        "import os, signal, sys, tempfile\n"
        "from object2vec_tf.commands import runner\n"
        "def main():\n"
        "    with open(tempfile.mkstemp()[1], 'w') as file:\n"
        "        print(file.name, flush=True)\n"
        "    if os.environ.get('KILL'):\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "runner.run(main)\n"
    )
    environment = os.environ | {"TMPDIR": f"{tmp_path}"}
    for kill in ({"KILL": "1"}, {}):
        done = subprocess.run(
            python_c(program),
            capture_output=True,
            text=True,
            check=False,
            env=environment | kill,
        )
        assert done.stdout.startswith(f"{tmp_path}/")
        assert bool(list(tmp_path.iterdir())) == bool(kill), done.stderr
