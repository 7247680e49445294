"""Outputs of commands that are no regular files: nothing is replaced."""

import gzip
import json
import os
import stat
import subprocess

import pytest

from tests.command_server import python_m


@pytest.fixture
def text(tmp_path):
    """A file of three lines."""
    path = tmp_path / "text.jsonl"
    path.write_text("".join(f'{{"in0": "a b{i}"}}\n' for i in range(3)))
    return path


def start(verb, text, output, *flags):
    words = ["object2vec_tf.vocabulary", verb, f"--input={text}", f"--output={output}"]
    return subprocess.Popen(
        [*python_m(words[0]), *words[1:], *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_a_result_goes_to_stdout_and_the_summary_to_stderr(text):
    process = start("shuffle", text, "/dev/stdout")
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert sorted(output.splitlines()) == sorted(text.read_bytes().splitlines())
    assert errors == b"/dev/stdout: 3 lines\n"


def test_a_result_goes_through_a_fifo(text, tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    process = start("build", text, fifo, "--fields=in0")
    vocabulary = json.loads(fifo.read_text())
    output, _ = process.communicate(timeout=60)
    assert sorted(vocabulary) == ["[UNK]", "a", "b0", "b1", "b2"]
    assert output.startswith(f"{fifo}: 5 entries".encode())
    assert fifo.is_fifo()


def test_an_output_directory_is_an_error_before_the_work(text, tmp_path):
    process = start("build", tmp_path / "none", tmp_path)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert b"expected a file as --output, got a directory" in errors


def test_output_of_a_device_stays_a_device(text, tmp_path):
    null = tmp_path / "null"
    try:
        os.mknod(null, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    except OSError:
        pytest.skip("needs the right to create a device")
    process = start("shuffle", text, null)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert stat.S_ISCHR(null.stat().st_mode)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["null", "text.jsonl"]


def test_compressed_input_of_a_linked_directory(text, tmp_path):
    """A directory with a link is read, also by a command."""
    (tmp_path / "data").mkdir()
    (tmp_path / "elsewhere").mkdir()
    with gzip.open(tmp_path / "elsewhere/more.jsonl.gz", "wb") as file:
        file.write(text.read_bytes())
    (tmp_path / "data/link").symlink_to("../elsewhere")
    process = start("shuffle", tmp_path / "data", tmp_path / "out.jsonl")
    output, _ = process.communicate(timeout=60)
    assert output.endswith(b"out.jsonl: 3 lines\n")
