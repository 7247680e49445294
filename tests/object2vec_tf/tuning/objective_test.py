"""Tests of object2vec_tf/tuning/objective.py: SageMaker's names of metrics."""

import math

import numpy as np
import pytest

from object2vec_tf import Hyperparameters
from object2vec_tf.data.pairs import Pairs, Report
from object2vec_tf.errors import UserError
from object2vec_tf.ragged.column import RaggedColumn
from object2vec_tf.tuning.objective import Objective, parse_objective

BASE = {"enc0_max_seq_len": 5, "enc0_vocab_size": 50}
CHANNELS = ("train", "validation", "test")


@pytest.mark.parametrize(
    ("name", "settings", "direction"),
    [
        ("validation:cross_entropy", {}, "minimize"),
        ("validation:accuracy", {}, "maximize"),
        ("test:accuracy", {}, "maximize"),
        ("validation:auc", {}, "maximize"),
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
        ("validation:hits@10", {}, "maximize"),
        ("test:recall@10", {}, "maximize"),
        ("validation:mean_rank", {}, "minimize"),
    ],
)
def test_a_name_gives_channel_metric_and_direction(name, settings, direction):
    hyperparameters = Hyperparameters(**BASE, **settings)
    objective = parse_objective(name, hyperparameters, CHANNELS, has_pool=True)
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
    classes = Hyperparameters(**BASE, num_classes=3)
    with pytest.raises(UserError, match="got 'validation:auc'"):
        parse_objective("validation:auc", classes, CHANNELS)
    with pytest.raises(UserError, match=r"needs a validation channel\. Give --v"):
        parse_objective("validation:accuracy", hyperparameters, ("train",))


def test_retrieval_measures_need_a_pool():
    hyperparameters = Hyperparameters(**BASE)
    with pytest.raises(UserError, match=r"needs a pool .*\. Give --retrieval_pool"):
        parse_objective("validation:hits@1", hyperparameters, CHANNELS)
    with pytest.raises(UserError, match=r"expected one of .*, validation:hits@10, val"):
        parse_objective("train:hits@1", hyperparameters, CHANNELS, has_pool=True)


@pytest.mark.parametrize(
    ("objective", "metric", "expected"),
    [
        ("pairs", "hits@1", False),
        ("in_batch_softmax", "hits@1", True),
        ("in_batch_softmax", "in_batch_accuracy", True),
        ("in_batch_softmax", "accuracy", False),
    ],
)
def test_the_in_batch_softmax_does_not_use_the_comparator(objective, metric, expected):
    hyperparameters = Hyperparameters(**BASE, objective=objective)
    found = Objective("validation", metric).uses_encoders_only(hyperparameters)
    assert found is expected


def test_auc_needs_pairs_of_both_classes():
    hyperparameters = Hyperparameters(**BASE)
    column = RaggedColumn.from_rows([[1], [2]])

    def channels(labels):
        report = Report((), {}, {}, (), {}, "")
        pairs = Pairs(column, column, np.array(labels), hyperparameters, report)
        return {"validation": pairs}

    objective = parse_objective("validation:auc", hyperparameters, CHANNELS)
    objective.check_labels(channels([0, 1]))
    with pytest.raises(UserError, match="validation:auc needs validation pairs of cl"):
        objective.check_labels(channels([1, 1]))
    assert math.isnan(objective.run_value({"validation": {"accuracy": 1.0}}))
