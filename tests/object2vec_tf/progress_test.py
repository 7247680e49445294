import io
import sys
import time

import pytest

from object2vec_tf import progress
from object2vec_tf.training.console import RunConsole


@pytest.fixture(autouse=True)
def _fast(monkeypatch):
    monkeypatch.setenv(progress.INTERVAL_VARIABLE, "0.05")
    with progress.kept_output():
        yield


def _lines_of(lines, count):
    deadline = time.monotonic() + 20
    while len(lines) < count:
        assert time.monotonic() < deadline, lines
        time.sleep(0.005)
    return lines[:count]


def test_a_long_phase_writes_lines_and_a_short_one_none():
    lines = []
    progress.send_to(lines.append)
    with progress.command("fit"), progress.phase("epoch 1/2"):
        with progress.phase("training", lambda: "5 of 9 batches"):
            first, _ = _lines_of(lines, 2)
        assert first == "epoch 1/2: training, 5 of 9 batches, 0 s"
        count = len(lines)
        for _ in range(100):
            with progress.phase("short"):
                pass
    assert "short" not in "".join(lines[count:])


def test_blocks_are_counted():
    lines = []
    progress.send_to(lines.append)
    for block in progress.counted([[1, 2, 3], [4]], "embedding", "items"):
        if block == [4]:
            assert "embedding, 3 items, 0 s" in _lines_of(lines, len(lines) + 1)


def test_other_lines_make_progress_lines_unnecessary():
    lines = []
    progress.send_to(lines.append)
    with progress.phase("fit"):
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            progress.line_written()
            time.sleep(0.002)
        # A loaded machine may pause this thread, but not each time.
        assert len(lines) < 3


def test_nothing_is_written_without_output_or_with_an_interval_of_0(monkeypatch):
    lines = []
    progress.send_to(lines.append)
    progress.send_to(None)
    with progress.phase("fit"):
        time.sleep(0.15)
    progress.send_to(lines.append)
    monkeypatch.setenv(progress.INTERVAL_VARIABLE, "0")
    with progress.phase("fit"):
        time.sleep(0.15)
    assert lines == []


def test_a_ready_server_is_silent():
    lines = []
    progress.send_to(lines.append)
    with progress.phase("gateway"), progress.phase("loading the model"):
        _lines_of(lines, 1)
        progress.end_all()
        count = len(lines)
        time.sleep(0.2)
        assert len(lines) <= count + 1  # one may have been under way


def test_a_quiet_run_inside_a_study_does_not_silence_the_study(monkeypatch):
    output = io.StringIO()
    monkeypatch.setattr(sys, "stdout", output)
    RunConsole()
    with progress.kept_output():
        RunConsole(quiet=True)
        with progress.command("tune"), progress.phase("trial 3"):
            deadline = time.monotonic() + 20
            while "trial 3, 0 s\n" not in output.getvalue():
                assert time.monotonic() < deadline
                time.sleep(0.01)
