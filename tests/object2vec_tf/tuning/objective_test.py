"""Tests of object2vec_tf/tuning/objective.py: SageMaker's names of metrics."""

import pytest

from object2vec_tf import Hyperparameters
from object2vec_tf.errors import UserError
from object2vec_tf.tuning.objective import parse_objective

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
def test_a_name_gives_channel_metric_and_direction(name, settings, direction):
    objective = parse_objective(name, Hyperparameters(**BASE, **settings), CHANNELS)
    assert (str(objective), objective.direction) == (name, direction)
    metric = name.partition(":")[2]
    metrics = {"train": {metric: 1}, "validation": {metric: 2}, "test": {metric: 3}}
    expected = {"train": 1.0, "validation": 2.0, "test": 3.0}[objective.channel]
    assert objective.run_value(metrics) == expected
    logs = {metric: 1.0, f"val_{metric}": 2.0}
    epoch_value = None if objective.channel == "test" else expected
    assert objective.epoch_value(logs) == epoch_value


def test_the_default_is_the_validation_loss():
    hyperparameters = Hyperparameters(**BASE)
    objective = parse_objective(None, hyperparameters, CHANNELS)
    assert str(objective) == "validation:cross_entropy"


def test_an_invalid_name_is_rejected_with_the_valid_names():
    hyperparameters = Hyperparameters(**BASE)
    with pytest.raises(UserError, match="expected one of validation:cross_entropy, v"):
        parse_objective("validation:mean_squared_error", hyperparameters, CHANNELS)
    with pytest.raises(UserError, match=r"needs a validation channel\. Give --v"):
        parse_objective("validation:accuracy", hyperparameters, ("train",))
