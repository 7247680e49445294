import sys
from xml.etree import ElementTree

import pytest

pytest.importorskip("pyte")

from tools.docs.terminal_pictures import Line, during, picture, record, screen

PROGRAM = """
import sys, time
sys.stdout.write("10 % <done>"); sys.stdout.flush(); time.sleep(0.2)
print("\\r\\x1b[2K\\x1b[1mall done\\x1b[0m")
"""


def test_a_terminal_is_recorded_and_drawn():
    parts = record([sys.executable, "-c", PROGRAM])
    assert screen(parts) == [Line("all done", "b")]
    assert during(parts, "<done>") == [Line("10 % <done>")]
    svg = picture(["python -c PROGRAM"], during(parts, "<done>"))
    texts = [e.text for e in ElementTree.fromstring(svg) if e.tag.endswith("text")]
    assert texts == ["$ python -c PROGRAM", "10 % <done>"]


def test_a_failed_command_is_an_error():
    with pytest.raises(RuntimeError, match="status 3"):
        record([sys.executable, "-c", "raise SystemExit(3)"])
    with pytest.raises(ValueError, match="expected a line with 'x'"):
        during([b"abc"], "x")
