"""What TensorBoard's HParams tab is told of a study as a whole.

Each trial's own logs hold its values and results; this says which the tab shows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams

from object2vec_tf.tuning.dimensions import Choices, Dimension, Numbers
from object2vec_tf.tuning.objective import Objective
from object2vec_tf.tuning.search_space import SearchSpace


def write_experiment(directory: Path, space: SearchSpace, objective: Objective) -> None:
    """Writes the columns of the HParams tab, where they are not written yet."""
    if any(directory.glob("events.out.tfevents.*")):
        return
    columns = [
        hparams.HParam(name, _domain(dimension, getattr(space.base, name)))
        for name, dimension in space.dimensions.items()
    ]
    tag = f"{objective.channel}_{objective.metric}"
    metrics = [hparams.Metric(tag, display_name=str(objective))]
    writer = tf.summary.create_file_writer(str(directory))
    with writer.as_default():
        hparams.hparams_config(columns, metrics)
    writer.close()


def _domain(
    dimension: Dimension, given: Any
) -> hparams.Discrete | hparams.IntInterval | hparams.RealInterval:
    """Returns all values of the trials: those drawn, and the one that was given."""
    if isinstance(dimension, Choices):
        return hparams.Discrete({*dimension.choices, given})
    assert isinstance(dimension, Numbers)
    low, high = min(dimension.lowest, given), max(dimension.high, given)
    if dimension.is_whole:
        return hparams.IntInterval(int(low), int(high))
    return hparams.RealInterval(float(low), float(high))
