"""Hooks of MkDocs: files of the repository that pages of the site link to.

A Markdown file of the repository becomes a page of the site; any other text becomes a
page that shows it. The links of all pages are changed accordingly.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from tools.docs.notebook_pages import markdown_of, site_html  # noqa: E402
from tools.docs.repository_links import (  # noqa: E402
    DOCS,
    REPOSITORY,
    links,
    relative_link,
    replace_links,
    resolve,
    site_path,
)

_LANGUAGES = {
    ".cff": "yaml",
    ".flags": "text",
    ".json": "json",
    ".jsonl": "json",
    ".js": "javascript",
    ".py": "python",
    ".sh": "bash",
    ".toml": "toml",
    ".xml": "xml",
    ".yaml": "yaml",
    ".yml": "yaml",
}
# Pages that are made from files of the repository are not in the navigation, and a
# search for a word of the documentation should not find source code.
_HIDDEN = "---\nsearch:\n  exclude: true\nhide: [navigation]\n---\n"
_COMPILED = re.compile(r"__pycache__|\.egg-info$")
_SHORT_CODE = re.compile(r"<code>([^<\s]{1,26})</code>")
_CHANGELOG = ROOT / "CHANGELOG.md"
_CHANGELOG_PAGE = "changelog.md"
_NOTEBOOKS = "notebooks"
# Pages of the site, by the files of the repository that they are made from.
_origins: dict[str, str] = {}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the files of the repository that pages link to, and those that these do."""
    _origins.clear()
    pages = {
        _page_path(file.src_uri): _markdown(file)
        for file in files
        if file.src_uri.endswith((".md", ".ipynb"))
    }
    while pages:
        path, text = pages.popitem()
        for target in links(text):
            found = resolve(target, path)
            if found is None or not (ROOT / found).exists():
                continue  # MkDocs reports a missing file itself
            source = site_path(found, (ROOT / found).is_dir())
            if source.startswith(f"{REPOSITORY}/") and source not in _origins:
                _origins[source] = found
                file = _made_from(ROOT / found, source, config)
                files.append(file)
                if source.endswith(".md"):
                    pages[_page_path(source)] = file.content_string
    return files


def on_page_markdown(
    markdown: str, *, page: Page, config: MkDocsConfig, files: Files
) -> str:
    """Changes the links to files of the repository to pages of the site."""
    source = page.file.src_uri
    if source == _CHANGELOG_PAGE:
        markdown = _CHANGELOG.read_text("utf-8")

    def replaced(target: str) -> str:
        linked = _linked_page(target, source)
        return target if linked is None else relative_link(linked, source, target)

    return replace_links(markdown, replaced)


def on_page_content(
    html: str, *, page: Page, config: MkDocsConfig, files: Files
) -> str:
    """Puts notebooks into the style of the site, and marks what the style sheet needs.

    The class ``short`` marks code that is short. A mean and its deviation are not put
    on two lines. An empty list of sections is hidden.
    """
    html = _SHORT_CODE.sub(r'<code class="short">\1</code>', html)
    html = html.replace(" ± ", "&nbsp;±&nbsp;")
    if not any(item.children for item in page.toc):
        page.meta["hide"] = [*page.meta.get("hide", []), "toc"]
    if not page.file.src_uri.endswith(".ipynb"):
        return html

    def replaced(target: str) -> str:
        linked = _linked_page(target, page.file.src_uri)
        file = files.get_file_from_path(linked) if linked else None
        if file is None:
            return target
        _, separator, anchor = target.partition("#")
        return file.url_relative_to(page.file) + separator + anchor

    return site_html(html, replaced)


def _linked_page(target: str, source: str) -> str | None:
    """Returns the source path of what a link of a page refers to; None for others."""
    found = resolve(target, _page_path(source))
    if found is None or not (ROOT / found).exists():
        return None
    return site_path(found, (ROOT / found).is_dir())


def _markdown(file: File) -> str:
    """Returns the Markdown of a page or of the cells of a notebook."""
    if file.src_uri == _CHANGELOG_PAGE:
        return _CHANGELOG.read_text("utf-8")
    text = file.content_string
    return markdown_of(text) if file.src_uri.endswith(".ipynb") else text


def _page_path(source: str) -> str:
    """Returns the path in the repository of what a page of the site is made from."""
    if source == _CHANGELOG_PAGE:
        return _CHANGELOG.name
    if source.startswith(f"{_NOTEBOOKS}/"):
        return source
    if source not in _origins:
        return f"{DOCS}/{source}"
    # The links of a list of a directory's files are relative to the directory.
    origin = _origins[source]
    return f"{origin}/index.md" if (ROOT / origin).is_dir() else origin


def _made_from(path: Path, source: str, config: MkDocsConfig) -> File:
    """Returns the page of the site that shows a file or directory."""
    if not source.endswith(".md"):
        content: str | bytes = path.read_bytes()
    elif path.is_dir():
        content = _HIDDEN + _listing(path)
    elif path.suffix == ".md":
        content = _HIDDEN + path.read_text("utf-8")
    else:
        content = _HIDDEN + _code_page(path)
    return File.generated(
        config, source, content=content, inclusion=InclusionLevel.NOT_IN_NAV
    )


def _listing(directory: Path) -> str:
    """Returns a page that lists the files of a directory."""
    names = sorted(
        entry.name
        for entry in directory.iterdir()
        if not entry.name.startswith(".") and not _COMPILED.search(entry.name)
    )
    items = "".join(f"* [{name}]({name})\n" for name in names)
    return f"# {directory.relative_to(ROOT).as_posix()}\n\n{items}"


def _code_page(path: Path) -> str:
    """Returns a page that shows a text file."""
    text = path.read_text("utf-8")
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    language = _LANGUAGES.get(path.suffix, "text")
    name = path.relative_to(ROOT).as_posix()
    return f"# {name}\n\n{fence}{language}\n{text.rstrip()}\n{fence}\n"
