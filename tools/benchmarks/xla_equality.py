"""Compares the weights after 20 steps on static batches with those on ragged batches.

    python -m tools.benchmarks.xla_equality

Needs no GPU. XLA compiles the step on static batches for this CPU. Both sides start
with equal weights and train on the same batches, in float32. The table has the largest
difference of a weight, and of a slot of the optimizer, relative to the largest absolute
value of the variable if that is above 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from absl import flags

from object2vec_tf.commands import runner
from object2vec_tf.distributed.replicas import Replicas
from object2vec_tf.distributed.strategies import SingleDevice
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.training.batch_layout import make_execution
from tools.benchmarks import step_graphs
from tools.benchmarks.training import compiled_model, training_loop

STEPS = flags.DEFINE_integer("steps", 20, "training steps", 1)

_OPTIMIZERS = ("adadelta", "adagrad", "adam", "rmsprop", "rowwise_adagrad", "sgd")
_STORAGE = ("dense", "row_sparse")

Weights = list[npt.NDArray[Any]]


def configurations() -> dict[str, Hyperparameters]:
    """Returns the hyperparameters of each row of the table."""
    found = dict(step_graphs.configurations())
    base = found["pooled_embedding, softmax"]
    for storage in _STORAGE:
        for optimizer in _OPTIMIZERS:
            name = f"pooled_embedding, softmax, {optimizer}, {storage}"
            settings = base.to_dict() | {
                "optimizer": optimizer,
                "token_embedding_storage_type": storage,
            }
            found[name] = Hyperparameters(**settings)
    for network in ("hcnn", "bilstm"):
        name = f"{network}, in_batch_softmax"
        settings = found[name].to_dict() | {"optimizer": "sgd"}
        found[f"{name}, sgd"] = Hyperparameters(**settings)
    return found


def train(hyperparameters: Hyperparameters, layout: str) -> tuple[Weights, Weights]:
    """Returns the weights, and the slots of the optimizer, after the steps."""
    pairs = step_graphs.make_pairs(hyperparameters)
    model = compiled_model(hyperparameters)
    execution = make_execution(
        layout, Replicas(SingleDevice(), lambda: model), lambda line: None
    )
    loop = training_loop(execution)
    steps = 0
    while steps < STEPS.value:
        batches = execution.batches(pairs, shuffle=True, seed=0, epoch=steps)
        loop.train(batches)
        steps += len(batches)
    return (
        [variable.numpy() for variable in model.trainable_variables],
        [variable.numpy() for variable in model.optimizer.variables],
    )


def largest_difference(received: Weights, expected: Weights) -> float:
    """Returns the largest difference, relative to values above 1."""
    return max(
        float(np.abs(a.astype(float) - b).max(initial=0) / np.abs(b).max(initial=1))
        for a, b in zip(received, expected, strict=True)
    )


def main() -> None:
    """Runs the command."""
    print("\n| configuration | weights | slots |\n|---|---|---|")
    for name, hyperparameters in configurations().items():
        if step_graphs.ONLY.value in name:
            sides = [train(hyperparameters, side) for side in ("static", "ragged")]
            cells = [
                f"{largest_difference(*part):.1e}" for part in zip(*sides, strict=True)
            ]
            print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    runner.run(main)
