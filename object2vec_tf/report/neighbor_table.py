"""Examples of what stands near in a run's embeddings."""

from __future__ import annotations

import numpy as np

from object2vec_tf.metrics.ranking import normalized
from object2vec_tf.report.embedding_sample import EmbeddingSample
from object2vec_tf.report.tables import Table

_EXAMPLES, _NEIGHBORS = 6, 5
# Objects that stand in fewer pairs have hardly been learnt: they are left out, unless
# that leaves out nearly all.
_ENOUGH_PAIRS, _ENOUGH_OBJECTS = 5, 20
_MOST_LETTERS = 72


def nearest(sample: EmbeddingSample) -> tuple[str, Table]:
    """Returns the objects nearest, by cosine, to some of the more frequent ones.

    Objects whose embedding is zero are near to none.

    Args:
        sample: The objects, from the most to the least frequent.

    Returns:
        What the table shows, in words, and the table.
    """
    there = np.abs(sample.vectors).max(axis=1) > 0
    learnt = there & (sample.counts >= _ENOUGH_PAIRS)
    enough = int(learnt.sum()) >= _ENOUGH_OBJECTS
    pool = np.flatnonzero(learnt if enough else there)
    vectors = normalized(sample.vectors[pool])
    rows = []
    for place in _asked(len(pool)):
        cosines = vectors @ vectors[place]
        order = np.argsort(-cosines, kind="stable")
        found = [int(i) for i in order if i != place][:_NEIGHBORS]
        names = [_short(sample.names[i]) for i in pool[found]]
        told = zip(cosines[found], names, strict=True)
        rows.append(
            [
                _short(sample.names[pool[place]]),
                f"{sample.counts[pool[place]]:,}",
                "\n".join(f"{name} ({cosine:.2f})" for cosine, name in told),
            ]
        )
    note = f"Some of the frequent objects, and what is nearest among {len(pool):,}"
    note += f" that stand in {_ENOUGH_PAIRS} pairs or more." if enough else "."
    head = [sample.side, "pairs", "nearest (cosine)"]
    return note, Table(head, rows, words=3)


def _asked(count: int) -> list[int]:
    """Returns places of the more frequent half, closer together at its beginning."""
    if count < 2:
        return []
    places = np.geomspace(1, (count + 1) // 2, _EXAMPLES)
    return sorted({round(place) - 1 for place in places.tolist()})


def _short(text: str) -> str:
    return text if len(text) <= _MOST_LETTERS else text[: _MOST_LETTERS - 1] + "…"
