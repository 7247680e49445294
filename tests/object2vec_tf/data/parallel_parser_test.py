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
from tests.command_server import python_c

SIZES = {"in0": 1000, "in1": 1000}
LINES = 20_000


def blocks(count):
    """Blocks of lines whose ids are the block's number; every 7th block is invalid."""
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


def parser(processes=2):
    """A parser whose second process starts after the first block."""
    return ParallelParser(SIZES, "integer", processes, serial_bytes=1)


def started(reader):
    """The second process, after it has become ready."""
    second = reader._second
    if second._awaited is not None:
        assert second._connection.poll(60)
    return second


def test_two_processes_parse_the_blocks_in_order():
    parsed_by_second = 0
    with closing(parser()) as reader:
        for number, parsed in enumerate(reader.read(blocks(40))):
            assert_read(parsed, number)
            parsed_by_second += started(reader)._awaited is not None
    assert number == 39
    assert parsed_by_second > 5
    assert reader._second is None


def test_one_process_parses_alone():
    reader = parser(processes=1)
    for number, parsed in enumerate(reader.read(blocks(9))):
        assert_read(parsed, number)
        assert reader._second is None
    assert number == 8


def test_little_text_is_parsed_in_one_process():
    with closing(ParallelParser(SIZES, "integer", processes=2)) as reader:
        assert len(list(reader.read(blocks(3)))) == 3
        assert reader._second is None


@pytest.mark.parametrize("when", [1, 4, 11])
def test_a_killed_second_process_does_not_change_the_result(when):
    with closing(parser()) as reader:
        for number, parsed in enumerate(reader.read(blocks(20))):
            assert_read(parsed, number)
            if number == when:
                second = started(reader)
                os.kill(second.process.pid, signal.SIGKILL)
                second.process.wait()
    assert number == 19


def test_a_second_process_that_cannot_start_does_not_change_the_result(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with closing(parser()) as reader:
        for number, parsed in enumerate(reader.read(blocks(12))):
            assert_read(parsed, number)
            time.sleep(0.01)
    assert number == 11


def test_the_second_process_ends_with_the_first():
    program = """
import os, sys, time
from object2vec_tf.data import parallel_parser
reader = parallel_parser.ParallelParser({"in0": 9}, "integer", 2, serial_bytes=1)
blocks = reader.read([b'{"in0":[1],"label":1}'] * 9)
for _ in range(3):
    next(blocks)
print(reader._second.process.pid, flush=True)
reader._second._connection.poll(60)
time.sleep(600)
"""
    with subprocess.Popen(
        python_c(program), stdout=subprocess.PIPE, text=True
    ) as process:
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


def test_the_program_returns_what_the_function_returns():
    text = b'{"in0":[1,2],"in1":[],"label":0.5}\n'
    with closing(parallel_parser._SecondProcess((SIZES, "number"))) as second:
        assert second._connection.recv() == "ready"
        second._connection.send((text, SIZES, "number"))
        columns, labels, _ = second._connection.recv()
    expected, reals, _ = parse_block(text, SIZES, "number")
    assert labels.tolist() == reals.tolist() == [0.5]
    for name, column in expected.items():
        np.testing.assert_array_equal(columns[name].values, column.values)
        np.testing.assert_array_equal(columns[name].row_splits, column.row_splits)
