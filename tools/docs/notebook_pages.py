"""HTML of notebooks, as pages of the documentation site.

mkdocs-jupyter renders a notebook with Jupyter's styles, with scripts of other hosts for
formulas and diagrams, and with its own button for copying. The site has its own style
and button, and asks no other host.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

_STYLE_OR_SCRIPT = re.compile(r"<(style|script)\b.*?</\1>", re.DOTALL)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_COPY_BUTTON = re.compile(
    r"<div class=\"zeroclipboard-container\">.*?</clipboard-copy>\s*</div>|"
    r"<div class=\"clipboard-copy-txt\"[^>]*>[^<]*</div>",
    re.DOTALL,
)
_PROMPT = re.compile(
    r"<div class=\"jp-(?:Input|Output)Prompt [^\"]*\">[^<]*</div>|"
    r"<div class=\"jp-Collapser [^\"]*\">\s*</div>"
)
_CODE = re.compile(
    r"<div class=\"highlight(?:-ipynb hl-\w+)?\"><pre>(.*?)</pre>", re.DOTALL
)
_LINK = re.compile(r"(<(?:a|img)\b[^>]*?\b(?:href|src)=\")([^\"]+)(\")")


def markdown_of(notebook: str) -> str:
    """Returns the text of the Markdown cells of a notebook.

    Args:
        notebook: The content of the file.
    """
    cells = json.loads(notebook)["cells"]
    return "\n\n".join(
        "".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"
    )


def site_html(html: str, replace: Callable[[str], str]) -> str:
    """Returns the HTML of a notebook in the style of the site.

    Args:
        html: The HTML that mkdocs-jupyter made.
        replace: Returns the new target for the target of a link or an image.
    """
    for pattern in (_STYLE_OR_SCRIPT, _COMMENT, _COPY_BUTTON, _PROMPT):
        html = pattern.sub("", html)
    html = _CODE.sub(r'<div class="highlight"><pre><code>\1</code></pre>', html)
    html = html.replace('class="anchor-link"', 'class="headerlink"')
    return _LINK.sub(lambda match: match[1] + replace(match[2]) + match[3], html)
