"""Prints the titles nearest to a few well-known ones, using an exported model.

    python -m tools.nearest_titles --model=runs/movielens_rating/export \
        --items=data/movielens/items.jsonl --titles=data/movielens/titles.tsv

Embeds every item of --items with the SavedModel's signature embed_enc1 and ranks the
others by the cosine of the embeddings.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from absl import flags

from object2vec_tf.commands import runner
from object2vec_tf.errors import UserError

MODEL = flags.DEFINE_string(
    "model", None, "export directory with version subdirectories"
)
ITEMS = flags.DEFINE_string("items", None, 'JSON Lines file of {"in1": [id]}')
TITLES = flags.DEFINE_string(
    "titles", None, "file with the title of each item, one per line"
)
QUERY_TITLES = flags.DEFINE_multi_string(
    "of",
    [
        "Star Wars (1977)",
        "Toy Story (1995)",
        "Terminator, The (1984)",
        "Cinderella (1950)",
    ],
    "title whose neighbors are shown; can be repeated",
)
COUNT = flags.DEFINE_integer("count", 10, "neighbors shown per title", lower_bound=1)

Vectors = npt.NDArray[np.float32]


def embed(signature: Any, items: Sequence[Sequence[int]]) -> Vectors:
    """Returns the embeddings of items, ``[items, enc_dim]``."""
    import tensorflow as tf

    width = max(map(len, items))
    padded = [[*item, *[-1] * (width - len(item))] for item in items]
    return np.asarray(signature(tf.constant(padded, tf.int64))["embeddings"])


def nearest(vectors: Vectors, row: int, count: int) -> list[tuple[int, float]]:
    """Returns ``(row, cosine)`` of the ``count`` rows most similar to one row.

    The row itself is excluded.
    """
    norms = np.linalg.norm(vectors, axis=1)
    unit = vectors / np.maximum(norms, 1e-12)[:, np.newaxis]
    cosines = unit @ unit[row]
    order = [int(i) for i in np.argsort(-cosines, kind="stable") if i != row]
    return [(i, float(cosines[i])) for i in order[:count]]


def newest_version(directory: Path) -> Path:
    """Returns the version subdirectory with the highest number."""
    versions = [
        path for path in directory.glob("*") if path.name.isdecimal() and path.is_dir()
    ]
    if not versions:
        raise UserError(
            f"{directory}: expected an exported version, got none. Train or export a"
            " model first."
        )
    return max(versions, key=lambda path: int(path.name))


def _required(flag: flags.FlagHolder[str | None]) -> Path:
    if not flag.value:
        raise UserError(f"--{flag.name}: required. See --help.")
    path = Path(flag.value)
    if not path.exists():
        raise UserError(f"--{flag.name}: {path}: no such file or directory.")
    return path


def main() -> None:
    """Runs the command."""
    import tensorflow as tf

    model_dir, items_path, titles_path = map(_required, (MODEL, ITEMS, TITLES))
    titles = titles_path.read_text(encoding="utf-8").splitlines()
    lines = items_path.read_bytes().splitlines()
    items = [msgspec.json.decode(line)["in1"] for line in lines]
    model = tf.saved_model.load(str(newest_version(model_dir)))
    vectors = embed(model.signatures["embed_enc1"], items)
    print(f"Embedded {len(items):,} titles with {vectors.shape[1]} dimensions")
    for title in QUERY_TITLES.value:
        if title not in titles:
            raise UserError(
                f"--of: expected a title in {TITLES.value}, got {title!r}. Check the"
                " spelling."
            )
        print(f"\n{title}")
        for row, cosine in nearest(vectors, titles.index(title), COUNT.value):
            print(f"  {cosine:.3f}  {titles[row]}")


if __name__ == "__main__":
    runner.run(main)
