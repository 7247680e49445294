"""The maximum of each row's cells, for batches in the static layout under XLA."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf
from tensorflow.compiler.tf2xla.ops import gen_xla_ops

from object2vec_tf.layers.static_rows import StaticRows


def materialized(values: tf.Tensor) -> tf.Tensor:
    """Returns values that XLA computes once and writes to memory.

    Otherwise each of several uses may compute them again, and, in a small type, with
    more bits than the type has: no value then equals the maximum of all of them.
    """

    @tf.custom_gradient
    def identity(
        values: tf.Tensor,
    ) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        (result,) = gen_xla_ops.xla_optimization_barrier([values])
        return result, lambda upstream: upstream

    return identity(values)


def row_maxima(values: tf.Tensor, rows: StaticRows) -> tf.Tensor:
    """Returns each row's maximum over its cells, and at least zero.

    The gradient of a maximum is divided equally among the row's cells that have this
    value, as by ``tf.math.unsorted_segment_max``. It consists of gathers and sums of
    chunks, where that function's gradient scatters a value per cell.

    Args:
        values: Non-negative values ``[chunks, width, dim]``, zero in empty cells.
        rows: The rows.

    Returns:
        float32 ``[rows, dim]``; zeros for a row without tokens.
    """
    chunks_of_rows = rows.row_chunk_ids()

    @tf.custom_gradient
    def maxima(
        values: tf.Tensor,
    ) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        of_chunks = tf.reduce_max(values, axis=1)
        result = tf.reduce_max(tf.gather(of_chunks, chunks_of_rows), axis=1)

        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            # Chunks of padding get values of the last row, but have only empty cells.
            row_of_chunk = rows.chunk_rows[:, tf.newaxis]
            selected = (values == tf.gather(result, row_of_chunk)) & (values > 0)
            counts = tf.reduce_sum(tf.cast(selected, tf.float32), axis=1)
            ties = tf.reduce_sum(tf.gather(counts, chunks_of_rows), axis=1)
            shares = tf.math.divide_no_nan(upstream, ties)
            shares = tf.gather(shares, row_of_chunk)
            return tf.cast(tf.where(selected, shares, 0.0), values.dtype)

        return tf.cast(result, tf.float32), gradient

    return maxima(values)
