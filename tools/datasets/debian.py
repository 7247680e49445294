"""Prepares Debian's package descriptions, for retrieval and for tags, as JSON Lines.

    apt-get -o Acquire::Languages=en update        # as root; fetches the lists
    python tools/datasets/debian.py --output=data/debian

Read are apt's lists, Packages and Translation-en, in --source (else where apt keeps
them), plain, .gz, .bz2, .xz or .lz4 (that by apt-helper). A package counts once, where
its short description has 3 words or more and its long one 15 (words: [a-z0-9+]+ in
lower case). Of packages whose long descriptions have the same words, the first by name
counts: a long description is one package's, and in one part.

Packages made from one source share much text, so parts are made of sources (the field
Source, else the package's name): md5 mod 100 of 0 to 9 is test, 10 to 14 validation,
the rest train. Written into --output:

    retrieval/PART.jsonl      {"in0": short, "in1": long, "label": 1}
    tags/PART.jsonl           {"in0": text, "in1": ["role::program"], "label": 1}, one
                              for each tag of a package that 50 packages of train have
    retrieval/PART.wrong.jsonl, tags/PART.wrong.jsonl
                              pairs that are none, "label": 0: five for each short text
                              of validation and test, ten for each tagged package
    tags/PART.packages.jsonl  {"in0": text, "tags": [...]}, validation and test only
    tags/tags.jsonl           {"in1": [tag]} for each such tag

PART is train, validation or test; text is "short. long". For retrieval all pairs of
train are positive: train with negative_sampling_rate. Tags are very unlike in
frequency: draw partners from the batch with negative_frequency_power=0, or train with
the wrong pairs. The counts follow Debian's archive and move a little.
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

sys.path.insert(0, str(Path(__file__).parents[2]))  # run as a script, in any checkout

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
SHORT_WORDS: Final = 3
LONG_WORDS: Final = 15
TAG_USES: Final = 50
WRONG_DOCUMENTS: Final = 5
WRONG_TAGS: Final = 10

WORD: Final = re.compile(r"[a-z0-9+]+")
TAG: Final = re.compile(r"([^\s,{}]+)(?:\{([^}]*)\})?")

Stanza = dict[str, str]


@dataclass(frozen=True)
class Package:
    """A package, as far as it is read."""

    name: str
    part: str
    short: str
    long: str
    tags: tuple[str, ...]

    @property
    def text(self) -> str:
        """Both descriptions as one text."""
        return f"{self.short}. {self.long}"


def prepare(output: Path, source: Path | None = None) -> None:
    """Reads apt's lists and writes the dataset, unless it is there already.

    Args:
        output: The directory to write into.
        source: A directory with apt's lists. None: where apt keeps them.

    Raises:
        DatasetError: The lists are not there, or cannot be read, or nothing written.
    """
    if outputs.keep_complete(output, FILES):
        return
    packages_lists, translations = find_lists(source or LISTS)
    left_out: Counter[str] = Counter()
    descriptions = read_descriptions(translations)
    packages = read_packages(packages_lists, descriptions, left_out)
    packages = distinct(packages, left_out)
    if not packages:
        raise DatasetError(
            f"{source or LISTS}: no package in these lists has an English description."
            f" Run, as root, {UPDATE}; or give --source, {SOURCES}."
        )
    tags = frequent_tags(packages)
    with outputs.writing(output, FILES) as paths:
        write_retrieval(paths, packages)
        write_tags(paths, packages, tags)
    print(f"Written to {output} from {len(packages_lists)} lists of packages:")
    print(outputs.summary(output, FILES))
    tagged = sum(any(tag in tags for tag in package.tags) for package in packages)
    print(f"  packages: {len(packages):,}, of which {tagged:,} have some of the tags")
    for reason, count in left_out.items():
        print(f"  left out: {count:,} {reason}")


def find_lists(folder: Path) -> tuple[list[Path], list[Path]]:
    """Returns the lists of packages and those of descriptions, sorted by name.

    Raises:
        DatasetError: One of the two kinds is not there.
    """
    suffix = r"(\.gz|\.bz2|\.xz|\.lz4)?$"
    found = []
    for kind in ("Packages", "Translation-en"):
        lists = [p for p in folder.glob("*") if re.search(f"{kind}{suffix}", p.name)]
        if not lists:
            raise DatasetError(
                f"{folder}: no list *{kind} is here. On Debian run, as root, {UPDATE};"
                f" or give --source, {SOURCES}."
            )
        found.append(sorted(lists))
    return found[0], found[1]


def stanzas(path: Path) -> Iterator[Stanza]:
    """Yields the stanzas of a list, field by field.

    The lines of a field that has several are joined by newlines, as they stand.

    Raises:
        DatasetError: The list cannot be read.
    """
    stanza: Stanza = {}
    field = ""
    with _opened(path) as file:
        for _, line in sources.decoded(file, str(path)):
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
def _opened(path: Path) -> Iterator[IO[bytes]]:
    if path.suffix != ".lz4":
        with sources.opened(path) as file:
            yield file
        return
    try:
        done = subprocess.run(
            (APT_HELPER, "cat-file", str(path)), capture_output=True, check=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", b"").decode(errors="replace") or error
        raise DatasetError(
            f"{path}: {APT_HELPER} cannot read it: {reason}. Give an unpacked copy."
        ) from error
    yield io.BytesIO(done.stdout)


def read_descriptions(lists: Iterable[Path]) -> dict[str, str]:
    """Returns each description, the long one below the short one, by its md5."""
    return {
        stanza["Description-md5"]: stanza["Description-en"]
        for path in lists
        for stanza in stanzas(path)
        if "Description-md5" in stanza and "Description-en" in stanza
    }


def read_packages(
    lists: Iterable[Path], descriptions: Mapping[str, str], left_out: Counter[str]
) -> list[Package]:
    """Returns the packages with descriptions that are long enough, by name.

    Args:
        lists: The lists of packages; of a package in several the first counts.
        descriptions: The descriptions by their md5.
        left_out: Where those that are left out are counted.
    """
    by_name: dict[str, Stanza] = {}
    for path in lists:
        for stanza in stanzas(path):
            if "Package" in stanza:
                by_name.setdefault(stanza["Package"], stanza)
    packages = []
    for name, stanza in sorted(by_name.items()):
        parse_description = descriptions.get(stanza.get("Description-md5", ""))
        if parse_description is None:
            left_out["packages without an English description"] += 1
            continue
        short, long = split_description(parse_description)
        if count_words(short) < SHORT_WORDS:
            left_out[f"packages with a short text below {SHORT_WORDS} words"] += 1
        elif count_words(long) < LONG_WORDS:
            left_out[f"packages with a long text below {LONG_WORDS} words"] += 1
        else:
            part = part_of(stanza.get("Source", name))
            tags = tuple(expand_tags(stanza.get("Tag", "")))
            packages.append(Package(name, part, short, long, tags))
    return packages


def split_description(parse_description: str) -> tuple[str, str]:
    """Returns the short description, and the long one as running text."""
    short, _, rest = parse_description.partition("\n")
    paragraphs = (line for line in rest.split("\n") if line.strip() != ".")
    return " ".join(short.split()), " ".join(" ".join(paragraphs).split())


def count_words(text: str) -> int:
    """Returns the number of words in a text."""
    return len(WORD.findall(text.lower()))


def part_of(source: str) -> str:
    """Returns the part of all packages made from a source, as "gcc (12.2)"."""
    place = outputs.hundredth(source.split(" ")[0])
    if place < TEST_BELOW:
        return "test"
    return "validation" if place < VALIDATION_BELOW else "train"


def expand_tags(field: str) -> Iterator[str]:
    """Yields the tags of a field Tag; "a::{b,c}" stands for a::b and a::c."""
    for stem, ends in TAG.findall(field):
        if ends:
            yield from (f"{stem}{end.strip()}" for end in ends.split(","))
        else:
            yield stem


def distinct(packages: Iterable[Package], left_out: Counter[str]) -> list[Package]:
    """Returns the packages without those that repeat a long description's words."""
    seen: set[str] = set()
    kept = []
    for package in packages:
        long = " ".join(WORD.findall(package.long.lower()))
        if long in seen:
            left_out["packages with another's long text"] += 1
        else:
            seen.add(long)
            kept.append(package)
    return kept


def frequent_tags(packages: Iterable[Package]) -> list[str]:
    """Returns the tags that packages of train use often enough, sorted."""
    train = (package for package in packages if package.part == "train")
    uses = Counter(tag for package in train for tag in set(package.tags))
    return sorted(tag for tag, count in uses.items() if count >= TAG_USES)


def write_retrieval(paths: Mapping[str, Path], packages: Sequence[Package]) -> None:
    """Writes retrieval/."""
    for part in PARTS:
        pairs = [(each.short, each.long) for each in packages if each.part == part]
        rows = ({"in0": short, "in1": long, "label": 1} for short, long in pairs)
        outputs.write_rows(paths[f"retrieval/{part}.jsonl"], rows)
        if part != "train":
            wrong = outputs.wrong_pairs(pairs, WRONG_DOCUMENTS)
            rows = ({"in0": short, "in1": long, "label": 0} for short, long in wrong)
            outputs.write_rows(paths[f"retrieval/{part}.wrong.jsonl"], rows)


def write_tags(
    paths: Mapping[str, Path], packages: Sequence[Package], tags: Sequence[str]
) -> None:
    """Writes tags/."""
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
        wrong = outputs.wrong_pairs(pairs, WRONG_TAGS)
        rows = ({"in0": text, "in1": [tag], "label": 0} for text, tag in wrong)
        outputs.write_rows(paths[f"tags/{part}.wrong.jsonl"], rows)
        if part != "train":
            whole = ({"in0": text, "tags": kept} for text, kept in tagged)
            outputs.write_rows(paths[f"tags/{part}.packages.jsonl"], whole)


if __name__ == "__main__":
    program.run(prepare, output="data/debian", sources=SOURCES)
