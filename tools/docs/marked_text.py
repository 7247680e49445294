"""The generated parts of pages, each between two markers."""

from __future__ import annotations


def put_into(page: str, name: str, text: str) -> str:
    """Returns a page with a text in the place of the text between two markers.

    Args:
        page: Has the lines ``<!-- NAME -->`` and ``<!-- end of NAME -->``.
        name: The name in the markers.
        text: Ends with a line feed.

    Raises:
        ValueError: A marker is missing.
    """
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
    before, found_begin, rest = page.partition(begin)
    _, found_end, after = rest.partition(end)
    if not found_begin or not found_end:
        raise ValueError(f"the page has no {begin.strip()} or no {end.strip()}")
    return before + begin + text + end + after
