"""A convolution over packed cells as one product of matrices, for XLA.

Rows in the static layout are packed end to end, with empty cells between them. So a
convolution over all cells of a batch equals one over each row, if the filter reaches no
further than the gaps. The shapes are few, and a product needs no choice of a layout or
of an algorithm, as a convolution on a GPU does.
"""

from __future__ import annotations

import tensorflow as tf

from object2vec_tf.layers.static_maximum import materialized


def same_convolution(steps: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Convolves steps with "same" padding.

    Args:
        steps: float ``[cells, channels]``.
        kernel: Filters of the same type, ``[width, channels, filters]``.

    Returns:
        float ``[cells, filters]``.

    Example:
        >>> steps = tf.constant([[1.0], [10], [100]])
        >>> compiled = tf.function(same_convolution, jit_compile=True)
        >>> compiled(steps, tf.constant([[[1.0]], [[2.0]]])).numpy().tolist()
        [[21.0], [210.0], [100.0]]
    """
    width, channels, filters = kernel.shape
    cells = steps.shape[0]
    before = (width - 1) // 2
    padded = tf.pad(steps, [[before, width - 1 - before], [0, 0]])
    shifted = [padded[offset : offset + cells] for offset in range(width)]
    # Otherwise XLA also writes each shift to memory, for the gradient of the kernel: a
    # quarter more memory traffic for four layers, as XLA's program for an H100 shows.
    columns = materialized(tf.concat(shifted, axis=1))
    return columns @ tf.reshape(kernel, [width * channels, filters])
