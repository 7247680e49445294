"""Asks the other hosts that README, the documentation and the notebooks link to.

python tools/docs/check_links.py

Prints each address that is not found, with its pages. A host that cannot be reached, or
that refuses programs, is only reported.
"""

from __future__ import annotations

import re
import sys
import urllib.error
import urllib.request
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

from tools.docs.notebook_pages import markdown_of
from tools.docs.repository_links import is_external, links

ROOT = Path(__file__).parents[2]
_PAGES = ("*.md", "docs/*.md", "docs/api/*.md", "examples/**/*.md", "export/**/*.md")
_TIMEOUT = 20  # seconds
_REQUESTS = 8  # at a time
_NOT_FOUND = {404, 410}
_HOST = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+")
# Servers of the reader's own.
_LOCAL = {"127.0.0.1", "localhost"}


def external_links() -> dict[str, list[str]]:
    """Returns the links to other hosts, with the names of their pages."""
    found: dict[str, list[str]] = defaultdict(list)
    for pattern in (*_PAGES, "notebooks/*.ipynb"):
        for path in sorted(ROOT.glob(pattern)):
            text = path.read_text("utf-8")
            text = markdown_of(text) if path.suffix == ".ipynb" else text
            for target in filter(is_external, links(text)):
                found[target].append(path.relative_to(ROOT).as_posix())
    return found


def problem(address: str) -> str | None:
    """Returns what is wrong with an address, without asking its host.

    Args:
        address: The address.

    Example:
        >>> problem("https://keras.io/api"), problem("http://keras.io/api")
        (None, 'expected https')
    """
    parts = urlsplit(address)
    if parts.scheme == "mailto":
        return (
            None if re.fullmatch(r"[^@\s]+@[^@\s]+", parts.path) else "not an address"
        )
    if parts.hostname in _LOCAL:
        return None
    if parts.scheme != "https":
        return "expected https"
    return None if _HOST.fullmatch(parts.hostname or "") else "expected a host"


def ask(address: str) -> str | None:
    """Returns why an address cannot be read; None if it can.

    Args:
        address: An address of https.
    """
    headers = {"User-Agent": "Mozilla/5.0 (link check)"}
    request = urllib.request.Request(address.partition("#")[0], headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT):
            return None
    except urllib.error.HTTPError as error:
        return f"HTTP status {error.code}"
    except OSError as error:
        return f"not reached: {getattr(error, 'reason', error)}"


def main() -> int:
    """Prints the links that have a problem; returns 1 if one is wrong or not found."""
    found = external_links()
    asked = [each for each in found if urlsplit(each).hostname not in {*_LOCAL, None}]
    with ThreadPoolExecutor(_REQUESTS) as pool:
        answers = dict(zip(asked, pool.map(ask, asked), strict=True))
    wrong = 0
    for address, names in found.items():
        reason = problem(address) or answers.get(address)
        if reason:
            wrong += problem(address) is not None or any(
                reason.endswith(f" {status}") for status in _NOT_FOUND
            )
            print(f"{address}: {reason} ({', '.join(sorted(set(names)))})")
    print(f"{len(found)} links, {wrong} wrong")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
