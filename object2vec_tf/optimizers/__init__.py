"""Optimizers that update only the token vectors that a batch uses."""

from object2vec_tf.optimizers.factory import optimizer_for
from object2vec_tf.optimizers.fused import FusedAdam
from object2vec_tf.optimizers.loss_scaling import LossScaling
from object2vec_tf.optimizers.row_sparse import (
    RowSparseAdadelta,
    RowSparseAdagrad,
    RowSparseAdam,
    RowSparseRMSprop,
    RowSparseSGD,
)
from object2vec_tf.optimizers.rowwise_adagrad import (
    RowSparseRowwiseAdagrad,
    RowwiseAdagrad,
)

__all__ = [
    "FusedAdam",
    "LossScaling",
    "RowSparseAdadelta",
    "RowSparseAdagrad",
    "RowSparseAdam",
    "RowSparseRMSprop",
    "RowSparseRowwiseAdagrad",
    "RowSparseSGD",
    "RowwiseAdagrad",
    "optimizer_for",
]
