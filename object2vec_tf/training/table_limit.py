"""The size up to which the token tables of a run become part of its model."""

from __future__ import annotations

import warnings

from object2vec_tf.distributed.strategies import Strategy
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.layers.table_placement import TablePlacement
from object2vec_tf.tables.limit import TABLE_LIMIT
from object2vec_tf.training.memory import fits_assembled
from object2vec_tf.training.options import FitOptions


def given_limit(options: FitOptions) -> float:
    """Returns ``table_limit``, or its default for tables that are not sharded."""
    return TABLE_LIMIT if options.table_limit is None else options.table_limit


def table_limit_for(
    options: FitOptions,
    hyperparameters: Hyperparameters,
    strategy: Strategy,
    placement: TablePlacement,
) -> float:
    """Returns ``table_limit``; by default 0 if the chief lacks memory for the tables.

    Subwords are an exception, since their tables are always in the model. All processes
    must call this.

    Args:
        options: The options.
        hyperparameters: The hyperparameters.
        strategy: The execution strategy.
        placement: Where the tables are while they are trained.

    Warns:
        UserWarning: The chief lacks the memory.
    """
    if not placement.is_sharded:
        return given_limit(options)
    share = len(strategy.local_replicas) / strategy.replicas
    fits = fits_assembled(hyperparameters, share)
    with strategy.detect_lost_workers():
        fits = strategy.broadcast_from_chief(fits)
    has_subwords = any(map(hyperparameters.subwords, (0, 1)))
    if options.table_limit is not None or fits or has_subwords:
        return given_limit(options)
    if strategy.is_chief:
        warnings.warn(
            "table_limit: the whole token tables do not fit into the memory of this "
            "process, so they will be written as Parquet files beside the model, as "
            f"with table_limit=0. To have them in the model, give {TABLE_LIMIT:g}.",
            stacklevel=4,
        )
    return 0.0
