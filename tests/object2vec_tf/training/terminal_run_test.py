"""Tests of whole runs in pseudo-terminals of several widths and kinds."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading

import pytest

from tests.command_server import python_m

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
FLAGS = [
    *("--train=train.jsonl", "--validation=train.jsonl", "--test=train.jsonl"),
    *("--model_dir=run", "--overwrite", "--enc0_network=pooled_embedding"),
    *("--enc0_max_seq_len=2", "--enc0_vocab_size=9", "--enc_dim=4"),
    *("--mlp_layers=0", "--epochs=2"),
]
METRIC_LINE = re.compile(r"(?m)^#(quality|progress|throughput)_metric")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("terminal")
    rows = [{"in0": [n % 9], "in1": [n % 7], "label": n % 2} for n in range(64)]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (path / "train.jsonl").write_text(text)
    return path


def run_in_terminal(folder, columns, **environment):
    """The text that a run writes to a terminal, with its escape sequences."""
    reader, writer = pty.openpty()
    size = struct.pack("HHHH", 24, columns, 0, 0)
    fcntl.ioctl(writer, termios.TIOCSWINSZ, size)
    removed = ("CI", "NO_COLOR", "COLUMNS", "TRAINING_JOB_NAME", "FORCE_COLOR")
    base = {name: value for name, value in os.environ.items() if name not in removed}
    base |= {"TERM": "xterm-256color", "OBJECT2VEC_TF_PROGRESS_SECONDS": "1"}
    parts = []

    def read():
        try:
            while part := os.read(reader, 1 << 16):
                parts.append(part)
        except OSError:  # the other side is closed
            return

    # The encoding of a stream is chosen when Python starts.
    is_new = "PYTHONIOENCODING" in environment
    module = "object2vec_tf.fit"
    start = [sys.executable, "-m", module] if is_new else python_m(module)
    thread = threading.Thread(target=read)
    thread.start()
    process = subprocess.Popen(
        [*start, *FLAGS],
        cwd=folder,
        env=base | environment,
        stdin=subprocess.DEVNULL,
        stdout=writer,
        stderr=writer,
    )
    assert process.wait() == 0
    os.close(writer)
    thread.join()
    os.close(reader)
    return b"".join(parts).decode(environment.get("PYTHONIOENCODING", "utf-8"))


def shown_lines(text):
    """The lines that remain on the screen: what was erased is left out."""
    lines = text.replace("\r\n", "\n").split("\n")
    return [ESCAPE.sub("", line.rpartition("\r\x1b[2K")[2]) for line in lines]


@pytest.mark.long
@pytest.mark.parametrize(
    ("columns", "environment"),
    [
        (80, {}),
        (120, {"NO_COLOR": "1"}),
        (160, {}),
        (80, {"TERM": "dumb"}),
        (80, {"PYTHONIOENCODING": "ascii"}),
    ],
    ids=["80", "120 no color", "160", "dumb", "ascii"],
)
def test_a_run_fits_the_terminal(folder, columns, environment):
    text = run_in_terminal(folder, columns, **environment)
    lines = shown_lines(text)
    assert not METRIC_LINE.search("\n".join(lines))
    assert max(map(len, lines)) <= columns
    (header,) = [line for line in lines if line.startswith("epoch  ")]
    assert header.split().count("cross_entropy") == 2
    assert ("auc" in header.split()) == (columns > 80)
    assert [line.split()[0] for line in lines if re.match(r"\s+\d/2 ", line)] == [
        "1/2",
        "2/2",
    ]
    if "TERM" in environment:
        assert "\x1b" not in text
    else:
        assert "exporting: " in ESCAPE.sub("", text)  # the live line
    if "NO_COLOR" in environment:
        assert not re.search(r"\x1b\[[0-9;]*3\d", text)


@pytest.mark.long
@pytest.mark.parametrize("environment", [{"CI": "true"}, {"SM_NUM_GPUS": "0"}])
def test_programs_read_metric_lines(folder, environment):
    text = "\n".join(shown_lines(run_in_terminal(folder, 80, **environment)))
    assert len(METRIC_LINE.findall(text)) > 6
