"""Examples of nearest neighbors among a run's embeddings."""

from __future__ import annotations

import unicodedata

import numpy as np

from object2vec_tf.metrics.ranking import normalized
from object2vec_tf.report.embedding_sample import EmbeddingSample
from object2vec_tf.report.tables import ReportTable

_EXAMPLES, _NEIGHBORS = 6, 5
# Objects in fewer pairs are hardly trained. They are left out if at least _MIN_OBJECTS
# others remain.
_MIN_PAIRS, _MIN_OBJECTS = 5, 20
_MAX_NAME_LENGTH = 72


def neighbor_table(sample: EmbeddingSample) -> tuple[str, ReportTable]:
    """Returns the nearest neighbors, by cosine, of some of the more frequent objects.

    Objects whose embedding is zero are left out.

    Args:
        sample: The objects, from the most to the least frequent.

    Returns:
        A sentence on the content of the table, and the table.
    """
    nonzero = np.abs(sample.vectors).max(axis=1) > 0
    trained = nonzero & (sample.counts >= _MIN_PAIRS)
    enough = int(trained.sum()) >= _MIN_OBJECTS
    pool = np.flatnonzero(trained if enough else nonzero)
    vectors = normalized(sample.vectors[pool])
    rows = []
    for query in _example_positions(len(pool)):
        cosines = vectors @ vectors[query]
        order = np.argsort(-cosines, kind="stable")
        nearest = [int(i) for i in order if i != query][:_NEIGHBORS]
        names = [_isolated(_shortened(sample.names[i])) for i in pool[nearest]]
        neighbors = zip(names, cosines[nearest], strict=True)
        rows.append(
            [
                _shortened(sample.names[pool[query]]),
                f"{sample.counts[pool[query]]:,}",
                "\n".join(f"{name} ({cosine:.2f})" for name, cosine in neighbors),
            ]
        )
    note = "Examples of frequent objects and their nearest neighbors among "
    note += f"{len(pool):,} objects"
    note += f" that occur in at least {_MIN_PAIRS} pairs." if enough else "."
    head = [sample.side, "pairs", "nearest (cosine)"]
    return note, ReportTable(head, rows, text_columns=3)


def _example_positions(count: int) -> list[int]:
    """Returns positions in the first half of a list, denser at its beginning."""
    if count < 2:
        return []
    positions = np.geomspace(1, (count + 1) // 2, _EXAMPLES)
    return sorted({round(position) - 1 for position in positions.tolist()})


def _isolated(name: str) -> str:
    """Keeps a name that is written from right to left apart from what follows it."""
    if any(unicodedata.bidirectional(letter) in ("R", "AL") for letter in name):
        return f"\u2068{name}\u2069"
    return name


def _shortened(text: str) -> str:
    if len(text) <= _MAX_NAME_LENGTH:
        return text
    return text[: _MAX_NAME_LENGTH - 1] + "…"
