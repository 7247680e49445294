"""Prepares the STS Benchmark, sentence pairs with similarity scores, as JSON Lines.

    python tools/datasets/stsb.py --output=data/stsb

The pairs come from --source: a Stsbenchmark.tar.gz, or a directory with
stsb_{train,dev,test}.tsv or sts-{train,dev,test}.csv, plain or .gz. Without --source
they are downloaded from the website of the benchmark. Files written to --output:
train.jsonl, validation.jsonl and test.jsonl with lines

    {"in0": sentence, "in1": sentence, "label": 3.8}

The label is the score of the benchmark, from 0.0 (unrelated) to 5.0 (same meaning).
classes/ has the same files with three classes instead: 0 for a score of at least 4
(same meaning), 1 for at least 2 (related), 2 for less (unrelated).

Quotes in the source files are literal. Columns after the second sentence are dropped.
"""

from __future__ import annotations

import sys
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[2]))  # so that it runs as a script

from tools.datasets import outputs, program, sources
from tools.datasets.sources import AnyPath, DatasetError

URL: Final = "http://ixa2.si.ehu.eus/stswiki/images/4/48/Stsbenchmark.tar.gz"
SOURCES: Final = (
    "a Stsbenchmark.tar.gz, or a directory with stsb_{train,dev,test}.tsv"
    " or sts-{train,dev,test}.csv, plain or .gz"
)
PARTS: Final = {"train": "train.jsonl", "dev": "validation.jsonl", "test": "test.jsonl"}
FILES: Final = (*PARTS.values(), *(f"classes/{name}" for name in PARTS.values()))
CLASS_BOUNDS: Final = (4, 2)
"""The lowest score of class 0, and that of class 1."""
SCORE, FIRST, SECOND = 4, 5, 6
"""Indices of the columns used; genre, file, year and id come before them."""

TERMS: Final = """\
STS Benchmark: Cer, Diab, Agirre, Lopez-Gazpio and Specia (2017), SemEval-2017 Task 1.
Scores CC BY-SA 4.0; the texts have their own licenses, see its LICENSE.txt.
"""


def prepare(output: Path, source: Path | None = None) -> None:
    """Downloads and writes the dataset, unless it already exists.

    Args:
        output: The output directory.
        source: A Stsbenchmark.tar.gz, or a directory with its tables. None: download
            it.

    Raises:
        DatasetError: The data cannot be downloaded, read or written.
    """
    if outputs.is_complete(output, FILES):
        return
    print(TERMS)
    with tempfile.TemporaryDirectory() as folder:
        if source is None:
            print(f"Downloading {URL}.", flush=True)
            source = Path(folder) / "Stsbenchmark.tar.gz"
            sources.fetch(URL, source)
            rows = read_source(source, Path(folder), origin=URL)
        else:
            rows = read_source(source, Path(folder), origin=str(source))
    with outputs.atomic_outputs(output, FILES) as paths:
        for part, name in PARTS.items():
            outputs.write_rows(paths[name], rows[part])
            binned = ({**row, "label": score_class(row["label"])} for row in rows[part])
            outputs.write_rows(paths[f"classes/{name}"], binned)
    print(f"Written to {output}:")
    print(outputs.summary(output, FILES))


def read_source(
    path: Path, scratch: Path, origin: str
) -> dict[str, list[dict[str, Any]]]:
    """Reads the rows of train, dev and test.

    Args:
        path: A Stsbenchmark.tar.gz, or a directory with its tables.
        scratch: Temporary directory for unpacking.
        origin: Where the data comes from, for messages.

    Raises:
        DatasetError: A table is missing, or a line is malformed.
    """
    if path.is_file():
        unpack(path, scratch, origin)
        path = scratch
    with sources.open_tree(path, origin, SOURCES) as root:
        return {part: list(read_table(_table(root, part, origin))) for part in PARTS}


def unpack(archive: Path, folder: Path, origin: str) -> None:
    """Unpacks only the three tables of a Stsbenchmark.tar.gz.

    Raises:
        DatasetError: It is not a complete tar.gz file.
    """
    wanted = {f"stsbenchmark/sts-{part}.csv" for part in PARTS}
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                content = tar.extractfile(member) if member.name in wanted else None
                if content is not None:
                    (folder / Path(member.name).name).write_bytes(content.read())
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise DatasetError(
            f"{origin}: expected a complete tar.gz file: {error}. Use {SOURCES}."
        ) from error


def _table(root: AnyPath, part: str, origin: str) -> AnyPath:
    path = sources.find_file(root, f"stsb_{part}.tsv", f"sts-{part}.csv")
    if path is None:
        raise DatasetError(
            f"{origin}: expected stsb_{part}.tsv or sts-{part}.csv; not found."
            f" Use {SOURCES}."
        )
    return path


def read_table(path: AnyPath) -> Iterator[dict[str, Any]]:
    """Yields the pairs of a table in Object2Vec's format.

    Raises:
        DatasetError: A line does not have the benchmark's format.
    """
    for location, line in sources.read_lines(path):
        cells = line.split("\t")
        score = _parse_score(cells)
        if score is None:
            raise DatasetError(
                f"{location}: expected tab-separated genre, file, year, id, a score"
                f" from 0 to 5 and two sentences, got {line[:200]!r}."
                " Use an unmodified copy."
            )
        first, second = cells[FIRST].strip(), cells[SECOND].strip()
        yield {"in0": first, "in1": second, "label": score}


def score_class(score: float) -> int:
    """Returns the class of a score: 0 for the same meaning, 2 for unrelated."""
    return sum(score < bound for bound in CLASS_BOUNDS)


def _parse_score(cells: list[str]) -> float | None:
    try:
        score = float(cells[SCORE])
    except (IndexError, ValueError):
        return None
    return score if len(cells) > SECOND and 0 <= score <= 5 else None


if __name__ == "__main__":
    program.run(prepare, output="data/stsb", sources=SOURCES)
