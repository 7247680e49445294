"""Extension of griffe: the examples of docstrings, as the API reference shows them.

Our docstrings have a section "Example:". griffe knows only "Examples:", and reads
another title as a note in Markdown, in which ">>>" is a quotation.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

_TITLE = re.compile(r"^( *)Example:$", re.MULTILINE)


class ExampleSections(griffe.Extension):
    """Renames the sections of examples."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Renames those of a module, class, function or attribute.

        Args:
            obj: The object.
            **kwargs: Not used.
        """
        if obj.docstring is not None:
            obj.docstring.value = _TITLE.sub(r"\1Examples:", obj.docstring.value)
