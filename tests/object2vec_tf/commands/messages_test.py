"""Tests of object2vec_tf/commands/messages.py."""

import io
import os

import pytest

from object2vec_tf.commands.messages import escape_unprintable, legible


def test_control_characters_become_escapes():
    assert legible("a\x1b[31m\x07b\x7f\x9b\u2028.jsonl: bad") == (
        "a\\x1b[31m\\x07b\\x7f\\x9b\\u2028.jsonl: bad"
    )
    assert legible("2 problems:\n  a\tb") == "2 problems:\n  a\tb"


def test_line_ends_of_given_names_become_escapes(monkeypatch):
    monkeypatch.setattr("sys.argv", ["fit", "--train=a\nb,c\nd", "--model_dir", "e\nf"])
    assert legible("a\nb/x: bad\n  c\nd: bad\ne\nf") == (
        "a\\nb/x: bad\n  c\\nd: bad\ne\\nf"
    )


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [("utf-8", b"\xc3\xa9\\udcff"), ("ascii", b"\\xe9\\udcff")],
)
def test_streams_write_names_that_they_cannot_encode(encoding, expected):
    content = io.BytesIO()
    stream = io.TextIOWrapper(content, encoding)
    escape_unprintable(stream)
    stream.write("é" + os.fsdecode(b"\xff"))
    stream.flush()
    assert content.getvalue() == expected
    escape_unprintable(io.StringIO())  # has no encoding
