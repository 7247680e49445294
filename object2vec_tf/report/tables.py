"""Tables of text, rendered as HTML and as Markdown."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence

from markupsafe import Markup

from object2vec_tf.report.rendering import render_html, render_markdown


@dataclasses.dataclass(frozen=True)
class ReportTable:
    """Rows of cells.

    Attributes:
        head: The column titles.
        rows: The cells' text by row and column. A cell may have several lines.
        text_columns: The number of columns, from the left, that hold text. The others
            hold numbers and are aligned to the right.
        bold_rows: The indices of the rows in bold.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    text_columns: int = 1
    bold_rows: Collection[int] = ()

    def html(self, label: str) -> Markup:
        """Returns the table as HTML.

        Args:
            label: What it is, for screen readers.
        """
        return render_html("table.html.j2", table=self, label=label)

    def markdown(self) -> str:
        """Returns the table as GitHub-flavored Markdown."""
        return render_markdown("table.md.j2", table=self)
