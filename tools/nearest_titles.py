"""Prints the titles nearest to a few well-known ones, by an exported model.

    python -m tools.nearest_titles --model=runs/movielens_rating/export \
        --items=data/movielens/items.jsonl --titles=data/movielens/titles.tsv

Every item of --items goes through the SavedModel's signature embed_enc1; nearness is
the cosine of two embeddings.
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

MODEL = flags.DEFINE_string("model", None, "directory of exported versions")
ITEMS = flags.DEFINE_string("items", None, 'JSON Lines of {"in1": [id]}')
TITLES = flags.DEFINE_string("titles", None, "a title for each item, a line each")
OF = flags.DEFINE_multi_string(
    "of",
    [
        "Star Wars (1977)",
        "Toy Story (1995)",
        "Terminator, The (1984)",
        "Cinderella (1950)",
    ],
    "a title to look around",
)
COUNT = flags.DEFINE_integer("count", 10, "neighbours shown", lower_bound=1)

Vectors = npt.NDArray[np.float32]


def embed(signature: Any, items: Sequence[Sequence[int]]) -> Vectors:
    """Returns the embeddings of items, ``[items, enc_dim]``."""
    import tensorflow as tf

    width = max(map(len, items))
    padded = [[*item, *[-1] * (width - len(item))] for item in items]
    return np.asarray(signature(tf.constant(padded, tf.int64))["embeddings"])


def nearest(vectors: Vectors, row: int, count: int) -> list[tuple[int, float]]:
    """Returns the rows of highest cosine with one row, without itself."""
    lengths = np.linalg.norm(vectors, axis=1)
    unit = vectors / np.maximum(lengths, 1e-12)[:, np.newaxis]
    cosines = unit @ unit[row]
    order = [int(i) for i in np.argsort(-cosines, kind="stable") if i != row]
    return [(i, float(cosines[i])) for i in order[:count]]


def newest_version(directory: Path) -> Path:
    """Returns the highest-numbered version below a directory of versions."""
    versions = [e for e in directory.glob("*") if e.name.isdecimal() and e.is_dir()]
    if not versions:
        raise UserError(f"{directory}: no exported version here; train or export first")
    return max(versions, key=lambda entry: int(entry.name))


def _required(flag: flags.FlagHolder[str | None]) -> Path:
    if not flag.value:
        raise UserError(f"--{flag.name} is required; see --help")
    path = Path(flag.value)
    if not path.exists():
        raise UserError(f"--{flag.name}: {path}: no such file or directory")
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
    print(f"{len(items):,} titles embedded, {vectors.shape[1]} numbers each")
    for title in OF.value:
        if title not in titles:
            raise UserError(f"--of: no title {title!r} in {TITLES.value}")
        print(f"\n{title}")
        for row, cosine in nearest(vectors, titles.index(title), COUNT.value):
            print(f"  {cosine:.3f}  {titles[row]}")


if __name__ == "__main__":
    runner.run(main)
