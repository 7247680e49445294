"""Generates docs/commands.md from the help of the commands.

python tools/docs/commands.py
"""

from __future__ import annotations

import html
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import object2vec_tf
from object2vec_tf.commands.help_screens import COMMANDS, OVERVIEW, screen, verbs

PAGE = Path(__file__).parents[2] / "docs" / "commands.md"
# Processes at a time: each of them imports TensorFlow.
_PROCESSES = 2

HEAD = """# Commands

This page shows the help of all commands. `python tools/docs/commands.py` generates it.
`--help` prints the short texts, and `--helpfull` lists all flags.

A flag may be written `--name=value` or `--name value`. A boolean flag is `--name` or
`--noname`. `--flagfile=FILE` inserts the flags of a file, one per line.

| exit status | meaning |
|---|---|
| 0 | The command is done. Or SIGTERM stopped a run, and the same command resumes it. |
| 1 | There is an internal error, with a traceback. |
| 2 | The user can fix the error. The last line of stderr is the message. |
| 130 | The command was interrupted from the keyboard. |

"""
_SETTINGS = (
    "All [hyperparameters](hyperparameters.md) are flags of this command too.\n\n"
)
# absl's own flags, for debugging Python programs, are left out.
_COMMON = "Flags of all commands"
_SETTINGS_GROUPS = re.compile("hyperparameters", re.IGNORECASE)
_DEFAULT = re.compile(r"\(default: '(.*)'\)")


def page() -> str:
    """Returns the text of the page."""
    with ThreadPoolExecutor(_PROCESSES) as pool:
        modules = [module for module in COMMANDS if module != OVERVIEW]
        full = dict(zip(modules, pool.map(full_help, modules), strict=True))
    overview = screen(OVERVIEW).format(version=object2vec_tf.__version__)
    parts = [HEAD, _section("python -m object2vec_tf", 2, overview)]
    for module in modules:
        name = COMMANDS[module]
        parts.append(_section(module, 2, screen(name)))
        parts += [
            _section(f"{module} {verb}", 3, screen(name, [verb]))
            for verb in verbs(name)
        ]
        parts.append(f"### All flags of {module}\n\n{flag_table(full[module])}\n")
    return "".join(parts).rstrip() + "\n"


def full_help(module: str) -> str:
    """Returns what the command prints for ``--helpfull``.

    Args:
        module: The module of the command.
    """
    return subprocess.run(
        [sys.executable, "-m", module, "--helpfull"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def flag_table(text: str) -> str:
    r"""Returns a table of the flags of a command.

    Args:
        text: The output of ``--helpfull``. Hyperparameters, which have a page of their
            own, and absl's flags are left out.

    Example:
        >>> text = "Flags:\n  --k: number of\n    neighbors\n    (default: '10')\n"
        >>> print(flag_table(text), end="")
        | flag | meaning | default |
        |---|---|---|
        | `--k` | number of neighbors | `10` |
    """
    has_settings = False
    rows = []
    for title, flags in _groups(text):
        if _SETTINGS_GROUPS.search(title):
            has_settings = True
        elif title != _COMMON:
            rows += [_row(flag) for flag in flags]
    table = "| flag | meaning | default |\n|---|---|---|\n" + "".join(rows)
    return (_SETTINGS if has_settings else "") + table


def _section(title: str, level: int, text: str) -> str:
    return f"{'#' * level} {title}\n\n```text\n{text.rstrip()}\n```\n\n"


def _groups(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yields the title of each group of flags, and the texts of its flags."""
    for group in re.split(r"\n\n(?=[A-Z][^\n]*:\n  -)", "\n\n" + text)[1:]:
        title, _, flags = group.partition(":\n")
        yield title, re.split(r"\n(?=  -)", flags.strip("\n"))


def _row(flag: str) -> str:
    name, _, meaning = flag.strip().partition(": ")
    meaning = " ".join(meaning.split())
    match = _DEFAULT.search(meaning)
    default = f"`{match[1]}`" if match and match[1] else ""
    meaning = " ".join(_DEFAULT.sub("", meaning).split())
    meaning = re.sub(r"([*|])", r"\\\1", html.escape(meaning, quote=False))
    return f"| `{name}` | {meaning} | {default} |\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
