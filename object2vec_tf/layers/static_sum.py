"""Vectors of cells, and their sums by row, for batches in the static layout.

These functions run under XLA only, where a gather clamps an index that is out of range
and a scatter drops it. The position of an empty cell is out of range: its vector is the
last one, which is zero because the last unique token is padding, and its gradient is
dropped. Without XLA, TensorFlow raises an error for such an index.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from object2vec_tf.layers.static_rows import StaticRows

Gradient = Callable[[tf.Tensor], tf.Tensor]


def cell_vectors(
    vectors: tf.Tensor, positions: tf.Tensor, dtype: tf.DType | str = tf.float32
) -> tf.Tensor:
    """Returns the vectors of cells.

    The gradients of the cells with the same token are summed in the type of
    ``vectors``.

    Args:
        vectors: float ``[unique, dim]``; the last one is zero.
        positions: int32 ``[...]``, positions in ``vectors``; ``unique`` in empty cells.
        dtype: The type of the result.

    Returns:
        ``[..., dim]``; zeros in empty cells.
    """
    unique, dim = vectors.shape

    @tf.custom_gradient
    def gathered(vectors: tf.Tensor) -> tuple[tf.Tensor, Gradient]:
        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            return tf.math.unsorted_segment_sum(
                tf.cast(tf.reshape(upstream, [-1, dim]), vectors.dtype),
                tf.reshape(positions, [-1]),
                unique,
            )

        return tf.gather(tf.cast(vectors, dtype), positions), gradient

    return gathered(vectors)


def row_sums(vectors: tf.Tensor, rows: StaticRows) -> tf.Tensor:
    """Returns the sum of the vectors of each row.

    Vectors are summed within each chunk, then the sums of the chunks of a row. The
    gradient of a cell is that of its row, so that only the sum by token is a scatter.

    Args:
        vectors: float ``[unique, dim]``; the last one is zero.
        rows: The rows, whose cells refer to ``vectors``.

    Returns:
        float ``[rows, dim]``; zeros for a row without tokens.
    """
    unique, dim = vectors.shape

    @tf.custom_gradient
    def summed(vectors: tf.Tensor) -> tuple[tf.Tensor, Gradient]:
        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            of_chunks = tf.gather(upstream, rows.chunk_rows)[:, tf.newaxis]
            of_cells = tf.broadcast_to(of_chunks, [*rows.cells.shape, dim])
            return tf.math.unsorted_segment_sum(
                tf.reshape(of_cells, [-1, dim]),
                tf.reshape(rows.cells, [-1]),
                unique,
            )

        of_chunks = tf.reduce_sum(tf.gather(vectors, rows.cells), axis=1)
        return tf.reduce_sum(tf.gather(of_chunks, rows.row_chunk_ids()), 1), gradient

    return summed(vectors)
