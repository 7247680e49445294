"""Extracts the sentences of an article from its wikitext."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from tools.datasets.sources import DatasetError

if TYPE_CHECKING:
    from mwparserfromhell.nodes import Node
    from mwparserfromhell.wikicode import Wikicode

NO_PROSE: Final = re.compile(
    "ref|references|table|gallery|math|chem|ce|code|pre|source|syntaxhighlight|score"
    "|timeline|imagemap|hr|nowiki|graph|hiero"
)
"""Tags whose content is dropped."""

NO_ARTICLE: Final = frozenset(
    [
        "bibliography",
        "citations",
        "external links",
        "footnotes",
        "further reading",
        "notes",
        "notes and references",
        "references",
        "see also",
        "sources",
    ]
)
"""Sections that are dropped together with their subsections."""

NO_LINKS: Final = frozenset(["file", "image", "media", "category"])
"""Namespaces whose links show no text, in the dumps of all languages."""

ABBREVIATION: Final = re.compile(
    r"(\w\.)*[^\W\d]|dr|mr|mrs|ms|st|jr|sr|vs|vol|pp|prof|gen|lt|col|capt|sgt|sen"
    r"|rep|gov|rev|ca|cf|approx|fl|op",
    re.IGNORECASE,
)
"""Words before a period that does not end a sentence, and single letters (initials)."""

MIN_SENTENCE_WORDS: Final = 5

_OPENING, _CLOSING = "\"“\u2018'(\\[", "\"”\u2019'\\])"
_INTERLANGUAGE: Final = re.compile(r"[a-z]{2,3}(-[a-z-]+)?")
_BOUNDARY: Final = re.compile(rf"[.!?][{_CLOSING}]*\s+(?=[{_OPENING}]*(\w))")
_START: Final = re.compile(rf"[{_OPENING}]*(\w)")
_END: Final = re.compile(rf"[.!?][{_CLOSING}]*$")
_MARKUP: Final = re.compile(r"\[\[|\]\]|\{\{|\}\}|\{\||\|\}|</?ref|^\|")
"""Markup that remains where the wikitext is malformed."""


def sentences(wikitext: str, no_links: Iterable[str] = ()) -> list[str]:
    """Returns the sentences of an article, in order.

    Templates (including numbers written with {{convert}}), tables, references, files,
    formulas, headings and the sections in `NO_ARTICLE` are removed. A sentence begins
    with a capital letter or a digit, ends with . ! or ?, has at least five words and no
    markup left over from malformed wikitext; all other text is dropped. These rules fit
    English and languages with the same conventions.

    Args:
        wikitext: The source text of the article.
        no_links: Further namespaces whose links show no text, as named in the dump.

    Raises:
        DatasetError: mwparserfromhell is not installed.
    """
    try:
        import mwparserfromhell
    except ImportError as error:
        raise DatasetError(
            "Reading wikitext needs mwparserfromhell, which is not installed."
            " Run: pip install '.[datasets]'"
        ) from error
    hidden = NO_LINKS.union(name.lower() for name in no_links)
    text = _text_of(_article_nodes(mwparserfromhell.parse(wikitext).nodes), hidden)
    return [
        sentence
        for line in text.split("\n")
        for sentence in split_sentences(_tidy(line))
        if _is_sentence(sentence)
    ]


def _article_nodes(nodes: Iterable[Node]) -> Iterator[Node]:
    """Yields the nodes outside of the sections in `NO_ARTICLE`."""
    from mwparserfromhell.nodes import Heading

    dropped = 7  # level of the section that is being dropped; 7: none
    for node in nodes:
        if isinstance(node, Heading) and node.level <= dropped:
            title = str(node.title).strip().lower()
            dropped = node.level if title in NO_ARTICLE else 7
        if dropped == 7:
            yield node


def _text_of(nodes: Iterable[Node], hidden: frozenset[str]) -> str:
    return "".join(_text_of_node(node, hidden) for node in nodes)


def _text_of_node(node: Node, hidden: frozenset[str]) -> str:
    from mwparserfromhell import nodes

    match node:
        case nodes.Text():
            return str(node.value)
        case nodes.HTMLEntity():
            return node.normalize()
        case nodes.Wikilink():
            return _text_of_link(node.title, node.text, hidden)
        case nodes.ExternalLink():
            return _text_in(node.title, hidden) if node.brackets else ""
        case nodes.Heading():
            return "\n"
        case nodes.Tag():
            name = str(node.tag).strip().lower()
            if NO_PROSE.fullmatch(name):
                return ""
            return " " if name == "br" else _text_in(node.contents, hidden)
    return ""  # templates, their arguments, comments


def _text_in(code: Wikicode | None, hidden: frozenset[str]) -> str:
    return "" if code is None else _text_of(code.nodes, hidden)


def _text_of_link(
    title: Wikicode, text: Wikicode | None, hidden: frozenset[str]
) -> str:
    target = _text_in(title, hidden).strip()
    namespace, colon, _ = target.partition(":")
    if colon and (
        namespace.strip().lower() in hidden or _INTERLANGUAGE.fullmatch(namespace)
    ):
        return ""
    return _text_in(text, hidden) if text is not None else target.lstrip(":")


def _tidy(line: str) -> str:
    """Removes the gaps that dropped templates leave."""
    line = " ".join(line.split())
    line = re.sub(r"\(\s*(?:[,;]\s*)+", "(", line)
    line = re.sub(r"\s*\(\s*\)", "", line)
    return re.sub(r"\s+([,.;:)])", r"\1", line)


def split_sentences(text: str) -> Iterator[str]:
    """Yields the sentences of a line.

    A sentence ends at . ! or ? if a capital letter or a digit follows, unless the
    period follows a known abbreviation or an initial (a single letter).
    """
    start = 0
    for match in _BOUNDARY.finditer(text):
        follows = match.group(1)
        before = text[start : match.start()].rsplit(" ", 1)[-1].lstrip("(\"'“")
        short = text[match.start()] == "." and (
            ABBREVIATION.fullmatch(before) or (before == "No" and follows.isdigit())
        )
        if not short and (follows.isupper() or follows.isdigit()):
            yield text[start : match.end()].strip()
            start = match.end()
    if text[start:].strip():
        yield text[start:].strip()


def _is_sentence(sentence: str) -> bool:
    first = _START.match(sentence)
    return (
        first is not None
        and (first[1].isupper() or first[1].isdigit())
        and _END.search(sentence) is not None
        and _MARKUP.search(sentence) is None
        and len(sentence.split()) >= MIN_SENTENCE_WORDS
    )
