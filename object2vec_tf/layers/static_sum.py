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

# From the gradients of the result, and of the vectors returned beside it.
Gradient = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def cell_vectors(
    vectors: tf.Tensor, positions: tf.Tensor, dtype: tf.DType | str = tf.float32
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the vectors of cells.

    The gradients of the cells with the same token are summed in the type of
    ``vectors``, in the memory of the gradient of the vectors that are returned.

    Args:
        vectors: float ``[unique, dim]``; the last one is zero.
        positions: int32 ``[...]``, positions in ``vectors``; ``unique`` in empty cells.
        dtype: The type of the result.

    Returns:
        ``[..., dim]``, zeros in empty cells; and ``vectors``, for the next lookup.
    """

    @tf.custom_gradient
    def gathered(
        vectors: tf.Tensor,
    ) -> tuple[tuple[tf.Tensor, tf.Tensor], Gradient]:
        def gradient(upstream: tf.Tensor, of_others: tf.Tensor) -> tf.Tensor:
            return _with_cells(of_others, positions, upstream)

        cells = tf.gather(tf.cast(vectors, dtype), positions)
        return (cells, tf.identity(vectors)), gradient

    return gathered(vectors)


def row_sums(vectors: tf.Tensor, rows: StaticRows) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the sum of the vectors of each row.

    Vectors are summed within each chunk, then the sums of the chunks of a row. The
    gradient of a cell is that of its row, so that only the sum by token is a scatter.

    Args:
        vectors: float ``[unique, dim]``; the last one is zero.
        rows: The rows, whose cells refer to ``vectors``.

    Returns:
        float ``[rows, dim]``, zeros for a row without tokens; and ``vectors``, for the
        next lookup.
    """
    dim = vectors.shape[1]

    @tf.custom_gradient
    def summed(
        vectors: tf.Tensor,
    ) -> tuple[tuple[tf.Tensor, tf.Tensor], Gradient]:
        def gradient(upstream: tf.Tensor, of_others: tf.Tensor) -> tf.Tensor:
            of_chunks = tf.gather(upstream, rows.chunk_rows)[:, tf.newaxis]
            of_cells = tf.broadcast_to(of_chunks, [*rows.cells.shape, dim])
            return _with_cells(of_others, rows.cells, of_cells)

        of_chunks = tf.reduce_sum(tf.gather(vectors, rows.cells), axis=1)
        sums = tf.reduce_sum(tf.gather(of_chunks, rows.row_chunk_ids()), axis=1)
        return (sums, tf.identity(vectors)), gradient

    return summed(vectors)


def _with_cells(
    gradient: tf.Tensor, positions: tf.Tensor, of_cells: tf.Tensor
) -> tf.Tensor:
    """Adds the gradients of cells to a gradient of the unique tokens' vectors."""
    of_cells = tf.cast(tf.reshape(of_cells, [-1, gradient.shape[1]]), gradient.dtype)
    return tf.tensor_scatter_nd_add(gradient, tf.reshape(positions, [-1, 1]), of_cells)
