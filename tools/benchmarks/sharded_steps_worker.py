"""A worker of tools/benchmarks/sharded_steps.

Its arguments are a setting, the number of steps of a round, and the number of its core.
TF_CONFIG says which worker it is. A request is the placement of the token tables.
"""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

import keras
import numpy as np

from object2vec_tf.data.pairs import Pairs, Report
from object2vec_tf.distributed.replicas import Replicas
from object2vec_tf.distributed.selection import choose_strategy, choose_table_placement
from object2vec_tf.distributed.strategies import Strategy
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.ragged.column import RaggedColumn
from object2vec_tf.training.loop import TrainingLoop
from tools.benchmarks.row_sparse import BATCH, NAMED_SETTINGS, hyperparameters_of
from tools.benchmarks.training import compiled_model
from tools.benchmarks.worker_processes import answer, requests, use_one_core


def pairs_of_round(name: str, hyperparameters: Hyperparameters, batches: int) -> Pairs:
    """Returns pairs of a setting, each of which occurs once.

    Args:
        name: The name of the setting.
        hyperparameters: The hyperparameters.
        batches: Number of batches of `BATCH` pairs.
    """
    setting = dataclasses.replace(NAMED_SETTINGS[name], count=batches)
    in0, in1, labels = map(np.concatenate, zip(*setting.batches(), strict=True))
    columns = [
        RaggedColumn(ids.ravel(), np.arange(0, ids.size + 1, ids.shape[1]))
        for ids in (in0, in1)
    ]
    report = Report((), {}, {}, (), {}, "")
    return Pairs(columns[0], columns[1], labels, hyperparameters, report)


def training_loop(
    strategy: Strategy, hyperparameters: Hyperparameters, placement: str
) -> TrainingLoop:
    """Returns the training loop of a model on all workers."""

    def build() -> Any:
        tables = choose_table_placement(placement, strategy)
        return compiled_model(hyperparameters, placement=tables)

    callbacks = keras.callbacks.CallbackList([], model=None)
    return TrainingLoop(Replicas(strategy, build), callbacks)


def main(name: str, steps: str, core: str) -> None:
    """Answers requests until stdin ends."""
    received = requests()
    use_one_core(int(core))
    strategy = choose_strategy()
    hyperparameters = hyperparameters_of(
        NAMED_SETTINGS[name], mini_batch_size=BATCH * strategy.replicas
    )
    pairs = pairs_of_round(name, hyperparameters, strategy.replicas * int(steps))
    loops: dict[str, TrainingLoop] = {}
    for placement in received:
        if placement not in loops:
            loops[placement] = training_loop(strategy, hyperparameters, placement)
        loops[placement].train(strategy.dataset(pairs, shuffle=True, seed=0, epoch=0))
        answer(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
