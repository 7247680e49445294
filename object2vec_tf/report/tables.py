"""Tables of text, written as HTML and as Markdown."""

from __future__ import annotations

import dataclasses
import html
import re
from collections.abc import Collection, Sequence

# What would be markup in GitHub's Markdown; underscores within a word are none.
_MARKUP = re.compile(r"[\\`*\[\]|~#]|(?<![^\W_])_|_(?![^\W_])")


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows of cells.

    Attributes:
        head: The columns' titles.
        rows: Text by row and column; a cell may have several lines.
        words: How many columns, from the left, hold words; the others hold numbers.
        strong: The rows that stand out.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 1
    strong: Collection[int] = ()

    def html(self) -> str:
        """Returns the table as HTML."""
        kinds = ["" if i < self.words else ' class="n"' for i in range(len(self.head))]
        titles = zip(kinds, self.head, strict=True)
        lines = [
            "".join(f"<th{kind}>{html.escape(cell)}</th>" for kind, cell in titles)
        ]
        for number, row in enumerate(self.rows):
            cells = [html.escape(cell).replace("\n", "<br>") for cell in row]
            if number in self.strong:
                cells = [f"<b>{cell}</b>" for cell in cells]
            told = zip(kinds, cells, strict=True)
            lines.append("".join(f"<td{kind}>{cell}</td>" for kind, cell in told))
        body = "".join(f"<tr>{line}</tr>\n" for line in lines)
        return f'<div class="wide"><table>\n{body}</table></div>'

    def markdown(self) -> str:
        """Returns the table as GitHub's Markdown."""
        rules = ["---" if i < self.words else "---:" for i in range(len(self.head))]
        lines = [[plain_markdown(cell) for cell in self.head], rules]
        for number, row in enumerate(self.rows):
            cells = [plain_markdown(cell).replace("\n", "<br>") for cell in row]
            if number in self.strong:
                cells = [f"**{cell}**" if cell else "" for cell in cells]
            lines.append(cells)
        return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def plain_markdown(text: str) -> str:
    """Returns Markdown that shows a text as it stands, and none of it as markup."""
    return _MARKUP.sub(r"\\\g<0>", html.escape(text, quote=False))
