"""The copies of a model that are trained together, kept equal on all devices."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from object2vec_tf.distributed.batch_shard import replicated_encoders
from object2vec_tf.distributed.collectives import current_collectives
from object2vec_tf.distributed.sharded_tables import ShardedTable
from object2vec_tf.distributed.strategies import Step, Strategy
from object2vec_tf.layers.table_placement import Table
from object2vec_tf.metrics.auc import AUC
from object2vec_tf.optimizers.loss_scaling import LossScaling
from object2vec_tf.optimizers.per_replica import update_locally
from object2vec_tf.optimizers.slots import slots_of

# Distance between the dropout seeds of two replicas.
_SEED_STRIDE = 1_000_003
_SEEDS = 1 << 31

# The values of each replica's metric variables, end to end, float64 [replicas, values].
States = npt.NDArray[np.float64]


class Replicas:
    """A compiled `Object2Vec` model on each device of this process.

    All replicas always have the same weights, optimizer state and random numbers,
    except the rows of sharded tables and the numbers of dropout. Each replica has
    metrics of its own, over its shards of the batches, which are combined when they are
    read.

    Args:
        strategy: The execution strategy.
        build: Returns a compiled model whose optimizer is built.
        batch_layout: The layout of batches, ragged or static.
    """

    def __init__(
        self,
        strategy: Strategy,
        build: Callable[[], keras.Model],
        batch_layout: str = "ragged",
    ) -> None:
        self.strategy = strategy
        self._replicates = batch_layout == "ragged"
        self.models: list[keras.Model] = strategy.build_replicas(
            build if strategy.replicas == 1 else lambda: _as_replica(build())
        )
        self.copy_from_chief()

    @property
    def model(self) -> keras.Model:
        """The first replica of this process; the chief's is the one that is saved."""
        return self.models[0]

    def distribute_step(self, method: str) -> Step:
        """Returns a function that runs a step of all local replicas.

        Args:
            method: ``train_batch`` or ``test_batch``.
        """
        steps = [getattr(model, method) for model in self.models]
        return self.strategy.distribute_step(steps)

    def copy_from_chief(self) -> None:
        """Copies weights, optimizer and random state of the chief to all replicas."""
        if self.strategy.replicas == 1:
            return
        first, *others = [
            [*weights, *slots] for weights, slots in map(shared_variables, self.models)
        ]
        for i, value in enumerate(_broadcast(self.strategy, first)):
            for other in others:
                other[i].assign(value)
        for model, replica in zip(
            self.models, self.strategy.local_replicas, strict=True
        ):
            encoders: tuple[int, ...] = ()
            if self._replicates:
                encoders = replicated_encoders(
                    model.hyperparameters, model.placement.is_sharded
                )
            _separate_dropout(model, replica, encoders)

    def reset_metrics(self) -> None:
        """Resets the metrics of all local replicas."""
        for model in self.models:
            model.reset_metrics()

    def metric_states(self) -> States:
        """Returns the metric variables of all replicas; all processes must call it."""
        own = [_metric_values(model) for model in self.models]
        states = np.zeros((self.strategy.replicas, len(own[0])))
        for replica, values in zip(self.strategy.local_replicas, own, strict=True):
            states[replica] = values
        return self.strategy.all_reduce(states)

    def set_metric_states(self, states: States) -> None:
        """Restores metric variables; with another number of replicas, their sums.

        Metrics that the states lack, because an older version wrote them, start at 0.
        """
        if len(states) != self.strategy.replicas:
            total = states.sum(axis=0)
            states = np.zeros((self.strategy.replicas, len(total)))
            states[0] = total
        for replica, model in zip(
            self.strategy.local_replicas, self.models, strict=True
        ):
            build_metrics(model)
            _assign_metrics(model, states[replica])

    def metrics(self) -> dict[str, float]:
        """Returns the metrics over the pairs of all replicas.

        Every metric is a mean or a histogram. Their variables are sums over pairs and
        can be added.
        """
        if self.strategy.replicas == 1:
            return _results(self.model)
        states, own = self.metric_states(), _metric_values(self.model)
        _assign_metrics(self.model, states.sum(axis=0))
        results = _results(self.model)
        _assign_metrics(self.model, own)
        return results


def copy_weights_from_chief(strategy: Strategy, model: keras.Model) -> None:
    """Copies the chief's weights into a model; all processes must call it."""
    for _ in _broadcast(strategy, [variable.value for variable in model.weights]):
        pass


def build_metrics(model: keras.Model) -> None:
    """Creates a compiled model's metrics, which Keras does on their first update."""
    scores = tf.zeros([1, model.hyperparameters.output_dim])
    for metric in model.metrics:
        if not isinstance(metric, keras.metrics.Mean):  # these are built already
            metric.update_state(tf.zeros([1]), scores)
    model.reset_metrics()


def _as_replica(model: keras.Model) -> keras.Model:
    """Prepares a model to be one of several replicas."""
    update_locally(model.optimizer)
    if isinstance(model.optimizer, LossScaling) and sharded_tables(model):
        model.optimizer.agree_on_steps(_on_all_replicas)
    # Variables created within a step would belong to TensorFlow's strategy, and be
    # shared by all replicas.
    build_metrics(model)
    return model


def _on_all_replicas(condition: tf.Tensor) -> tf.Tensor:
    """Returns whether a condition holds on all replicas; all of them must call it."""
    failures = tf.cast(tf.logical_not(condition), tf.int32)
    return tf.equal(current_collectives().maximum(failures), 0)


def _results(model: keras.Model) -> dict[str, float]:
    """Returns the metrics by name, without the AUC of pairs of a single class."""
    results = {k: float(v) for k, v in model.get_metrics_result().items()}
    return {
        name: value
        for name, value in results.items()
        if name != "loss" and not (name == AUC and math.isnan(value))
    }


def _metric_values(model: keras.Model) -> npt.NDArray[np.float64]:
    values = [np.ravel(variable.numpy()) for variable in model.metrics_variables]
    return np.concatenate(values).astype(np.float64)


def _assign_metrics(model: keras.Model, values: npt.NDArray[np.float64]) -> None:
    variables = model.metrics_variables
    if len(values) < sum(math.prod(variable.shape) for variable in variables):
        # Version 0.1.0 had no AUC, the only metric with a histogram.
        variables = [variable for variable in variables if not len(variable.shape)]
    start = 0
    for variable in variables:
        size = math.prod(variable.shape)
        variable.assign(values[start : start + size].reshape(variable.shape))
        start += size


def sharded_tables(model: keras.Model) -> list[ShardedTable]:
    """Returns the tables of which a replica has a part, each once."""
    tables: tuple[Table, ...] = model.tables
    return [table for table in tables if isinstance(table, ShardedTable)]


def shared_variables(model: keras.Model) -> tuple[list[Any], list[Any]]:
    """Returns the variables that are equal on all replicas, except metrics.

    Args:
        model: A replica.

    Returns:
        Those of the model and those of its optimizer, as TensorFlow's variables.
    """
    excluded = {id(variable) for variable in model.metrics_variables}
    for table in sharded_tables(model):
        own = [table.variable, *slots_of(model.optimizer, table.variable)]
        excluded |= {id(variable) for variable in own}
    owners = model, model.optimizer
    weights, slots = (
        [v.value for v in owner.variables if id(v) not in excluded] for owner in owners
    )
    return weights, slots


def _broadcast(
    strategy: Strategy, variables: Sequence[Any]
) -> Iterator[npt.NDArray[Any]]:
    """Assigns the chief's values to variables, and yields each value."""
    for variable in variables:
        value = variable.numpy()
        if strategy.workers > 1:
            # Only these types can be summed over processes.
            sent = value if value.dtype.kind == "f" else value.astype(np.int64)
            sent = sent if strategy.is_chief else np.zeros_like(sent)
            value = strategy.all_reduce(sent).astype(value.dtype)
            variable.assign(value)
        yield value


def _separate_dropout(
    model: keras.Model, replica: int, replicated: Sequence[int]
) -> None:
    """Gives a replica's dropout random numbers of its own.

    Work that every replica does for the whole batch keeps the same random numbers.

    Args:
        model: The replica.
        replica: Its number.
        replicated: The encoders (0, 1) that every replica applies to the whole batch.
    """
    same = {id(model.negative_seeds.state)}
    for encoder in replicated:
        network = (model.enc0, model.enc1)[encoder]
        same |= {id(variable) for variable in network.variables}
    for variable in model.non_trainable_variables:
        if variable.path.endswith("seed_generator_state") and id(variable) not in same:
            seed, count = variable.numpy()
            seed = (int(seed) + replica * _SEED_STRIDE) % _SEEDS
            variable.assign(np.array([seed, count], variable.dtype))
