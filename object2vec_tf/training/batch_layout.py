"""The execution of a layout of batches."""

from __future__ import annotations

from collections.abc import Callable

from object2vec_tf.distributed.replicas import Replicas
from object2vec_tf.distributed.strategies import MirroredDevices
from object2vec_tf.training.execution import Execution, RaggedExecution
from object2vec_tf.training.replicated_execution import ReplicatedExecution
from object2vec_tf.training.static_execution import StaticExecution


def make_execution(
    batch_layout: str, replicas: Replicas, report: Callable[[str], None]
) -> Execution:
    """Returns the execution of steps on batches of a layout.

    Args:
        batch_layout: ragged or static.
        replicas: The copies of the model.
        report: Shows a line about a compilation that takes long.
    """
    if batch_layout != "static":
        return RaggedExecution(replicas)
    if isinstance(replicas.strategy, MirroredDevices):
        return ReplicatedExecution(replicas, replicas.strategy, report)
    return StaticExecution(replicas, report)
