"""Tests of object2vec_tf/files/object_lines.py; the fuzzer tests more lines."""

import time

import pytest

from object2vec_tf.files.object_lines import (
    MAX_DEPTH,
    LineError,
    count_objects,
    decode_object,
    numbered_lines,
)

GOOD = b'{"in0": [1]}'


def deep(depth):
    """Returns an object of this depth."""
    return b'{"x":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


@pytest.mark.parametrize(
    "line",
    [
        GOOD,
        b'{"x": 1e400, "y": "[{[{"}',
        deep(MAX_DEPTH),
        b'{"x":"' + b"[" * 500 + b'"}',
    ],
)
def test_an_object_is_valid_alone_and_in_a_block(line):
    decode_object(line)
    assert count_objects(GOOD + b"\n\r\n\t" + line + b" \r\n") == 2


@pytest.mark.parametrize(
    ("line", "objects"),
    [
        (GOOD + GOOD, 2),
        (GOOD + b" " + GOOD + b"\r" + GOOD, 3),
        (b"\r".join([GOOD] * 3 + [b'{"in0'] + [GOOD]), 5),
        (deep(MAX_DEPTH + 1), 1),
        (b'{"x":"\xff"}', 1),
        (b'{"x":"\\ud800"}', 1),
        (b'{"x":NaN}', 1),
        (b"\v" + GOOD, 1),
        (GOOD + b"\f", 1),
        (GOOD + b"\0", 1),
        (b"[1]", 1),
    ],
)
def test_other_lines_are_invalid(line, objects):
    with pytest.raises(LineError) as error:
        decode_object(line)
    assert error.value.objects == objects


def test_only_lf_ends_lines():
    text = "\r\n{1\u2028\x85\x1c\v}\r\n\f\n \t\n2".encode()
    assert list(numbered_lines(text, 7)) == [
        (8, "{1\u2028\x85\x1c\v}".encode()),
        (9, b"\f"),
        (11, b"2"),
    ]


def test_a_line_of_escaped_quotes_takes_linear_time():
    line = b'{"x":"' + b"[" * (MAX_DEPTH + 1) + b'\\"' * 50_000 + b"}"
    start = time.process_time()
    count_objects(line)  # took half a minute
    assert time.process_time() - start < 5
