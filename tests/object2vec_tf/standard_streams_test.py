"""Processes that are started without some of their standard streams."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from object2vec_tf import standard_streams
from object2vec_tf.commands.checks import check_stdout
from object2vec_tf.errors import UserError
from object2vec_tf.files.atomic import write_atomic

# Opens the streams, and then a file, in which a message must not appear.
PROGRAM = """
import os, runpy, subprocess, sys
module = runpy.run_path({path!r})
module["open_missing_streams"]()
with open({file!r}, "w") as file:
    print("to stdout", flush=True)
    print("to stderr", file=sys.stderr, flush=True)
    subprocess.run(["sh", "-c", "echo child; echo child >&2"], check=True)
    missing = [name for name in ("stdout", "stderr") if module["is_missing"](name)]
    file.write(repr((sys.stdin.read(), missing)))
"""


@pytest.mark.parametrize(
    ("closed", "missing", "output", "errors"),
    [
        ("", [], "to stdout\nchild\n", "to stderr\nchild\n"),
        ("2>&-", ["stderr"], "to stdout\nchild\n", ""),
        (">&-", ["stdout"], "", "to stderr\nchild\n"),
        ("<&- >&- 2>&-", ["stdout", "stderr"], "", ""),
    ],
)
def test_no_message_goes_into_a_file_instead(tmp_path, closed, missing, output, errors):
    file = tmp_path / "file"
    text = PROGRAM.format(path=standard_streams.__file__, file=str(file))
    process = subprocess.run(
        ["sh", "-c", f'"$0" -IS -c "$1" {closed}', sys.executable, text],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert (process.returncode, process.stdout, process.stderr) == (0, output, errors)
    assert file.read_text() == repr(("", missing))


def test_a_result_for_a_closed_stdout_is_an_error(monkeypatch):
    check_stdout("Give --output.")
    monkeypatch.setattr(standard_streams, "_missing", {"stdout"})
    with pytest.raises(UserError, match=r"closed one\. Give"):
        check_stdout("Give --output.")
    with pytest.raises(OSError, match="Bad file descriptor: '/dev/stdout'"):
        write_atomic(Path("/dev/stdout"), "lost")


@pytest.mark.long
def test_commands_run_without_stderr_and_stdout(tmp_path):
    text, output = tmp_path / "text.jsonl", tmp_path / "vocabulary.json"
    text.write_text('{"in0": "a b"}\n')
    module = f'"{sys.executable}" -m object2vec_tf'
    build = f"{module}.vocabulary build --input={text} --output={output} --fields=in0"
    subprocess.run(f"{build} >&- 2>&- <&-", shell=True, check=True)
    assert sorted(json.loads(output.read_text())) == ["[UNK]", "a", "b"]
    query = f"{module}.neighbors query --input={text} --index={tmp_path} >&-"
    process = subprocess.run(query, shell=True, capture_output=True, text=True)
    assert process.returncode == 2
    assert process.stderr.splitlines()[-1] == (
        "error: stdout: expected an open stream, got a closed one. Give --output."
    )
