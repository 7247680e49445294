"""The copies of a model that learn together, and how they are kept alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from object2vec_tf.distributed.strategies import SingleDevice, Step
from object2vec_tf.model.object2vec import Object2Vec
from object2vec_tf.optimizers.per_replica import update_locally

# Parts the seeds of one replica's dropout from those of the next.
_SEED_STRIDE = 1_000_003
_SEEDS = 1 << 31

# Of each replica, the values of its metrics' variables, float64 [replicas, variables].
States = npt.NDArray[np.float64]


class Replicas:
    """A compiled model on each device of this process.

    All have the same weights and optimizer state at all times, and the same random
    numbers but for dropout's. Metrics are each one's own, over its shares of the
    batches, until they are asked for.

    Args:
        strategy: Where they are.
        build: Makes a compiled model, its optimizer built.
    """

    def __init__(self, strategy: SingleDevice, build: Callable[[], Object2Vec]) -> None:
        self.strategy = strategy
        self.models: list[Object2Vec] = strategy.built(
            build if strategy.replicas == 1 else lambda: _of_several(build())
        )
        self.follow_chief()

    @property
    def model(self) -> Object2Vec:
        """The first of this process; of the chief, what is saved."""
        return self.models[0]

    def stepped(self, name: str) -> Step:
        """Returns what does ``train_step`` or ``test_step`` on all devices here."""
        return self.strategy.stepped([getattr(model, name) for model in self.models])

    def follow_chief(self) -> None:
        """Gives all replicas the weights, slots and random state of the chief's."""
        if self.strategy.replicas == 1:
            return
        first, *others = [_state(model) for model in self.models]
        for i, value in enumerate(_chiefs_values(self.strategy, first)):
            for other in others:
                other[i].assign(value)
        for model, replica in zip(self.models, self.strategy.local, strict=True):
            _part_dropout(model, replica)

    def reset_metrics(self) -> None:
        """Starts all metrics afresh."""
        for model in self.models:
            model.reset_metrics()

    def metric_states(self) -> States:
        """Returns the state of every replica's metrics; all processes must ask."""
        states = np.zeros(
            (self.strategy.replicas, len(self.model.metrics_variables)), np.float64
        )
        for replica, model in zip(self.strategy.local, self.models, strict=True):
            states[replica] = [v.numpy() for v in model.metrics_variables]
        return self.strategy.summed(states)

    def set_metric_states(self, states: States) -> None:
        """Goes on from such states; those of another number of replicas are added."""
        if len(states) != self.strategy.replicas:
            total = states.sum(axis=0)
            states = np.zeros((self.strategy.replicas, len(total)))
            states[0] = total
        for replica, model in zip(self.strategy.local, self.models, strict=True):
            build_metrics(model)
            _assign(model.metrics_variables, states[replica])

    def metrics(self) -> dict[str, float]:
        """Returns the metrics over all that the replicas have seen.

        Each is a mean: its variables are sums over pairs, and add up.
        """
        if self.strategy.replicas == 1:
            return _results(self.model)
        states, variables = self.metric_states(), self.model.metrics_variables
        held = [variable.numpy() for variable in variables]
        _assign(variables, states.sum(axis=0))
        results = _results(self.model)
        _assign(variables, held)
        return results


def from_chief(strategy: SingleDevice, model: Object2Vec) -> None:
    """Gives a model the weights of the chief's; all processes must come here."""
    for _ in _chiefs_values(strategy, [variable.value for variable in model.weights]):
        pass


def build_metrics(model: keras.Model) -> None:
    """Creates a compiled model's metrics, which Keras does when it first needs them."""
    scores = tf.zeros([1, model.hyperparameters.output_dim])
    for metric in model.metrics:
        if not isinstance(metric, keras.metrics.Mean):  # which exists from the start
            metric.update_state(tf.zeros([1]), scores)
    model.reset_metrics()


def _of_several(model: Object2Vec) -> Object2Vec:
    """Returns a model, ready to be one of several."""
    update_locally(model.optimizer)
    # Within a step, their variables would be the strategy's, and of all replicas.
    build_metrics(model)
    return model


def _results(model: keras.Model) -> dict[str, float]:
    results = model.get_metrics_result()
    return {k: float(v) for k, v in results.items() if k != "loss"}


def _assign(variables: Sequence[Any], values: Sequence[Any]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _state(model: Object2Vec) -> list[Any]:
    """Returns the variables that replicas have alike."""
    metrics = {id(variable) for variable in model.metrics_variables}
    own = [v.value for v in model.variables if id(v) not in metrics]
    return own + [v.value for v in model.optimizer.variables]


def _chiefs_values(
    strategy: SingleDevice, variables: Sequence[Any]
) -> Iterator[npt.NDArray[Any]]:
    """Gives variables the values they have at the chief, and yields each."""
    for variable in variables:
        value = variable.numpy()
        if strategy.workers > 1:
            # Of a type that can be summed over processes.
            sent = value if value.dtype.kind == "f" else value.astype(np.int64)
            sent = sent if strategy.is_chief else np.zeros_like(sent)
            value = strategy.summed(sent).astype(value.dtype)
            variable.assign(value)
        yield value


def _part_dropout(model: Object2Vec, replica: int) -> None:
    """Sets apart the random numbers of a replica's dropout from the chief's.

    What all replicas do alike with the whole batch draws the same on all.
    """
    alike = {id(model.negative_seeds.state)}
    for encoder in model.encoders_of_whole_batches:
        network = (model.enc0, model.enc1)[encoder]
        alike |= {id(variable) for variable in network.variables}
    for variable in model.non_trainable_variables:
        if variable.path.endswith("seed_generator_state") and id(variable) not in alike:
            seed, count = variable.numpy()
            seed = (int(seed) + replica * _SEED_STRIDE) % _SEEDS
            variable.assign(np.array([seed, count], variable.dtype))
