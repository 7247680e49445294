"""Chooses the shapes of batches in the static layout."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from object2vec_tf.data.row_layout import Sizes
from object2vec_tf.ragged.static_layout import BatchShape, Layout


def shape_of(layout: Layout, rows: int, sizes: Sequence[Sizes]) -> BatchShape:
    """Returns a shape that batches of these sizes fit.

    Args:
        layout: What the batches of the run have in common.
        rows: The number of rows, padding included.
        sizes: The sizes that the batches need.
    """
    largest = Sizes.of_numbers(np.max([s.numbers for s in sizes], axis=0).tolist())
    return BatchShape(
        layout,
        rows,
        tuple(rounded_up(unique + 1) for unique in largest.unique),
        (rounded_up(largest.chunks[0] + 1), rounded_up(largest.chunks[1] + 1)),
        (max(largest.row_chunks[0], 1), max(largest.row_chunks[1], 1)),
        rounded_up(largest.known) if layout.lists_known else 0,
    )


def rounded_up(number: int) -> int:
    """Returns the next power of two, or three quarters of one.

    Example:
        >>> [rounded_up(n) for n in (1, 2, 3, 5, 7, 12, 13)]
        [1, 2, 3, 6, 8, 12, 16]
    """
    power = 1 << max(number - 1, 0).bit_length()
    return power * 3 // 4 if number <= power * 3 // 4 and power > 2 else power
