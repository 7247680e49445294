"""Creates the optimizer that the hyperparameters select."""

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
from object2vec_tf.optimizers.rowwise_adagrad import (
    RowSparseRowwiseAdagrad,
    RowwiseAdagrad,
)
from object2vec_tf.optimizers.schedule import WarmUpAndDecay

_DENSE = {
    "adadelta": keras.optimizers.Adadelta,
    "adagrad": keras.optimizers.Adagrad,
    "adam": FusedAdam,
    "rmsprop": keras.optimizers.RMSprop,
    "rowwise_adagrad": RowwiseAdagrad,
    "sgd": keras.optimizers.SGD,
}
_ROW_SPARSE = {
    "adadelta": RowSparseAdadelta,
    "adagrad": RowSparseAdagrad,
    "adam": RowSparseAdam,
    "rmsprop": RowSparseRMSprop,
    "rowwise_adagrad": RowSparseRowwiseAdagrad,
    "sgd": RowSparseSGD,
}


def optimizer_for(
    hyperparameters: Hyperparameters, steps_per_epoch: int | None = None
) -> keras.optimizers.Optimizer:
    """Returns the optimizer that the hyperparameters select.

    Every option except the learning rate has Keras's default. For row_sparse, the
    optimizer updates single rows of token tables.

    Args:
        hyperparameters: The settings.
        steps_per_epoch: Steps per epoch, required if the learning rate warms up or
            decays.

    Raises:
        ValueError: ``steps_per_epoch`` is required and None.
    """
    row_sparse = hyperparameters.token_embedding_storage_type == "row_sparse"
    optimizer = (_ROW_SPARSE if row_sparse else _DENSE)[hyperparameters.optimizer]
    return optimizer(learning_rate=_learning_rate(hyperparameters, steps_per_epoch))


def _learning_rate(
    hyperparameters: Hyperparameters, steps_per_epoch: int | None
) -> float | WarmUpAndDecay:
    epochs = hyperparameters.learning_rate_warmup_epochs
    decay = hyperparameters.learning_rate_decay
    if not epochs and decay == "none":
        return hyperparameters.learning_rate
    if steps_per_epoch is None:
        raise ValueError(
            "steps_per_epoch: expected a number of steps, which "
            "learning_rate_warmup_epochs and learning_rate_decay need, got None. "
            "Call compile(steps_per_epoch=len(dataset))."
        )
    return WarmUpAndDecay(
        hyperparameters.learning_rate,
        epochs * steps_per_epoch,
        hyperparameters.epochs * steps_per_epoch,
        decay,
    )
