"""Prints how hard README and the pages of docs are to read.

python tools/docs/reading_grade.py [--worst=3] [PAGE ...]

The figure is the Flesch-Kincaid grade: the years of school in the United States after
which a text can be understood. It is that of the prose: code, tables, headings and the
targets of links are left out, and code within a sentence counts as a short word.
Source: Kincaid et al. 1975, Derivation of New Readability Formulas.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import textstat

from tools.docs.repository_links import split_code

ROOT = Path(__file__).parents[2]
MAX_GRADE = 11.0
# A generated list of flags, and a list of changes, have few sentences.
_NOT_PROSE = {"changelog.md", "commands.md", "hyperparameters.md"}

_FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_CODE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)
_IMAGE = re.compile(r"!\[[^\]]*\]\([^)]*\)")
_LINK = re.compile(r"\[([^\]]+)\](?:\([^)]*\)|\[[^\]]*\])")
_TAG = re.compile(r"</?[a-zA-Z][^>]*>")
# Headings, rows of tables, rules, definitions of links, and titles of notes and tabs.
_NO_PROSE_LINE = re.compile(r"^\s*(#|\||-{3,}\s*$|\[[^\]]+\]:\s|!!!|\?\?\?|===|:::)")
_ITEM = re.compile(r"^\s*(?:[*+-]|\d+[.)])\s+|^\s*>\s?")
# A point or similar within a number, a version or the name of a file.
_INNER_POINT = re.compile(r"(?<=\w)[.!?](?=\w)")
_ABBREVIATION = re.compile(r"\b(e\.g|i\.e|etc|vs|cf|al)\.(?=\s+[a-z])")


def pages() -> list[Path]:
    """Returns README and the pages of docs whose grade is tested."""
    docs = sorted((ROOT / "docs").glob("*.md"))
    return [ROOT / "README.md", *(path for path in docs if path.name not in _NOT_PROSE)]


def grade(text: str) -> float:
    """Returns the Flesch-Kincaid grade of the prose of a Markdown page; 0 for none.

    Args:
        text: The page.
    """
    prose = " ".join(sentences(text))
    return float(textstat.flesch_kincaid_grade(prose)) if prose else 0.0


def sentences(text: str) -> list[str]:
    r"""Returns the sentences of the prose of a Markdown page, each with its point.

    Args:
        text: The page.

    Example:
        >>> sentences("# Title\n\nRead `a.b` [here](c.md). Then:\n\n* run it\n* wait\n")
        ['Read code here.', 'Then.', 'run it.', 'wait.']
    """
    return [
        sentence
        for block in _blocks(text)
        for part in re.split(r"(?<=[.!?])[\"')\]]*\s+", block)
        if (sentence := part.rstrip(" .:;,!?") + ".") != "."
    ]


def _blocks(text: str) -> Iterator[str]:
    """Yields the paragraphs and the items of lists of a page."""
    text = _FRONT_MATTER.sub("", text)
    text = "\n\n".join(part for is_code, part in split_code(text) if not is_code)
    text = _COMMENT.sub("", text)
    text = _CODE.sub("code", text)
    text = _LINK.sub(r"\1", _IMAGE.sub("", text))
    text = _TAG.sub("", text)
    block: list[str] = []
    for line in [*text.splitlines(), ""]:
        is_item = _ITEM.match(line)
        ends = not line.strip() or _NO_PROSE_LINE.match(line)
        if (ends or is_item) and block:
            yield _cleaned(" ".join(block))
            block = []
        if not ends:
            block.append(_ITEM.sub("", line).strip())


def _cleaned(block: str) -> str:
    block = _ABBREVIATION.sub(lambda match: match[1].replace(".", ""), block)
    return _INNER_POINT.sub("", re.sub(r"[*_]{1,2}(?=\S)|(?<=\S)[*_]{1,2}", "", block))


def main(arguments: Sequence[str]) -> int:
    """Prints the grades; returns 1 if one is above the limit.

    Args:
        arguments: The command line.
    """
    parser = argparse.ArgumentParser(description="Prints the reading grade of pages.")
    parser.add_argument("pages", nargs="*", type=Path)
    parser.add_argument("--worst", type=int, default=0, help="hard sentences to print")
    options = parser.parse_args(arguments)
    if options.worst < 0:
        parser.error("--worst: expected 0 or more")
    if others := [path for path in options.pages if not path.is_file()]:
        parser.error(f"{others[0]}: no such file")
    is_hard = False
    for path in options.pages or pages():
        text = path.read_text("utf-8")
        page_grade = grade(text)
        is_hard |= page_grade > MAX_GRADE
        print(f"{page_grade:5.1f}  {path.name}")
        hardest = sorted(sentences(text), key=textstat.flesch_kincaid_grade)[::-1]
        for sentence in hardest[: options.worst]:
            print(f"       {textstat.flesch_kincaid_grade(sentence):5.1f}  {sentence}")
    return int(is_hard)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
