"""Times real epochs of Object2Vec: fresh batches, laid out while earlier ones train."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tools.benchmarks.gpu_parts.child import Task, Variant, report, wait_for_go
from tools.benchmarks.gpu_parts.works import Work, load, make_pairs

# Groups of batches, or batches, that are trained on repeatedly to see what the input
# pipeline costs.
_REPEATED = 16


class RepeatedGroups:
    """Some groups of an epoch in the static layout, again and again.

    Args:
        epoch: The batches of an epoch, as the execution returns them.
        groups: The first groups of the epoch.
        steps: Minimum number of batches.
    """

    def __init__(self, epoch: Any, groups: list[Any], steps: int) -> None:
        self.groups = self
        self.pairs = epoch.groups.pairs
        self.menu = epoch.groups.menu
        self._groups = groups
        self._rounds = -(-steps // sum(group.count for group in groups))
        self.batches = self._rounds * sum(group.count for group in groups)

    def __len__(self) -> int:
        """Returns the number of batches."""
        return self.batches

    def __iter__(self) -> Iterator[Any]:
        """Yields the groups."""
        for _ in range(self._rounds):
            yield from self._groups


def repeated(epoch: Any, steps: int) -> Any:
    """Returns some batches of an epoch, repeated without the work of the pipeline."""
    import tensorflow as tf

    if isinstance(epoch, tf.data.Dataset):
        count = min(_REPEATED, len(epoch))
        cached = epoch.take(count).cache()
        for _ in cached:
            pass
        rounds = -(-steps // count)
        many = cached.repeat(rounds).prefetch(4)
        return many.apply(tf.data.experimental.assert_cardinality(rounds * count))
    groups = [group for group, _ in zip(epoch.groups, range(_REPEATED), strict=False)]
    return RepeatedGroups(epoch, groups, steps)


def measure(
    work: Work, data: Any, seconds: float, layout: str, policy: str
) -> Mapping[str, Any]:
    """Returns the rate of training, and the share of it that waits for batches."""
    import keras

    from object2vec_tf.distributed.replicas import Replicas
    from object2vec_tf.distributed.strategies import SingleDevice
    from object2vec_tf.training.batch_layout import make_execution
    from tools.benchmarks.training import compiled_model, training_loop

    pairs = make_pairs(work, data)
    keras.config.set_dtype_policy(policy)
    model = compiled_model(pairs.hyperparameters)
    replicas = Replicas(SingleDevice(), lambda: model)
    compilations: list[str] = []
    execution = make_execution(layout, replicas, compilations.append)
    loop = training_loop(execution)

    def epoch(number: int) -> Any:
        return execution.batches(pairs, shuffle=True, seed=0, epoch=number)

    def train(batches: Any) -> tuple[float, int]:
        start = time.perf_counter()
        loop.train(batches)
        return time.perf_counter() - start, len(batches)

    first, steps = train(epoch(0))
    spent, epochs = 0.0, 0
    while spent < seconds or not epochs:
        epochs += 1
        spent += train(epoch(epochs))[0]
    per_step = spent / (epochs * steps)
    without = repeated(epoch(0), min(max(1, int(seconds / 2 / per_step)), steps))
    train(without)
    cached, made = train(without)
    return {
        "pairs_per_second": epochs * len(pairs) / spent,
        "milliseconds": 1e3 * per_step,
        "first_pass_seconds": first,
        "waiting": max(0.0, 1 - cached / made / per_step),
        "programs": len(getattr(execution, "_programs", ())),
        "epochs": epochs,
        "steps": steps,
    }


def main() -> None:
    """Runs the part."""
    import object2vec_tf.training.batch_layout  # noqa: F401  before the wait

    task = Task.from_arguments()
    work = task.sized_work()
    data = load(Path(task.data))
    wait_for_go()

    def variant(policy: str) -> Variant:
        return lambda: measure(work, data, task.seconds, task.layout, policy)

    if task.layout == "ragged":
        report({"ours, ragged": variant("float32")})
    else:
        variants = {"ours": "float32", "ours, bfloat16": "mixed_bfloat16"}
        report({name: variant(policy) for name, policy in variants.items()})


if __name__ == "__main__":
    main()
