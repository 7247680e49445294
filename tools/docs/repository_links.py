"""Relative links of Markdown pages, and where the site has what they refer to.

Pages of the documentation link to files of the repository, such as
``../examples/movielens_rating.flags``. Such links work in a checkout. The site has
these files below ``repository/``.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator

DOCS = "docs"
# The directory of the site for files of the repository.
REPOSITORY = "repository"
# Directories of the repository that are parts of docs, by symbolic links.
_INSIDE_DOCS = {"notebooks": "notebooks"}
# Files of the repository that a page of docs includes.
_INCLUDED = {"CHANGELOG.md": "changelog.md"}

_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})")
# Code spans first, so that links in them are not found.
_LINK = re.compile(
    r"(?P<code>(`+)(?!`).+?(?<!`)\2(?!`))"
    r"|(?P<before>\]\()(?P<target>[^()\s]+)(?P<after>(?:\s+\"[^\"]*\")?\))"
    r"|(?P<attribute>\b(?:href|src)=\")(?P<value>[^\"]+)(?P<quote>\")",
    re.DOTALL,
)
_DEFINITION = re.compile(r"^( {0,3}\[[^\]]+\]:\s+)(\S+)", re.MULTILINE)
_HAS_SCHEME = re.compile(r"^[a-zA-Z][a-zA-Z0-9+.-]*:|^//")


def replace_links(text: str, replace: Callable[[str], str]) -> str:
    """Replaces the targets of the links of a Markdown page, except in code.

    Args:
        text: The page.
        replace: Returns the new target for a target.

    Example:
        >>> replace_links("[a](b.md) and `[c](d.md)`", str.upper)
        '[a](B.MD) and `[c](d.md)`'
    """

    def replaced(match: re.Match[str]) -> str:
        if match["target"] is not None:
            return match["before"] + replace(match["target"]) + match["after"]
        if match["value"] is not None:
            return match["attribute"] + replace(match["value"]) + match["quote"]
        return match[0]

    return "".join(
        part
        if is_code
        else _DEFINITION.sub(
            lambda match: match[1] + replace(match[2]), _LINK.sub(replaced, part)
        )
        for is_code, part in split_code(text)
    )


def links(text: str) -> list[str]:
    """Returns the targets of the links of a Markdown page, except in code."""
    found: list[str] = []

    def collect(target: str) -> str:
        found.append(target)
        return target

    replace_links(text, collect)
    return found


def is_external(target: str) -> bool:
    """Whether a link refers to another host, or to a mail address."""
    return _HAS_SCHEME.match(target) is not None


def resolve(target: str, page: str) -> str | None:
    """Returns the path in the repository that a link refers to.

    Args:
        target: The target of the link.
        page: The path of its page in the repository.

    Returns:
        The path, or None for a link to another host, to a part of the same page, or to
        an absolute path.
    """
    path = target.partition("#")[0]
    if not path or path.startswith("/") or is_external(target):
        return None
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), path))


def site_path(path: str, is_directory: bool) -> str:
    """Returns the source path of a page of the site, relative to docs.

    Args:
        path: A file or directory of the repository.
        is_directory: Whether it is a directory.
    """
    if path in _INCLUDED:
        return _INCLUDED[path]
    first, _, rest = path.partition("/")
    if first == DOCS:
        return rest
    if first in _INSIDE_DOCS:
        return f"{_INSIDE_DOCS[first]}/{rest}"
    if is_directory:
        return posixpath.normpath(f"{REPOSITORY}/{path}/index.md")
    if path.endswith((".md", ".png", ".svg")):
        return f"{REPOSITORY}/{path}"
    return f"{REPOSITORY}/{path}.md"


def relative_link(path: str, page: str, target: str) -> str:
    """Returns the link from one page of the site to another.

    Args:
        path: The source path of the other page, relative to docs.
        page: The source path of the page with the link.
        target: The original link; its anchor is kept, except for a page of code.
    """
    link = posixpath.relpath(path, posixpath.dirname(page) or ".")
    _, separator, anchor = target.partition("#")
    return link + separator + anchor


def split_code(text: str) -> Iterator[tuple[bool, str]]:
    """Yields the parts of a Markdown page, and whether they are fenced code.

    Args:
        text: The page.

    Raises:
        ValueError: The last block of code does not end.
    """
    part: list[str] = []
    fence = ""
    for line in text.splitlines(keepends=True):
        match = _FENCE.match(line)
        if match and not fence:
            yield False, "".join(part)
            part, fence = [line], match[1]
        elif match and match[1].startswith(fence) and line.strip() == match[1]:
            yield True, "".join([*part, line])
            part, fence = [], ""
        else:
            part.append(line)
    if fence:
        raise ValueError(f"a block of code is not closed: {''.join(part)[:60]!r}")
    yield False, "".join(part)
