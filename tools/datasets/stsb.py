"""Prepares the STS Benchmark, pairs of sentences and how alike they are, as JSON Lines.

    python tools/datasets/stsb.py --output=data/stsb

The pairs come from --source (a Stsbenchmark.tar.gz, or a directory with
stsb_{train,dev,test}.tsv or sts-{train,dev,test}.csv, plain or .gz), else from the
Benchmark's home. Written into --output, train, validation and test.jsonl:

    {"in0": sentence, "in1": sentence, "label": 3.8}

with the Benchmark's score as the label: 0.0, nothing alike, to 5.0, the same meaning.
Quotes in the sources are literal, and columns after the second sentence are dropped.
"""

from __future__ import annotations

import sys
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[2]))  # run as a script, in any checkout

from tools.datasets import outputs, program, sources
from tools.datasets.sources import DatasetError, Place

URL: Final = "http://ixa2.si.ehu.eus/stswiki/images/4/48/Stsbenchmark.tar.gz"
SOURCES: Final = (
    "a Stsbenchmark.tar.gz, or a directory with stsb_{train,dev,test}.tsv"
    " or sts-{train,dev,test}.csv, plain or .gz"
)
PARTS: Final = {"train": "train.jsonl", "dev": "validation.jsonl", "test": "test.jsonl"}
FILES: Final = tuple(PARTS.values())
SCORE, FIRST, SECOND = 4, 5, 6
"""The columns that are read; before them are genre, file, year and id."""

TERMS: Final = """\
STS Benchmark: Cer, Diab, Agirre, Lopez-Gazpio and Specia (2017), SemEval-2017 Task 1.
Scores CC BY-SA 4.0; the texts have licences of their own, see its LICENSE.txt.
"""


def prepare(output: Path, source: Path | None = None) -> None:
    """Fetches and writes the dataset, unless it is there already.

    Args:
        output: The directory to write into.
        source: A Stsbenchmark.tar.gz, or a directory with its tables. None: it is
            downloaded.

    Raises:
        DatasetError: The data cannot be had, read or written.
    """
    if outputs.keep_complete(output, FILES):
        return
    print(TERMS)
    with tempfile.TemporaryDirectory() as folder:
        if source is None:
            print(f"Fetching {URL}.", flush=True)
            source = Path(folder) / "Stsbenchmark.tar.gz"
            sources.fetch(URL, source)
            rows = read_source(source, Path(folder), origin=URL)
        else:
            rows = read_source(source, Path(folder), origin=str(source))
    with outputs.writing(output, FILES) as paths:
        for part, name in PARTS.items():
            outputs.write_rows(paths[name], rows[part])
    print(f"Written to {output}:")
    print(outputs.summary(output, FILES))


def read_source(
    path: Path, scratch: Path, origin: str
) -> dict[str, list[dict[str, Any]]]:
    """Reads the rows of train, dev and test.

    Args:
        path: A Stsbenchmark.tar.gz, or a directory with its tables.
        scratch: A directory to unpack in.
        origin: Where the data is from, for messages.

    Raises:
        DatasetError: A table is missing, or a line in one is malformed.
    """
    if path.is_file():
        unpack(path, scratch, origin)
        path = scratch
    with sources.tree(path, origin, SOURCES) as root:
        return {part: list(read_table(_table(root, part, origin))) for part in PARTS}


def unpack(archive: Path, folder: Path, origin: str) -> None:
    """Unpacks the three tables of a Stsbenchmark.tar.gz, and nothing else.

    Raises:
        DatasetError: It is no whole tar file.
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
            f"{origin} is not a whole tar.gz file: {error}. Give {SOURCES}."
        ) from error


def _table(root: Place, part: str, origin: str) -> Place:
    place = sources.find(root, f"stsb_{part}.tsv", f"sts-{part}.csv")
    if place is None:
        raise DatasetError(
            f"{origin} does not hold stsb_{part}.tsv, nor sts-{part}.csv."
            f" Give {SOURCES}."
        )
    return place


def read_table(place: Place) -> Iterator[dict[str, Any]]:
    """Yields the pairs of a table, as Object2Vec reads them.

    Raises:
        DatasetError: A line is not what the Benchmark's are.
    """
    for where, line in sources.lines(place):
        cells = line.split("\t")
        score = _score(cells)
        if score is None:
            raise DatasetError(
                f"{where}: expected genre, file, year, id, a score from 0 to 5 and two"
                f" sentences, separated by tabs. Received: {line[:200]!r}."
                " Give an unchanged copy."
            )
        first, second = cells[FIRST].strip(), cells[SECOND].strip()
        yield {"in0": first, "in1": second, "label": score}


def _score(cells: list[str]) -> float | None:
    try:
        score = float(cells[SCORE])
    except (IndexError, ValueError):
        return None
    return score if len(cells) > SECOND and 0 <= score <= 5 else None


if __name__ == "__main__":
    program.run(prepare, output="data/stsb", sources=SOURCES)
