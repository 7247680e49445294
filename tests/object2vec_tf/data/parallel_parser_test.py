"""Tests of object2vec_tf/data/parallel_parser.py, with its real second process."""

import os
import signal
import subprocess
import sys
import time
from contextlib import closing

import numpy as np
import pytest

from object2vec_tf.data import parallel_parser
from object2vec_tf.data.block_parser import parse_block
from object2vec_tf.data.parallel_parser import ParallelParser

SIZES = {"in0": 1000, "in1": 1000}
LINES = 20_000


def blocks(count):
    """Blocks of lines whose ids tell which block they are of; every 7th is in doubt."""
    for number in range(count):
        line = f'{{"in0":[{number},1,2,3],"in1":[4,5,{number}],"label":{number}}}\n'
        bad = "x\n" if number % 7 == 6 else ""
        yield (line * LINES + bad).encode()


def assert_read(parsed, number):
    if number % 7 == 6:
        assert parsed is None
        return
    columns, labels, _ = parsed
    assert len(labels) == LINES
    np.testing.assert_array_equal(labels, number)
    np.testing.assert_array_equal(columns["in0"].values[::4], number)
    np.testing.assert_array_equal(columns["in1"].values[2::3], number)


@pytest.fixture
def early(monkeypatch):
    """Has the second process start behind the first block."""
    monkeypatch.setattr(parallel_parser, "_MUCH", 1)


def started(reader):
    """The second process, once it is ready to read."""
    second = reader._second
    if second._awaited is not None:
        assert second._connection.poll(60)
    return second


def test_two_processes_read_what_one_does_in_order(early):
    theirs = 0
    with closing(ParallelParser(SIZES, "integer", processes=2)) as reader:
        for number, parsed in enumerate(reader.read(blocks(40))):
            assert_read(parsed, number)
            theirs += started(reader)._awaited is not None
    assert number == 39
    assert theirs > 5
    assert reader._second is None


def test_one_process_reads_alone(early):
    reader = ParallelParser(SIZES, "integer", processes=1)
    for number, parsed in enumerate(reader.read(blocks(9))):
        assert_read(parsed, number)
        assert reader._second is None
    assert number == 8


def test_little_text_is_read_alone():
    with closing(ParallelParser(SIZES, "integer", processes=2)) as reader:
        assert len(list(reader.read(blocks(3)))) == 3
        assert reader._second is None


@pytest.mark.parametrize("when", [1, 4, 11])
def test_a_second_process_that_is_killed_costs_nothing_but_time(early, when):
    with closing(ParallelParser(SIZES, "integer", processes=2)) as reader:
        for number, parsed in enumerate(reader.read(blocks(20))):
            assert_read(parsed, number)
            if number == when:
                second = started(reader)
                os.kill(second.process.pid, signal.SIGKILL)
                second.process.wait()
    assert number == 19


def test_a_second_process_that_cannot_start_is_done_without(early, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with closing(ParallelParser(SIZES, "integer", processes=2)) as reader:
        for number, parsed in enumerate(reader.read(blocks(12))):
            assert_read(parsed, number)
            time.sleep(0.01)
    assert number == 11


def test_the_second_process_ends_with_the_first():
    program = """
import os, sys, time
from object2vec_tf.data import parallel_parser
parallel_parser._MUCH = 1
reader = parallel_parser.ParallelParser({"in0": 9}, "integer", processes=2)
blocks = reader.read([b'{"in0":[1],"label":1}'] * 9)
for _ in range(3):
    next(blocks)
print(reader._second.process.pid, flush=True)
reader._second._connection.poll(60)
time.sleep(600)
"""
    line = [sys.executable, "-c", program]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        second = int(process.stdout.readline())
        time.sleep(0.2)
        os.kill(second, 0)
        process.kill()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and is_running(second):
        time.sleep(0.05)
    assert not is_running(second)


def is_running(process):
    try:
        with open(f"/proc/{process}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_the_program_answers_as_the_function_does():
    text = b'{"in0":[1,2],"in1":[],"label":0.5}\n'
    with closing(parallel_parser._SecondReader((SIZES, "number"))) as second:
        assert second._connection.recv() == "ready"
        second._connection.send((text, SIZES, "number"))
        columns, labels, _ = second._connection.recv()
    expected, reals, _ = parse_block(text, SIZES, "number")
    assert labels.tolist() == reals.tolist() == [0.5]
    for name, column in expected.items():
        np.testing.assert_array_equal(columns[name].values, column.values)
        np.testing.assert_array_equal(columns[name].row_splits, column.row_splits)
