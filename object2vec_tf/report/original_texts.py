"""The texts of objects as the channel's files have them.

Pairs have only token ids. The tokens of a text have lost its upper case, its spaces and
its unknown words, so that the texts are read again from the files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from object2vec_tf.data.pairs import Report
from object2vec_tf.errors import UserError
from object2vec_tf.files.line_blocks import open_line_blocks
from object2vec_tf.files.object_lines import numbered_lines

# Reading stops here, so that it takes seconds at most.
_MAX_BYTES = 2_000_000_000


def original_texts(
    report: Report, wanted: Mapping[str, Sequence[int]]
) -> dict[str, dict[int, Any]]:
    """Reads the values of some rows again.

    Rows that are not found are left out: those of tables in memory, of files that have
    changed or can be read only once, and those beyond two gigabytes.

    Args:
        report: The findings of reading the channel: its files and its bad lines.
        wanted: The numbers of rows by input name, in0 and in1.

    Returns:
        The values by input name and row: a text, or a list of texts or ids.
    """
    rows = sorted({row for numbers in wanted.values() for row in numbers})
    lines = _lines_of_rows(report, rows)
    found: dict[str, dict[int, Any]] = {name: {} for name in wanted}
    sets = {name: frozenset(numbers) for name, numbers in wanted.items()}
    try:
        for row, line in lines:
            fields = msgspec.json.decode(line)
            for name, numbers in sets.items():
                if row in numbers and name in fields:
                    found[name][row] = fields[name]
    except (UserError, OSError, msgspec.DecodeError, UnicodeDecodeError):
        pass  # the rest is displayed by its tokens
    return found


def _lines_of_rows(report: Report, rows: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    """Yields the lines of rows, which are sorted."""
    first, size, remaining = 0, 0, iter(rows)
    row = next(remaining, None)
    for path in report.files:
        if row is None or not path.is_file():  # a pipe would wait for more
            return
        bad = _bad_lines(report.bad_lines, path)
        line_number = 1
        with open_line_blocks(path, replace_long=True) as blocks:
            for block in blocks:
                lines = [
                    line
                    for number, line in numbered_lines(block, line_number)
                    if number not in bad
                ]
                while row is not None and row < first + len(lines):
                    yield row, lines[row - first]
                    row = next(remaining, None)
                first += len(lines)
                line_number += block.count(b"\n")
                size += len(block)
                if row is None or size > _MAX_BYTES:
                    return


def _bad_lines(messages: Sequence[str], path: Path) -> frozenset[int]:
    """Returns the numbers of the skipped lines of a file."""
    pattern = re.compile(re.escape(f"{path}:") + r"(?: row )?(\d+): ")
    matches = (pattern.match(message) for message in messages)
    return frozenset(int(match[1]) for match in matches if match)
