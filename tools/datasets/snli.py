"""Prepares SNLI, sentence pairs with an entailment label, as JSON Lines.

    python tools/datasets/snli.py --output=data/snli

The pairs come from --source: a snli_1.0.zip, or a directory with its jsonl files, plain
or .gz. Without --source they are downloaded from Stanford. Files written to --output:
train.jsonl, validation.jsonl and test.jsonl with lines

    {"in0": premise, "in1": hypothesis, "label": 0}

The label is 0 for entailment, 1 for neutral and 2 for contradiction. Pairs without an
agreed label (gold_label "-") are left out, as is usual. Otherwise the files are SNLI's
own train, dev and test.

If --source is a directory without snli_1.0_train, a smaller training part is made from
SNLI's dev and the counterfactually augmented pairs in snli_cad_{train,dev,test}.tsv
(acmi-lab/counterfactually-augmented-data on GitHub, NLI/all_combined). The test part
remains SNLI's test. The validation part is the part of dev whose premises have an md5
modulo 100 below 15. Pairs that would leak validation or test data are left out:

- pairs of dev that share a premise with test;
- augmented pairs that share a premise or a hypothesis with test or validation. An
  augmented pair is an SNLI pair in which one of the two sentences was rewritten:
  snli_cad_test was made from SNLI's test and snli_cad_dev from its dev.

Sentences are compared by their words, ignoring case and punctuation.
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

sys.path.insert(0, str(Path(__file__).parents[2]))  # so that it runs as a script

from tools.datasets import outputs, program, sources
from tools.datasets.sources import AnyPath, DatasetError

URL: Final = "https://nlp.stanford.edu/projects/snli/snli_1.0.zip"
SOURCES: Final = "a snli_1.0.zip, or a directory with snli_1.0_{train,dev,test}.jsonl"
FILES: Final = ("train.jsonl", "validation.jsonl", "test.jsonl")
LABELS: Final = {"entailment": 0, "neutral": 1, "contradiction": 2}
NO_LABEL: Final = "-"
AUGMENTED: Final = ("snli_cad_train", "snli_cad_dev", "snli_cad_test")
VALIDATION_BELOW: Final = 15
"""Premises of dev with a smaller md5 modulo 100 are in the validation part."""

TERMS: Final = """\
SNLI: Bowman, Angeli, Potts and Manning (2015), A large annotated corpus for learning
natural language inference; CC BY-SA 4.0. Augmented pairs: Kaushik, Hovy and Lipton
(2020), Learning the Difference that Makes a Difference with Counterfactually-Augmented
Data; CC BY-SA 4.0.
"""


class Pair(NamedTuple):
    """A labeled pair of sentences."""

    premise: str
    hypothesis: str
    label: int

    def row(self) -> dict[str, Any]:
        """Returns the pair in Object2Vec's format."""
        return {"in0": self.premise, "in1": self.hypothesis, "label": self.label}


@dataclass
class Splits:
    """The three parts, and the number of pairs left out by reason."""

    train: list[Pair]
    validation: list[Pair]
    test: list[Pair]
    left_out: Counter[str] = field(default_factory=Counter)


def prepare(output: Path, source: Path | None = None) -> None:
    """Downloads, splits and writes the dataset, unless it already exists.

    Args:
        output: The output directory.
        source: A snli_1.0.zip, or a directory with its jsonl files. None: download
            it.

    Raises:
        DatasetError: The data cannot be downloaded, read or written.
    """
    if outputs.is_complete(output, FILES):
        return
    print(TERMS)
    splits = download() if source is None else read_source(source, str(source))
    with outputs.atomic_outputs(output, FILES) as paths:
        for name, pairs in zip(
            FILES, (splits.train, splits.validation, splits.test), strict=True
        ):
            outputs.write_rows(paths[name], (pair.row() for pair in pairs))
    print(f"Written to {output} from {source or URL}:")
    print(outputs.summary(output, FILES))
    for reason, count in splits.left_out.items():
        print(f"  left out: {count:,} {reason}")


def download() -> Splits:
    """Downloads the zip from Stanford and reads it.

    Raises:
        DatasetError: The download failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "snli_1.0.zip"
        print(f"Downloading {URL} (90 MB).", flush=True)
        sources.fetch(URL, archive)
        return read_source(archive, origin=URL)


def read_source(path: Path, origin: str) -> Splits:
    """Reads the three parts from a zip or a directory.

    Args:
        path: The zip or the directory.
        origin: Where it comes from, for messages.

    Raises:
        DatasetError: It does not contain SNLI, or a line is malformed.
    """
    with sources.open_tree(path, origin, SOURCES) as root:
        parts = {part: _snli_file(root, part) for part in ("train", "dev", "test")}
        if parts["dev"] is None or parts["test"] is None:
            raise DatasetError(
                f"{origin}: expected snli_1.0_dev.jsonl and snli_1.0_test.jsonl, plain"
                f" or .gz; not found. Use {SOURCES}."
            )
        left_out: Counter[str] = Counter()
        dev = list(read_snli(parts["dev"], "dev", left_out))
        test = list(read_snli(parts["test"], "test", left_out))
        if parts["train"] is not None:
            train = list(read_snli(parts["train"], "train", left_out))
            return Splits(train, dev, test, left_out)
        augmented = read_all_augmented(root, left_out)
        return split_without_train(augmented, dev, test, left_out)


def _snli_file(root: AnyPath, part: str) -> AnyPath | None:
    name = f"snli_1.0_{part}.jsonl"
    return sources.find_file(root, name, f"snli_1.0/{name}")


def read_snli(path: AnyPath, part: str, left_out: Counter[str]) -> Iterator[Pair]:
    """Yields the labeled pairs of an SNLI file.

    Args:
        path: The file.
        part: Name of the part, for messages.
        left_out: Counter of the pairs left out, by reason; updated.

    Raises:
        DatasetError: A line does not have SNLI's format.
    """
    for location, line in sources.read_lines(path):
        try:
            row = json.loads(line)
            sentences, gold = (row["sentence1"], row["sentence2"]), row["gold_label"]
        except (ValueError, KeyError, TypeError) as error:
            raise DatasetError(
                f"{location}: expected a JSON object with sentence1, sentence2 and"
                f" gold_label, got {line[:200]!r}. Use an unmodified copy."
            ) from error
        if gold == NO_LABEL:
            left_out[f"pairs of {part} without an agreed label"] += 1
        else:
            yield Pair(*sentences, _label(gold, location))


def read_all_augmented(root: AnyPath, left_out: Counter[str]) -> list[Pair]:
    """Reads the existing files of augmented pairs; counts missing ones in left_out."""
    pairs: list[Pair] = []
    for name in AUGMENTED:
        path = sources.find_file(root, f"{name}.tsv")
        if path is None:
            left_out[f"file: {name}.tsv does not exist"] += 1
        else:
            pairs += read_augmented(path)
    return pairs


def read_augmented(path: AnyPath) -> Iterator[Pair]:
    """Yields the pairs of a TSV file with sentence1, sentence2 and gold_label.

    Sentences that contain a quote are quoted, as by Excel.

    Raises:
        DatasetError: A line does not have this format.
    """
    for location, line in itertools.islice(sources.read_lines(path), 1, None):
        cells = next(csv.reader([line], delimiter="\t"), [])
        if len(cells) != 3:
            raise DatasetError(
                f"{location}: expected tab-separated sentence1, sentence2 and"
                f" gold_label, got {line[:200]!r}. Use an unmodified copy."
            )
        yield Pair(cells[0], cells[1], _label(cells[2], location))


def _label(gold: str, location: str) -> int:
    if gold not in LABELS:
        raise DatasetError(
            f"{location}: gold_label: expected {' or '.join(LABELS)}, got {gold!r}."
            " Use an unmodified copy."
        )
    return LABELS[gold]


def split_without_train(
    augmented: Iterable[Pair],
    dev: Iterable[Pair],
    test: list[Pair],
    left_out: Counter[str],
) -> Splits:
    """Makes train and validation from dev and augmented pairs.

    The rules are in the module's docstring.

    Args:
        augmented: The augmented pairs.
        dev: SNLI's dev.
        test: SNLI's test; returned unchanged.
        left_out: Counter of the pairs left out, by reason; updated.
    """
    test_premises = {words(pair.premise) for pair in test}
    train, validation = [], []
    for pair in dev:
        if words(pair.premise) in test_premises:
            left_out["pairs of dev that share a premise with test"] += 1
        elif outputs.md5_bucket(words(pair.premise)) < VALIDATION_BELOW:
            validation.append(pair)
        else:
            train.append(pair)
    protected = [_Sentences("test", test), _Sentences("validation", validation)]
    for pair in augmented:
        overlaps = [text for part in protected for text in part.overlaps(pair)]
        if overlaps:
            left_out[f"augmented pairs that share {overlaps[0]}"] += 1
        else:
            train.append(pair)
    return Splits(train, validation, test, left_out)


class _Sentences:
    """The sentences of a part; describes which of them another pair shares."""

    def __init__(self, name: str, pairs: Sequence[Pair]) -> None:
        self._name = name
        self._premises = {words(pair.premise) for pair in pairs}
        self._hypotheses = {words(pair.hypothesis) for pair in pairs}

    def overlaps(self, pair: Pair) -> Iterator[str]:
        if words(pair.premise) in self._premises:
            yield f"a premise with {self._name}"
        if words(pair.hypothesis) in self._hypotheses:
            yield f"a hypothesis with {self._name}"


def words(sentence: str) -> str:
    """Returns the words of a sentence in lower case, without punctuation."""
    return " ".join(re.findall(r"\w+", sentence.lower()))


if __name__ == "__main__":
    program.run(prepare, output="data/snli", sources=SOURCES)
