"""The optimizer that hyperparameters ask for."""

from __future__ import annotations

import keras

from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.optimizers.fused import FusedAdam
from object2vec_tf.optimizers.row_sparse import (
    RowSparseAdadelta,
    RowSparseAdagrad,
    RowSparseAdam,
    RowSparseRMSprop,
    RowSparseSGD,
)

_DENSE = {
    "adadelta": keras.optimizers.Adadelta,
    "adagrad": keras.optimizers.Adagrad,
    "adam": FusedAdam,
    "rmsprop": keras.optimizers.RMSprop,
    "sgd": keras.optimizers.SGD,
}
_ROW_SPARSE = {
    "adadelta": RowSparseAdadelta,
    "adagrad": RowSparseAdagrad,
    "adam": RowSparseAdam,
    "rmsprop": RowSparseRMSprop,
    "sgd": RowSparseSGD,
}


def optimizer_for(hyperparameters: Hyperparameters) -> keras.optimizers.Optimizer:
    """Returns the optimizer the hyperparameters name, by row for row_sparse.

    Everything but the learning rate is as Keras has it.
    """
    row_sparse = hyperparameters.token_embedding_storage_type == "row_sparse"
    kind = (_ROW_SPARSE if row_sparse else _DENSE)[hyperparameters.optimizer]
    return kind(learning_rate=hyperparameters.learning_rate)
