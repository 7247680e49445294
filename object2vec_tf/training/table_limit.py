"""The size up to which the token tables of a run become part of its model."""

from __future__ import annotations

import warnings

from object2vec_tf.distributed.strategies import Strategy
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.layers.table_placement import TablePlacement
from object2vec_tf.tables.limit import TABLE_LIMIT
from object2vec_tf.tables.outside_tables import are_outside
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

    Subwords are an exception, since their tables are always in the model. The value is
    the chief's; all processes must call this.

    Args:
        options: The options.
        hyperparameters: The hyperparameters.
        strategy: The execution strategy.
        placement: Where the tables are while they are trained.

    Warns:
        UserWarning: The chief lacks the memory.
    """
    limit = given_limit(options)
    if not placement.is_sharded:
        return limit
    if options.table_limit is None and not _fits(hyperparameters, strategy, limit):
        if strategy.is_chief:
            warnings.warn(
                "table_limit: the whole token tables do not fit into the memory of "
                "this process, so they will be written as Parquet files beside the "
                f"model. Give table_limit={limit:g} to have them in the model.",
                stacklevel=4,
            )
        limit = 0.0
    with strategy.detect_lost_workers():
        return float(strategy.broadcast_from_chief(limit))


def _fits(hyperparameters: Hyperparameters, strategy: Strategy, limit: float) -> bool:
    """Returns whether the chief has the memory for the tables that it assembles."""
    if any(map(hyperparameters.subwords, (0, 1))):
        return True
    is_assembled = not are_outside(hyperparameters, limit)
    return not is_assembled or fits_assembled(hyperparameters, strategy.local_share)
