"""Tests of the live line on a terminal, with a pseudo-terminal."""

import fcntl
import os
import pty
import select
import struct
import termios
import time
import tty

import pytest

from object2vec_tf import progress
from object2vec_tf.terminal import StatusLine, bar, can_redraw, columns, is_interactive


def read_all(descriptor):
    """Everything that was written to a terminal."""
    data = b""
    while select.select([descriptor], [], [], 0.1)[0]:
        data += os.read(descriptor, 1 << 16)
    return data.decode()


@pytest.fixture
def terminal():
    """A stream that is a terminal, and a function that sets its width."""
    reader, writer = pty.openpty()
    tty.setraw(writer)

    def resize(width):
        size = struct.pack("HHHH", 24, width, 0, 0)
        fcntl.ioctl(writer, termios.TIOCSWINSZ, size)

    resize(80)
    with os.fdopen(writer, "w", encoding="utf-8") as stream:
        stream.resize = resize
        stream.written = lambda: read_all(reader)
        yield stream
    os.close(reader)


def test_a_terminal_is_recognized(terminal):
    assert can_redraw(terminal, {"TERM": "xterm"})
    assert not can_redraw(terminal, {"TERM": "dumb"})
    assert not can_redraw(terminal, {})
    assert not can_redraw(terminal, {"TERM": "xterm", "CI": "true"})
    assert is_interactive(terminal, {"TERM": "dumb", "CI": "false"})
    with open(os.devnull, "w") as file:
        assert not is_interactive(file, {"TERM": "xterm"})
    assert not is_interactive(file, {})  # closed


@pytest.mark.parametrize("width", [20, 80, 120, 160])
def test_the_line_fits_the_terminal(terminal, width):
    terminal.resize(width)
    assert columns(terminal) == width
    line = StatusLine(terminal)
    line.show("x" * 200)
    assert terminal.written() == "\r\x1b[2K" + "x" * (width - 4) + "..."
    line.show("epoch 1, " + "x" * (width - 11) + ", " + "y" * 200)
    assert terminal.written().endswith("\x1b[2Kepoch 1, " + "x" * (width - 11))
    line.show("a\x1b[2Jb\nc")
    assert terminal.written().endswith("\x1b[2Ka?[2Jb?c")
    line.clear()
    line.clear()  # is erased already
    assert terminal.written() == "\r\x1b[2K"


def test_a_terminal_without_a_size_has_80_columns(terminal):
    terminal.resize(0)
    assert columns(terminal) == 80


def test_phases_share_one_line_that_other_output_replaces(terminal, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv(progress.INTERVAL_VARIABLE, "1")
    monkeypatch.delenv("CI", raising=False)
    with progress.kept_output():
        progress.send_to(lambda line: None, terminal)
        with (
            progress.command("fit"),
            progress.phase("epoch 1/2"),
            progress.phase("training", lambda: "1 of 2", share=lambda: 0.5),
        ):
            time.sleep(0.7)
            with progress.other_output():
                terminal.write("warning\n")
                terminal.flush()
    text = terminal.written()
    shown = "\r\x1b[2Kepoch 1/2: training " + "━" * 5 + "─" * 5 + " 1 of 2"
    assert text.startswith(shown)
    assert "\r\x1b[2Kwarning\n" in text
    assert "fit" not in text
    assert text.endswith(("\r\x1b[2K", "warning\n"))


def test_the_bar_is_ascii_where_the_encoding_is(terminal):
    assert bar(0.5, terminal, 4) == "━━──"
    with open(os.devnull, "w", encoding="ascii") as file:
        assert bar(2.0, file, 4) == "####"
        assert bar(0.0, file, 4) == "...."
