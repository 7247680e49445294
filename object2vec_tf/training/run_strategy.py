"""The execution strategy of a run, and the placement of its token tables."""

from __future__ import annotations

from object2vec_tf.data.table_sources import is_given
from object2vec_tf.distributed.selection import (
    choose_batch_layout,
    choose_strategy,
    choose_table_placement,
)
from object2vec_tf.distributed.strategies import Strategy
from object2vec_tf.errors import UserError
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.layers.table_placement import TablePlacement
from object2vec_tf.runs.run_directory import RunDirectory
from object2vec_tf.training.memory import check_memory
from object2vec_tf.training.options import FitOptions


def strategy_and_placement(
    hyperparameters: Hyperparameters,
    options: FitOptions,
    num_gpus: int | None,
    directory: RunDirectory,
) -> tuple[Strategy, TablePlacement]:
    """Returns the execution strategy of a run, and where its token tables are kept.

    Args:
        hyperparameters: The hyperparameters.
        options: The options.
        num_gpus: Maximum number of GPUs; None for all.
        directory: The run directory.

    Raises:
        UserError: Options exclude each other, or the tables do not fit into memory.
    """
    strategy = choose_strategy(options.strategy, num_gpus, options.device)
    # Raises an error if the layout is impossible.
    choose_batch_layout(options.batch_layout, strategy, hyperparameters)
    placement = choose_table_placement(
        options.table_placement, strategy, options.batch_layout
    )
    share = 1.0
    if placement.is_sharded:
        _check_sharded(options, strategy, directory)
        share = strategy.local_share
    check_memory(hyperparameters, share=share)
    return strategy, placement


def _check_sharded(
    options: FitOptions, strategy: Strategy, directory: RunDirectory
) -> None:
    """Checks options that sharded tables exclude, before any data is read."""
    if is_given(options.retrieval_pool):
        raise UserError(
            "table_placement=sharded: expected no retrieval_pool, since no device has "
            "all rows while the run trains. Leave one of them out."
        )
    if directory.mirror is not None and strategy.workers > 1:
        raise UserError(
            "table_placement=sharded: expected a model_dir in a file system that all "
            f"workers share, got {directory.mirror.url}. Give a directory."
        )
