"""Renders the Jinja templates in ``templates/``.

Values are escaped in ``*.html.j2`` and ``*.svg.j2``. Markdown templates call the filter
``escape_markdown`` themselves.
"""

from __future__ import annotations

import functools
import html
import re
from typing import Any

import jinja2
from markupsafe import Markup

# The characters that GitHub's Markdown reads as markup. An underscore within a word is
# plain text.
_MARKDOWN_SYNTAX = re.compile(r"[\\`*\[\]|~#]|(?<![^\W_])_|_(?![^\W_])")


def render_html(template: str, **values: Any) -> Markup:
    """Renders an HTML or SVG template; values are escaped.

    Args:
        template: The template's file name, ``*.html.j2`` or ``*.svg.j2``.
        **values: The template's variables.

    Returns:
        Markup, which other templates insert without escaping it again.
    """
    # Autoescaping is on for these templates, so that the result is safe to insert.
    return Markup(_environment().get_template(template).render(values))


def render_markdown(template: str, **values: Any) -> str:
    """Renders a Markdown template; the template itself escapes its values.

    Args:
        template: The template's file name, ``*.md.j2``.
        **values: The template's variables.
    """
    return _environment().get_template(template).render(values)


def escape_markdown(text: str) -> str:
    """Returns Markdown that displays the text literally."""
    return _MARKDOWN_SYNTAX.sub(r"\\\g<0>", html.escape(text, quote=False))


def fenced(code: str) -> str:
    """Returns a fenced block of commands, which may have backticks themselves."""
    longest = max(map(len, re.findall("`+", code)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}bash\n{code}\n{fence}"


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("object2vec_tf.report"),
        autoescape=jinja2.select_autoescape(
            enabled_extensions=("html.j2", "svg.j2"), default=False
        ),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["escape_markdown"] = escape_markdown
    environment.filters["fenced"] = fenced
    environment.filters["px"] = lambda value: f"{value:.1f}"
    return environment
