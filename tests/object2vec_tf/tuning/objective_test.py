"""Tests of object2vec_tf/tuning/objective.py: AWS's names of metrics."""

import pytest

from object2vec_tf import Hyperparameters
from object2vec_tf.errors import UserError
from object2vec_tf.tuning.objective import objective_named

BASE = {"enc0_max_seq_len": 5, "enc0_vocab_size": 50}
CHANNELS = ("train", "validation", "test")


@pytest.mark.parametrize(
    ("name", "settings", "direction"),
    [
        ("validation:cross_entropy", {}, "minimize"),
        ("validation:accuracy", {}, "maximize"),
        ("test:accuracy", {}, "maximize"),
        (
            "train:mean_squared_error",
            {"output_layer": "mean_squared_error"},
            "minimize",
        ),
        (
            "validation:in_batch_cross_entropy",
            {"objective": "in_batch_softmax"},
            "minimize",
        ),
    ],
)
def test_the_name_tells_channel_metric_and_direction(name, settings, direction):
    objective = objective_named(name, Hyperparameters(**BASE, **settings), CHANNELS)
    assert (str(objective), objective.direction) == (name, direction)
    metric = name.partition(":")[2]
    metrics = {"train": {metric: 1}, "validation": {metric: 2}, "test": {metric: 3}}
    of_channel = {"train": 1.0, "validation": 2.0, "test": 3.0}[objective.channel]
    assert objective.of_run(metrics) == of_channel
    logs = {metric: 1.0, f"val_{metric}": 2.0}
    of_epoch = None if objective.channel == "test" else of_channel
    assert objective.of_epoch(logs) == of_epoch


def test_without_a_name_it_is_the_validation_loss():
    hyperparameters = Hyperparameters(**BASE)
    objective = objective_named(None, hyperparameters, CHANNELS)
    assert str(objective) == "validation:cross_entropy"


def test_other_names_are_told_with_those_there_are():
    hyperparameters = Hyperparameters(**BASE)
    with pytest.raises(UserError, match="expected one of validation:cross_entropy, v"):
        objective_named("validation:mean_squared_error", hyperparameters, CHANNELS)
    with pytest.raises(UserError, match="needs a validation channel; give --valid"):
        objective_named("validation:accuracy", hyperparameters, ("train",))
