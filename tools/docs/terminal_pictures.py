"""Records commands in a pseudo-terminal, and writes docs/images/terminal_*.svg.

python -m tools.docs.terminal_pictures

The commands train on MovieLens-100k (make data). The pictures have the text of the
terminal, not pixels, and are readable on light and dark pages.
"""

from __future__ import annotations

import argparse
import dataclasses
import fcntl
import html
import os
import pty
import struct
import sys
import tempfile
import termios
from collections.abc import Sequence
from pathlib import Path

import pyte

IMAGES = Path(__file__).parents[2] / "docs" / "images"
COLUMNS = 80
_MAX_LINES = 200
_CELL_WIDTH, _LINE_HEIGHT, _MARGIN = 8, 18, 14
_STYLE = """
rect { fill: #f6f8fa; stroke: #d0d7de; }
text { fill: #1f2328; font: 13px ui-monospace, Menlo, Consolas, monospace; }
.b { font-weight: 700; }
.p { fill: #57606a; }
@media (prefers-color-scheme: dark) {
  rect { fill: #161b22; stroke: #30363d; }
  text { fill: #e6edf3; }
  .p { fill: #9da7b3; }
}"""

_FIT = (
    *("python", "-m", "object2vec_tf.fit"),
    "--flagfile=examples/movielens_rating.flags",
    *("--epochs=8", "--model_dir=runs/movielens"),
)
_SHOWN_FIT = (
    "python -m object2vec_tf.fit --flagfile=examples/movielens_rating.flags \\",
    "    --epochs=8 --model_dir=runs/movielens",
)


@dataclasses.dataclass(frozen=True)
class Line:
    """A line of a terminal.

    Attributes:
        text: Its text.
        style: ``b`` for bold, ``p`` for what the user typed; empty for other lines.
    """

    text: str
    style: str = ""


def record(
    command: Sequence[str], columns: int = COLUMNS, folder: Path | None = None
) -> list[bytes]:
    """Runs a command in a terminal; returns its output, in the parts that were read.

    Args:
        command: The command.
        columns: The width of the terminal.
        folder: The working directory; None for this process's.

    Raises:
        RuntimeError: The command failed.
    """
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder or ".")
        environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": f"{columns}"}
        environment.pop("CI", None)
        os.execvpe(command[0], list(command), environment)
    size = struct.pack("HHHH", 24, columns, 0, 0)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, size)
    parts = []
    while part := _read(terminal):
        parts.append(part)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status:
        raise RuntimeError(f"{command}: status {status}: {b''.join(parts)!r}")
    return parts


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # Linux: the other side is closed
        return b""


def screen(parts: Sequence[bytes], columns: int = COLUMNS) -> list[Line]:
    r"""Returns the lines that a terminal shows after it has received an output.

    Args:
        parts: The output.
        columns: The width of the terminal.

    Example:
        >>> screen([b"10 %\r\x1b[2K20 %\n"])
        [Line(text='20 %', style='')]
    """
    shown = pyte.Screen(columns, _MAX_LINES)
    shown.set_mode(pyte.modes.LNM)
    stream = pyte.ByteStream(shown)
    for part in parts:
        stream.feed(part)
    lines = []
    for number, text in enumerate(shown.display):
        cells = shown.buffer[number]
        is_bold = any(cells[x].bold for x in range(columns) if text[x : x + 1].strip())
        lines.append(Line(text.rstrip(), "b" if is_bold else ""))
    while lines and not lines[-1].text:
        lines.pop()
    return lines


def picture(typed: Sequence[str], lines: Sequence[Line], columns: int = COLUMNS) -> str:
    """Returns an SVG of a command and what a terminal shows after it.

    Args:
        typed: The lines of the command.
        lines: The lines of its output.
        columns: The width of the terminal.
    """
    first, *rest = typed
    prompt = [Line(f"$ {first}", "p"), *(Line(f"  {line}", "p") for line in rest)]
    width = columns * _CELL_WIDTH + 2 * _MARGIN
    shown = [*prompt, *lines]
    height = len(shown) * _LINE_HEIGHT + 2 * _MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}">',
        f"<style>{_STYLE}\n</style>",
        f'<rect x="1" y="1" width="{width - 2}" height="{height - 2}" rx="6"/>',
    ]
    for number, line in enumerate(shown):
        if not line.text:
            continue
        y = _MARGIN + _LINE_HEIGHT * number + 13
        style = f' class="{line.style}"' if line.style else ""
        parts.append(
            f'<text x="{_MARGIN}" y="{y}" textLength="{len(line.text) * _CELL_WIDTH}" '
            f'xml:space="preserve"{style}>{html.escape(line.text, quote=False)}</text>'
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


def during(parts: Sequence[bytes], text: str) -> list[Line]:
    """Returns the lines at the last moment when one of them has a text.

    Args:
        parts: The output of a command.
        text: A part of the live line.

    Raises:
        ValueError: No part of the output has the text.
    """
    at = [n for n, part in enumerate(parts) if text.encode() in part]
    if not at:
        raise ValueError(f"expected a line with {text!r} in the output, got none.")
    return screen(parts[: at[-1] + 1])


def main() -> None:
    """Writes the pictures."""
    root = IMAGES.parents[1]
    os.environ["PYTHONPATH"] = f"{root}"
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for shared in ("examples", "data"):
            (folder / shared).symlink_to(root / shared)
        overview = ("python", "-m", "object2vec_tf")
        fit = record(_FIT, folder=folder)
        pictures = {
            "terminal_commands": ([" ".join(overview)], screen(record(overview))),
            "terminal_training": (_SHOWN_FIT, during(fit, "epoch 7/8: training ")),
            "terminal_fit": (_SHOWN_FIT, screen(fit)),
        }
    IMAGES.mkdir(exist_ok=True)
    for title, (typed, lines) in pictures.items():
        (IMAGES / f"{title}.svg").write_text(picture(typed, lines), encoding="utf-8")


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    main()
