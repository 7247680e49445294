"""The configuration of TensorBoard's HParams tab for a study.

The logs of each trial contain its values and results. The configuration, in the study's
directory, says which of them the tab shows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams

from object2vec_tf.files.tensorflow_paths import tensorflow_path
from object2vec_tf.training.tensorboard import result_tag
from object2vec_tf.tuning.dimensions import Choices, Dimension, Numbers
from object2vec_tf.tuning.objective import Objective
from object2vec_tf.tuning.search_space import SearchSpace


def write_experiment(directory: Path, space: SearchSpace, objective: Objective) -> None:
    """Writes the columns of the HParams tab, unless they are written already."""
    if any(directory.glob("events.out.tfevents.*")):
        return
    columns = [
        hparams.HParam(name, _domain(dimension, getattr(space.base, name)))
        for name, dimension in space.dimensions.items()
    ]
    tag = result_tag(objective.channel, objective.metric)
    metrics = [hparams.Metric(tag, display_name=str(objective))]
    with tensorflow_path(directory) as path:
        writer = tf.summary.create_file_writer(path)
        with writer.as_default():
            hparams.hparams_config(columns, metrics)
        writer.close()


def _domain(
    dimension: Dimension, given: Any
) -> hparams.Discrete | hparams.IntInterval | hparams.RealInterval:
    """Returns the values that trials can have: the range and the given value."""
    if isinstance(dimension, Choices):
        return hparams.Discrete({*dimension.choices, given})
    assert isinstance(dimension, Numbers)
    low, high = min(dimension.lowest, given), max(dimension.high, given)
    if dimension.is_integer:
        return hparams.IntInterval(int(low), int(high))
    return hparams.RealInterval(float(low), float(high))
