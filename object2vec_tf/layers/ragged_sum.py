"""The sum of each row's vectors, as one product with a sparse matrix."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf
from tensorflow.python.framework import kernels

from object2vec_tf.devices import gpu_is_visible, on_host

_CSR_OPS = (
    "SparseTensorToCSRSparseMatrix",
    "SparseMatrixTranspose",
    "SparseMatrixMatMul",
)
_SEGMENT_OPS = ("SparseSegmentSumWithNumSegments",)


def ragged_sum(
    vectors: tf.Tensor,
    indices: tf.RaggedTensor,
    training: bool | None = None,
    factors: tf.Tensor | None = None,
) -> tf.Tensor:
    """Sums the vectors that each row refers to.

    In training on a CPU, a sparse matrix counts how often each row refers to each
    vector. The matrix is multiplied with the vectors, and its transpose with the
    gradient. Neither product creates a vector per index, so the time depends on the
    number of unique vectors. For 1,024 rows of 35 indices and vectors 300 wide, the
    forward and backward passes take 3.5 and 4 ms, where gather and unsorted_segment_sum
    take 15 and 29.

    Where a GPU is visible, training uses gather and unsorted_segment_sum, because
    cuSPARSE rejects a matrix with more entries than rows times columns, such as one row
    that repeats a token.

    A graph without training works on CPUs and GPUs, wherever it was traced.

    Args:
        vectors: float ``[unique, dim]``; each must be used by at least one row.
        indices: RaggedTensor int32 ``[rows, (time)]``, indices into ``vectors``.
        training: Whether a gradient is needed. Without it the sum is differentiable
            too, but slower. A SavedModel cannot contain the fast gradient.
        factors: The factor of each index, float ``[tokens]``, without a gradient; None
            for 1.

    Returns:
        float ``[rows, dim]``; zeros for an empty row.
    """
    values = vectors, indices.values, indices.row_splits
    if training:
        if has_kernels(_CSR_OPS) and not gpu_is_visible():
            return _sparse_product(*values, factors)
    elif factors is not None:
        return _factor_product(*values, factors)
    elif has_kernels(_SEGMENT_OPS):
        return _segment_sum(*values)
    return portable_sum(*values, factors)


def has_kernels(ops: tuple[str, ...]) -> bool:
    """Returns whether ops run on every type of device visible to this process."""
    wanted = {device.device_type for device in tf.config.list_logical_devices()}
    return all(
        wanted & {"CPU", "GPU"} <= {kernel.device_type for kernel in _registered(op)}
        for op in ops
    )


def _registered(op: str) -> list[kernels.kernel_def_pb2.KernelDef]:
    return list(kernels.get_registered_kernels_for_op(op).kernel)


def portable_sum(
    vectors: tf.Tensor,
    indices: tf.Tensor,
    row_splits: tf.Tensor,
    factors: tf.Tensor | None = None,
) -> tf.Tensor:
    """Computes `ragged_sum` with ops that every device has.

    Args:
        vectors: float ``[unique, dim]``.
        indices: int32 ``[tokens]``, indices into ``vectors``.
        row_splits: int64 ``[rows + 1]``.
        factors: float ``[tokens]``, or None.
    """
    with on_host():
        rows = tf.cast(_row_ids(indices, row_splits), tf.int32)
        count = _count(row_splits)
    cells = tf.gather(vectors, indices)
    if factors is not None:
        cells *= tf.cast(factors, cells.dtype)[:, tf.newaxis]
    return tf.math.unsorted_segment_sum(cells, rows, count)


def _count(row_splits: tf.Tensor) -> tf.Tensor:
    """Returns the number of rows, an int32 scalar."""
    return tf.size(row_splits) - 1


def _row_ids(indices: tf.Tensor, row_splits: tf.Tensor) -> tf.Tensor:
    """Returns each index's row, int64 ``[tokens]``: how many rows end before it."""
    count = tf.size(indices, tf.int64)
    ends = tf.math.unsorted_segment_sum(
        tf.ones_like(row_splits[1:]), row_splits[1:], count + 1
    )
    return tf.cumsum(tf.cast(ends, tf.int64))[:count]


def _count_matrix(
    vectors: tf.Tensor,
    indices: tf.Tensor,
    row_splits: tf.Tensor,
    factors: tf.Tensor | None,
) -> tf.Tensor:
    """Returns the matrix of counts, a variant that holds ``[rows + 1, unique]``.

    With factors, each index counts as much as its factor.
    """
    rows, unique = tf.size(row_splits, tf.int64) - 1, tf.shape(vectors, tf.int64)[0]
    # The row of each index, and its position in the row. CPUs have this op, and it
    # takes a third of the time of `_row_ids`.
    cells, _, _ = tf.raw_ops.RaggedTensorToSparse(
        rt_nested_splits=[tf.cast(row_splits, tf.int64)], rt_dense_values=indices
    )
    # TensorFlow 2.21's SparseMatrixMatMul divides by the matrix's number of rows and
    # crashes if it is zero. So a last row is added, and the caller cuts it off again.
    return tf.raw_ops.SparseTensorToCSRSparseMatrix(
        indices=tf.stack([cells[:, 0], tf.cast(indices, tf.int64)], axis=1),
        values=tf.ones_like(indices, vectors.dtype)
        if factors is None
        else tf.cast(factors, vectors.dtype),
        dense_shape=tf.stack([rows + 1, unique]),
    )


def _factor_product(
    vectors: tf.Tensor, indices: tf.Tensor, row_splits: tf.Tensor, factors: tf.Tensor
) -> tf.Tensor:
    """Computes `portable_sum` with factors, without a vector for each index."""
    with on_host():
        rows, count = _row_ids(indices, row_splits), _count(row_splits)
    matrix = tf.SparseTensor(
        tf.stack([rows, tf.cast(indices, tf.int64)], axis=1),
        tf.cast(factors, vectors.dtype),
        [tf.cast(count, tf.int64), tf.shape(vectors, tf.int64)[0]],
    )
    total = tf.sparse.sparse_dense_matmul(matrix, vectors)
    return tf.ensure_shape(total, [None, vectors.shape[-1]])


def _segment_sum(
    vectors: tf.Tensor, indices: tf.Tensor, row_splits: tf.Tensor
) -> tf.Tensor:
    """Computes `portable_sum` in a third of its time."""
    with on_host():
        rows, count = _row_ids(indices, row_splits), _count(row_splits)
        has_tokens = tf.size(indices) > 0

    def segment_sum() -> tf.Tensor:
        # Not a sparse product too: the gradient of one in TensorFlow 2.21 needs static
        # shapes (sparse_csr_matrix_grad.py, _PrunedDenseMatrixMultiplication).
        return tf.raw_ops.SparseSegmentSumWithNumSegments(
            data=vectors, indices=indices, segment_ids=rows, num_segments=count
        )

    def zeros() -> tf.Tensor:
        # A sum of no vectors, and not `tf.zeros`, so that its gradient is not None.
        zero = tf.reduce_sum(vectors[:0], axis=0)
        return tf.broadcast_to(zero, [count, tf.size(zero)])

    # TensorFlow 2.21's kernel for GPUs fails without indices, with the message "segment
    # ids must be >= 0".
    total = tf.cond(has_tokens, segment_sum, zeros)
    return tf.ensure_shape(total, [None, vectors.shape[-1]])


def _sparse_product(
    vectors: tf.Tensor,
    indices: tf.Tensor,
    row_splits: tf.Tensor,
    factors: tf.Tensor | None = None,
) -> tf.Tensor:
    """Computes `portable_sum` by sparse products, also in the gradient."""
    matrix = _count_matrix(vectors, indices, row_splits, factors)
    return _product(vectors, matrix)


@tf.custom_gradient
def _product(
    vectors: tf.Tensor, matrix: tf.Tensor
) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, None]]]:
    """Returns the product of a matrix from `_count_matrix` and vectors."""

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, None]:
        def transposed_product() -> tf.Tensor:
            # Transposed beforehand: with transpose_a, as in TensorFlow's own gradient,
            # the product takes four times as long (TensorFlow 2.21, on a CPU).
            transposed = tf.raw_ops.SparseMatrixTranspose(
                input=matrix, type=vectors.dtype
            )
            padded = tf.pad(upstream, [[0, 1], [0, 0]])
            return tf.raw_ops.SparseMatrixMatMul(a=transposed, b=padded)

        has_vectors = tf.shape(vectors)[0] > 0
        result = tf.cond(
            has_vectors, transposed_product, lambda: tf.zeros_like(vectors)
        )
        return tf.ensure_shape(result, vectors.shape), None

    product = tf.raw_ops.SparseMatrixMatMul(a=matrix, b=vectors)[:-1]
    return tf.ensure_shape(product, [None, vectors.shape[-1]]), gradient
