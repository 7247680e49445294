import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from object2vec_tf.metrics.auc import LogOddsAUC


def exact_auc(labels, log_odds, weights):
    """Compares each pair of class 1 with each of class 0."""
    higher = log_odds[labels == 1][:, np.newaxis] - log_odds[labels == 0]
    products = weights[labels == 1][:, np.newaxis] * weights[labels == 0]
    return np.average((np.sign(higher) + 1) / 2, weights=products)


def probabilities(log_odds):
    return np.stack([1 / (1 + np.exp(x)) for x in (log_odds, -log_odds)], axis=1)


@pytest.mark.parametrize(
    ("center", "spread"),
    [(0, 1), (0, 1e-3), (-7, 0.5), (12, 3), (-60, 10), (0, 30)],
)
@pytest.mark.parametrize("weighted", [False, True])
def test_equals_the_comparison_of_all_pairs(center, spread, weighted):
    generator = np.random.default_rng(5)
    labels = generator.integers(0, 2, 1500)
    log_odds = center + spread * (generator.normal(size=1500) + 0.7 * labels)
    weights = generator.integers(0, 4, 1500) / 2 if weighted else np.ones(1500)
    scores = probabilities(log_odds).astype(np.float32)
    metric = LogOddsAUC()
    for rows in np.array_split(np.arange(1500), [64, 65, 700]):
        metric.update_state(
            labels[rows], scores[rows], weights[rows] if weighted else None
        )
    expected = exact_auc(labels, log_odds, weights)
    assert float(metric.result()) == pytest.approx(expected, abs=1e-4)
    in_graph = tf.function(metric.result, autograph=False)()
    assert float(in_graph) == pytest.approx(expected, abs=1e-4)


def test_ties_count_half_and_probabilities_of_0_and_1_are_extremes():
    # Pairs of class 1 and 0 compare as 1 > .5, 1 = 1, 0 < .5, 0 < 1.
    scores = [[0.0, 1.0], [1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]
    metric = LogOddsAUC()
    metric.update_state([1, 1, 0, 0], scores)
    assert float(metric.result()) == pytest.approx((1 + 0.5 + 0 + 0) / 4)


def test_one_class_has_no_auc_and_nan_scores_do_not_fail():
    metric = LogOddsAUC()
    metric.update_state([1, 1], [[0.4, 0.6], [np.nan, np.nan]])
    assert math.isnan(float(metric.result()))
    metric.reset_state()
    assert not np.any(metric.histogram.numpy())


def test_is_saved_with_a_model():
    config = keras.saving.serialize_keras_object(LogOddsAUC())
    assert config["registered_name"] == "object2vec_tf>LogOddsAUC"
    assert keras.saving.deserialize_keras_object(config).name == "auc"
