"""The layout of a run's batches, and its execution."""

from __future__ import annotations

from collections.abc import Callable

from object2vec_tf.data.pairs import Pairs
from object2vec_tf.distributed.replicas import Replicas
from object2vec_tf.distributed.selection import (
    choose_batch_layout,
    reason_for_ragged,
)
from object2vec_tf.distributed.strategies import (
    MirroredDevices,
    SingleDevice,
    Strategy,
)
from object2vec_tf.training.execution import Execution, RaggedExecution
from object2vec_tf.training.replicated_execution import ReplicatedExecution
from object2vec_tf.training.static_execution import StaticExecution
from object2vec_tf.training.step_work import mean_lengths

# On a CPU, a step of XLA takes half of the time of a ragged one if all of its token
# vectors together have few values, and up to 1.3 times as long if they have many.
# Measured by tools.benchmarks.encoders and similar models.
_MAX_VALUES = 150_000
# Compiling the programs takes as long as this number of steps saves in two epochs.
_MIN_STEPS = 500


def layout_for(name: str, strategy: Strategy, pairs: Pairs) -> str:
    """Returns how the batches of a run are laid out.

    Args:
        name: One of `BATCH_LAYOUTS`. auto is static on GPUs, and on a CPU for small
            models that make many steps per epoch.
        strategy: The execution strategy.
        pairs: The pairs to train on.

    Returns:
        ragged or static.

    Raises:
        UserError: static is asked for, and the strategy has several workers.
    """
    hyperparameters = pairs.hyperparameters
    layout = choose_batch_layout(name, strategy, hyperparameters)
    if name != "auto" or not isinstance(strategy, SingleDevice):
        return layout
    steps = len(pairs) // hyperparameters.mini_batch_size
    return "static" if steps >= _MIN_STEPS and has_small_steps(pairs) else layout


def has_small_steps(pairs: Pairs) -> bool:
    """Returns whether the static layout is the faster one on a CPU.

    Args:
        pairs: The pairs to train on.

    Example:
        >>> import object2vec_tf as o2v
        >>> settings = {"enc0_network": "pooled_embedding", "enc_dim": 64,
        ...             "enc0_max_seq_len": 1, "enc0_vocab_size": 9,
        ...             "mini_batch_size": 64}
        >>> pairs = o2v.read_pairs([{"in0": [1], "in1": [2], "label": 1}], settings)
        >>> has_small_steps(pairs)  # 64 x 2 tokens of width 64
        True
    """
    hyperparameters = pairs.hyperparameters
    if reason_for_ragged(hyperparameters):
        return False
    networks = {hyperparameters.network(encoder) for encoder in (0, 1)}
    tokens = hyperparameters.mini_batch_size * sum(mean_lengths(pairs))
    values = tokens * hyperparameters.enc_dim
    return networks == {"pooled_embedding"} and values <= _MAX_VALUES


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
