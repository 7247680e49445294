"""Prepares Debian's package descriptions, for retrieval and tagging, as JSON Lines.

    apt-get -o Acquire::Languages=en update        # as root; downloads the lists
    python tools/datasets/debian.py --output=data/debian

Reads apt's lists (Packages and Translation-en) in --source, by default apt's own
directory; they may be plain, .gz, .bz2, .xz or .lz4 (read with apt-helper). A package
is used once, if its short description has at least 3 words and its long description at
least 15 (a word is [a-z0-9+]+ in lower case). Of several packages whose long
descriptions have the same words, only the first by name is used: every long description
belongs to one package and one part.

Packages built from one source share much text, so the parts are split by source (the
field Source, or the package's name): md5 modulo 100 from 0 to 9 is test, 10 to 14
validation, the rest train. Files written to --output:

    retrieval/PART.jsonl      {"in0": short, "in1": long, "label": 1}
    tags/PART.jsonl           {"in0": text, "in1": ["role::program"], "label": 1}, one
                              line for each tag of a package that at least 50 packages
                              of train have
    retrieval/PART.wrong.jsonl, tags/PART.wrong.jsonl
                              negative pairs, "label": 0: five for each short text of
                              validation and test, ten for each tagged package
    tags/PART.packages.jsonl  {"in0": text, "tags": [...]}, validation and test only
    tags/tags.jsonl           {"in1": [tag]} for each such tag

PART is train, validation or test; text is "short. long". All training pairs for
retrieval are positive: train with negative_sampling_rate. Tag frequencies differ
widely: draw negatives with negative_frequency_power=0, or train with the negative
pairs. The counts follow Debian's archive and change slightly over time.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

sys.path.insert(0, str(Path(__file__).parents[2]))  # so that it runs as a script

from tools.datasets import outputs, program, sources
from tools.datasets.sources import DatasetError

LISTS: Final = Path("/var/lib/apt/lists")
APT_HELPER: Final = "/usr/lib/apt/apt-helper"
UPDATE: Final = "apt-get -o Acquire::Languages=en update"
SOURCES: Final = (
    "a directory with apt's lists, *Packages and *Translation-en, plain, .gz, .bz2,"
    " .xz or .lz4"
)

PARTS: Final = ("train", "validation", "test")
FILES: Final = (
    *(f"retrieval/{part}.jsonl" for part in PARTS),
    *(f"tags/{part}.jsonl" for part in PARTS),
    *(f"retrieval/{part}.wrong.jsonl" for part in PARTS[1:]),
    *(f"tags/{part}.wrong.jsonl" for part in PARTS),
    *(f"tags/{part}.packages.jsonl" for part in PARTS[1:]),
    "tags/tags.jsonl",
)
TEST_BELOW: Final = 10
VALIDATION_BELOW: Final = 15
MIN_SHORT_WORDS: Final = 3
MIN_LONG_WORDS: Final = 15
MIN_TAG_USES: Final = 50
DOCUMENT_NEGATIVES: Final = 5
TAG_NEGATIVES: Final = 10

WORD: Final = re.compile(r"[a-z0-9+]+")
TAG: Final = re.compile(r"([^\s,{}]+)(?:\{([^}]*)\})?")

Stanza = dict[str, str]


@dataclass(frozen=True)
class Package:
    """The fields of a package that are used."""

    name: str
    part: str
    short: str
    long: str
    tags: tuple[str, ...]

    @property
    def text(self) -> str:
        """Both descriptions as one text."""
        return f"{self.short}. {self.long}"


def prepare(
    output: Path, source: Path | None = None, min_tag_uses: int = MIN_TAG_USES
) -> None:
    """Reads apt's lists and writes the dataset, unless it already exists.

    Args:
        output: The output directory.
        source: A directory with apt's lists. None: apt's own directory.
        min_tag_uses: Minimum number of training packages with a tag.

    Raises:
        DatasetError: The lists are missing or unreadable, or the output cannot be
            written.
    """
    if outputs.is_complete(output, FILES):
        return
    package_lists, translations = find_lists(source or LISTS)
    left_out: Counter[str] = Counter()
    descriptions = read_descriptions(translations)
    packages = read_packages(package_lists, descriptions, left_out)
    packages = remove_duplicates(packages, left_out)
    if not packages:
        raise DatasetError(
            f"{source or LISTS}: no package in these lists has an English description."
            f" Run as root: {UPDATE}; or set --source to {SOURCES}."
        )
    tags = frequent_tags(packages, min_tag_uses)
    with outputs.atomic_outputs(output, FILES) as paths:
        write_retrieval(paths, packages)
        write_tags(paths, packages, tags)
    print(f"Written to {output} from {len(package_lists)} package lists:")
    print(outputs.summary(output, FILES))
    tagged = sum(any(tag in tags for tag in package.tags) for package in packages)
    print(f"  packages: {len(packages):,}; {tagged:,} of them have at least one tag")
    for reason, count in left_out.items():
        print(f"  left out: {count:,} {reason}")


def find_lists(folder: Path) -> tuple[list[Path], list[Path]]:
    """Returns the package lists and the description lists, each sorted by name.

    Raises:
        DatasetError: One of the two kinds is missing.
    """
    suffix = r"(\.gz|\.bz2|\.xz|\.lz4)?$"
    found = []
    for kind in ("Packages", "Translation-en"):
        lists = [p for p in folder.glob("*") if re.search(f"{kind}{suffix}", p.name)]
        if not lists:
            raise DatasetError(
                f"{folder}: expected a list *{kind}; not found. On Debian, run as root:"
                f" {UPDATE}; or set --source to {SOURCES}."
            )
        found.append(sorted(lists))
    return found[0], found[1]


def stanzas(path: Path) -> Iterator[Stanza]:
    """Yields the stanzas of a list as dictionaries of their fields.

    The unchanged lines of a multi-line field are joined by newlines.

    Raises:
        DatasetError: The list cannot be read.
    """
    stanza: Stanza = {}
    field = ""
    with _open_list(path) as file:
        for _, line in sources.decode_lines(file, str(path)):
            if not line:
                if stanza:
                    yield stanza
                stanza, field = {}, ""
            elif line[0] in " \t" and field:
                stanza[field] += f"\n{line}"
            else:
                field, _, value = line.partition(":")
                stanza[field] = value.strip()
    if stanza:
        yield stanza


@contextmanager
def _open_list(path: Path) -> Iterator[IO[bytes]]:
    if path.suffix != ".lz4":
        with sources.open_binary(path) as file:
            yield file
        return
    try:
        process = subprocess.run(
            (APT_HELPER, "cat-file", str(path)), capture_output=True, check=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", b"").decode(errors="replace") or error
        raise DatasetError(
            f"{path}: {APT_HELPER} cannot read it: {reason}. Use an unpacked copy."
        ) from error
    yield io.BytesIO(process.stdout)


def read_descriptions(lists: Iterable[Path]) -> dict[str, str]:
    """Returns the descriptions by md5: a short line, then the long text."""
    return {
        stanza["Description-md5"]: stanza["Description-en"]
        for path in lists
        for stanza in stanzas(path)
        if "Description-md5" in stanza and "Description-en" in stanza
    }


def read_packages(
    lists: Iterable[Path], descriptions: Mapping[str, str], left_out: Counter[str]
) -> list[Package]:
    """Returns the packages with long enough descriptions, sorted by name.

    Args:
        lists: The package lists; the first entry of a package is used.
        descriptions: The descriptions by md5.
        left_out: Counter of the packages left out, by reason; updated.
    """
    by_name: dict[str, Stanza] = {}
    for path in lists:
        for stanza in stanzas(path):
            if "Package" in stanza:
                by_name.setdefault(stanza["Package"], stanza)
    packages = []
    for name, stanza in sorted(by_name.items()):
        description = descriptions.get(stanza.get("Description-md5", ""))
        if description is None:
            left_out["packages without an English description"] += 1
            continue
        short, long = split_description(description)
        if count_words(short) < MIN_SHORT_WORDS:
            left_out[f"packages with a short text below {MIN_SHORT_WORDS} words"] += 1
        elif count_words(long) < MIN_LONG_WORDS:
            left_out[f"packages with a long text below {MIN_LONG_WORDS} words"] += 1
        else:
            part = part_of(stanza.get("Source", name))
            tags = tuple(expand_tags(stanza.get("Tag", "")))
            packages.append(Package(name, part, short, long, tags))
    return packages


def split_description(description: str) -> tuple[str, str]:
    """Returns the short description, and the long one as a single line."""
    short, _, rest = description.partition("\n")
    paragraphs = (line for line in rest.split("\n") if line.strip() != ".")
    return " ".join(short.split()), " ".join(" ".join(paragraphs).split())


def count_words(text: str) -> int:
    """Returns the number of words in a text."""
    return len(WORD.findall(text.lower()))


def part_of(source: str) -> str:
    """Returns the part of all packages of a source, given as in "gcc (12.2)"."""
    bucket = outputs.md5_bucket(source.split(" ")[0])
    if bucket < TEST_BELOW:
        return "test"
    return "validation" if bucket < VALIDATION_BELOW else "train"


def expand_tags(field: str) -> Iterator[str]:
    """Yields the tags of a Tag field; "a::{b,c}" is short for a::b and a::c."""
    for stem, ends in TAG.findall(field):
        if ends:
            yield from (f"{stem}{end.strip()}" for end in ends.split(","))
        else:
            yield stem


def remove_duplicates(
    packages: Iterable[Package], left_out: Counter[str]
) -> list[Package]:
    """Returns the packages without those that repeat an earlier long description."""
    seen: set[str] = set()
    kept = []
    for package in packages:
        long = " ".join(WORD.findall(package.long.lower()))
        if long in seen:
            left_out["packages with the long text of another package"] += 1
        else:
            seen.add(long)
            kept.append(package)
    return kept


def frequent_tags(packages: Iterable[Package], min_uses: int) -> list[str]:
    """Returns the sorted tags of at least ``min_uses`` training packages."""
    train = (package for package in packages if package.part == "train")
    uses = Counter(tag for package in train for tag in set(package.tags))
    return sorted(tag for tag, count in uses.items() if count >= min_uses)


def write_retrieval(paths: Mapping[str, Path], packages: Sequence[Package]) -> None:
    """Writes the files in retrieval/."""
    for part in PARTS:
        pairs = [
            (package.short, package.long)
            for package in packages
            if package.part == part
        ]
        rows = ({"in0": short, "in1": long, "label": 1} for short, long in pairs)
        outputs.write_rows(paths[f"retrieval/{part}.jsonl"], rows)
        if part != "train":
            negatives = outputs.sample_negatives(pairs, DOCUMENT_NEGATIVES)
            rows = (
                {"in0": short, "in1": long, "label": 0} for short, long in negatives
            )
            outputs.write_rows(paths[f"retrieval/{part}.wrong.jsonl"], rows)


def write_tags(
    paths: Mapping[str, Path], packages: Sequence[Package], tags: Sequence[str]
) -> None:
    """Writes the files in tags/."""
    outputs.write_rows(paths["tags/tags.jsonl"], ({"in1": [tag]} for tag in tags))
    allowed = frozenset(tags)
    for part in PARTS:
        tagged = [
            (package.text, kept)
            for package in packages
            if package.part == part
            and (kept := [tag for tag in package.tags if tag in allowed])
        ]
        pairs = [(text, tag) for text, kept in tagged for tag in kept]
        rows = ({"in0": text, "in1": [tag], "label": 1} for text, tag in pairs)
        outputs.write_rows(paths[f"tags/{part}.jsonl"], rows)
        negatives = outputs.sample_negatives(pairs, TAG_NEGATIVES)
        rows = ({"in0": text, "in1": [tag], "label": 0} for text, tag in negatives)
        outputs.write_rows(paths[f"tags/{part}.wrong.jsonl"], rows)
        if part != "train":
            rows = ({"in0": text, "tags": kept} for text, kept in tagged)
            outputs.write_rows(paths[f"tags/{part}.packages.jsonl"], rows)


if __name__ == "__main__":
    program.run(prepare, output="data/debian", sources=SOURCES)
