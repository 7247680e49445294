"""Prepares SNLI, pairs of sentences and what one says of the other, as JSON Lines.

    python tools/datasets/snli.py --output=data/snli

The pairs come from --source (a snli_1.0.zip, or a directory with its jsonl files, plain
or .gz), else from Stanford. Written into --output, train, validation and test.jsonl:

    {"in0": premise, "in1": hypothesis, "label": 0}

with the label 0 for entailment, 1 for neutral, 2 for contradiction. Pairs on which
SNLI's judges did not agree (gold_label "-") are left out, as everywhere. Otherwise
these are SNLI's own train, dev and test.

Where --source is a directory without snli_1.0_train, a smaller train is made of what is
there: SNLI's dev, and the counterfactually augmented pairs in
snli_cad_{train,dev,test}.tsv (acmi-lab/counterfactually-augmented-data on GitHub,
NLI/all_combined). Test stays SNLI's test, validation is a part of dev (premises whose
md5 mod 100 is below 15), and what would give held-out pairs away is left out:

- pairs of dev that share a premise with test;
- augmented pairs that share a premise or a hypothesis with test or validation. They are
  SNLI pairs in which one of the two sentences was rewritten and the other was not:
  snli_cad_test was made from SNLI's test, snli_cad_dev from its dev.

Sentences are compared by their words, whatever their case and punctuation.
"""

from __future__ import annotations

import csv
import itertools
import json
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[2]))  # run as a script, in any checkout

from tools.datasets import outputs, program, sources
from tools.datasets.sources import DatasetError, Place

URL: Final = "https://nlp.stanford.edu/projects/snli/snli_1.0.zip"
SOURCES: Final = "a snli_1.0.zip, or a directory with snli_1.0_{train,dev,test}.jsonl"
FILES: Final = ("train.jsonl", "validation.jsonl", "test.jsonl")
LABELS: Final = {"entailment": 0, "neutral": 1, "contradiction": 2}
NO_LABEL: Final = "-"
AUGMENTED: Final = ("snli_cad_train", "snli_cad_dev", "snli_cad_test")
VALIDATION_HUNDREDTHS: Final = 15

TERMS: Final = """\
SNLI: Bowman, Angeli, Potts and Manning (2015), A large annotated corpus for learning
natural language inference; CC BY-SA 4.0. Augmented pairs: Kaushik, Hovy and Lipton
(2020), Learning the Difference that Makes a Difference with Counterfactually-Augmented
Data; CC BY-SA 4.0.
"""


class Pair(NamedTuple):
    """A labelled pair of sentences."""

    premise: str
    hypothesis: str
    label: int

    def row(self) -> dict[str, Any]:
        """Returns the pair as Object2Vec reads it."""
        return {"in0": self.premise, "in1": self.hypothesis, "label": self.label}


@dataclass
class Splits:
    """The three parts, and how many pairs were left out, by reason."""

    train: list[Pair]
    validation: list[Pair]
    test: list[Pair]
    left_out: Counter[str] = field(default_factory=Counter)


def prepare(output: Path, source: Path | None = None) -> None:
    """Fetches, splits and writes the dataset, unless it is there already.

    Args:
        output: The directory to write into.
        source: A snli_1.0.zip, or a directory with its jsonl files. None: it is
            downloaded.

    Raises:
        DatasetError: The data cannot be had, read or written.
    """
    if outputs.keep_complete(output, FILES):
        return
    print(TERMS)
    splits = download() if source is None else read_source(source, str(source))
    with outputs.writing(output, FILES) as paths:
        for name, pairs in zip(
            FILES, (splits.train, splits.validation, splits.test), strict=True
        ):
            outputs.write_rows(paths[name], (pair.row() for pair in pairs))
    print(f"Written to {output} from {source or URL}:")
    print(outputs.summary(output, FILES))
    for reason, count in splits.left_out.items():
        print(f"  left out: {count:,} {reason}")


def download() -> Splits:
    """Fetches the zip from Stanford and reads it.

    Raises:
        DatasetError: It cannot be had whole.
    """
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "snli_1.0.zip"
        print(f"Fetching {URL} (90 MB).", flush=True)
        sources.fetch(URL, archive)
        return read_source(archive, origin=URL)


def read_source(path: Path, origin: str) -> Splits:
    """Reads the three parts from a zip or a directory.

    Args:
        path: The zip or the directory.
        origin: Where it is from, for messages.

    Raises:
        DatasetError: It does not hold SNLI, or a line in it is malformed.
    """
    with sources.tree(path, origin, SOURCES) as root:
        parts = {part: _snli_file(root, part) for part in ("train", "dev", "test")}
        if parts["dev"] is None or parts["test"] is None:
            raise DatasetError(
                f"{origin} does not hold snli_1.0_dev.jsonl and snli_1.0_test.jsonl,"
                f" plain or .gz. Give {SOURCES}."
            )
        left_out: Counter[str] = Counter()
        dev = list(read_snli(parts["dev"], "dev", left_out))
        test = list(read_snli(parts["test"], "test", left_out))
        if parts["train"] is not None:
            train = list(read_snli(parts["train"], "train", left_out))
            return Splits(train, dev, test, left_out)
        augmented = read_all_augmented(root, left_out)
        return split_without_train(augmented, dev, test, left_out)


def _snli_file(root: Place, part: str) -> Place | None:
    name = f"snli_1.0_{part}.jsonl"
    return sources.find(root, name, f"snli_1.0/{name}")


def read_snli(place: Place, part: str, left_out: Counter[str]) -> Iterator[Pair]:
    """Yields the labelled pairs of one of SNLI's files.

    Args:
        place: The file.
        part: Its name for people.
        left_out: Where pairs without a label are counted.

    Raises:
        DatasetError: A line is not what SNLI's are.
    """
    for where, line in sources.lines(place):
        try:
            row = json.loads(line)
            sentences, gold = (row["sentence1"], row["sentence2"]), row["gold_label"]
        except (ValueError, KeyError, TypeError) as error:
            raise DatasetError(
                f"{where}: expected a JSON object with sentence1, sentence2 and"
                f" gold_label. Received: {line[:200]!r}. Give an unchanged copy."
            ) from error
        if gold == NO_LABEL:
            left_out[f"of {part} without an agreed label"] += 1
        else:
            yield Pair(*sentences, _label(gold, where))


def read_all_augmented(root: Place, left_out: Counter[str]) -> list[Pair]:
    """Reads the counterfactually augmented pairs that are there; tells what is not."""
    pairs: list[Pair] = []
    for name in AUGMENTED:
        place = sources.find(root, f"{name}.tsv")
        if place is None:
            left_out[f"files: {name}.tsv is not there"] += 1
        else:
            pairs += read_augmented(place)
    return pairs


def read_augmented(place: Place) -> Iterator[Pair]:
    """Yields the pairs of a file of sentence1, sentence2 and gold_label, by tabs.

    A sentence with a quote in it is quoted, as by Excel.

    Raises:
        DatasetError: A line is not so.
    """
    for where, line in itertools.islice(sources.lines(place), 1, None):
        cells = next(csv.reader([line], delimiter="\t"), [])
        if len(cells) != 3:
            raise DatasetError(
                f"{where}: expected sentence1, sentence2 and gold_label, separated by"
                f" tabs. Received: {line[:200]!r}. Give an unchanged copy."
            )
        yield Pair(cells[0], cells[1], _label(cells[2], where))


def _label(gold: str, where: str) -> int:
    if gold not in LABELS:
        raise DatasetError(
            f"{where}: expected {', '.join(LABELS)} as gold_label. Received: {gold!r}."
            " Give an unchanged copy."
        )
    return LABELS[gold]


def split_without_train(
    augmented: Iterable[Pair],
    dev: Iterable[Pair],
    test: list[Pair],
    left_out: Counter[str],
) -> Splits:
    """Makes train and validation of dev and augmented pairs; the rule is above.

    Args:
        augmented: The augmented pairs.
        dev: SNLI's dev.
        test: SNLI's test, which stays as it is.
        left_out: Where what is left out is counted.
    """
    tested = {words(pair.premise) for pair in test}
    train, validation = [], []
    for pair in dev:
        if words(pair.premise) in tested:
            left_out["of dev that share a premise with test"] += 1
        elif outputs.hundredth(words(pair.premise)) < VALIDATION_HUNDREDTHS:
            validation.append(pair)
        else:
            train.append(pair)
    held_out = (("test", _Sentences(test)), ("validation", _Sentences(validation)))
    for pair in augmented:
        shared = [what for name, has in held_out for what in has.shared(pair, name)]
        if shared:
            left_out[f"augmented that share {shared[0]}"] += 1
        else:
            train.append(pair)
    return Splits(train, validation, test, left_out)


class _Sentences:
    """The sentences of pairs, and what another pair shares with them."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self._premises = {words(pair.premise) for pair in pairs}
        self._hypotheses = {words(pair.hypothesis) for pair in pairs}

    def shared(self, pair: Pair, name: str) -> Iterator[str]:
        if words(pair.premise) in self._premises:
            yield f"a premise with {name}"
        if words(pair.hypothesis) in self._hypotheses:
            yield f"a hypothesis with {name}"


def words(sentence: str) -> str:
    """Returns a sentence's words in lower case, without punctuation."""
    return " ".join(re.findall(r"\w+", sentence.lower()))


if __name__ == "__main__":
    program.run(prepare, output="data/snli", sources=SOURCES)
