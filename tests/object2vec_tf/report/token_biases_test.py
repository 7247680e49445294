"""Expected values come from numpy's solution of the normal equations."""

import numpy as np
import pytest

from object2vec_tf.report.baselines import baselines
from object2vec_tf.report.token_biases import TokenBiases
from tests.object2vec_tf.report.baselines_test import REGRESSION, read

RANDOM = np.random.default_rng(5)
WORTH = RANDOM.normal(size=9)  # of each token


def histories(count):
    """Pairs of a history, which rarely occurs twice, and an item."""
    for _ in range(count):
        history = RANDOM.integers(0, 9, 3).tolist()
        item = int(RANDOM.integers(0, 9))
        yield history, [item], float(WORTH[history].mean() + WORTH[item])


TRAIN, VALIDATION = list(histories(400)), list(histories(100))


def features(rows):
    """The mean of one-hot tokens of in0, and of in1, ``[rows, 18]``."""
    one_hot = np.eye(9)
    return np.array(
        [[*one_hot[a].mean(axis=0), *one_hot[b].mean(axis=0)] for a, b, _ in rows]
    )


def test_biases_of_tokens_solve_the_normal_equations(tmp_path):
    channels = read(tmp_path, REGRESSION, train=TRAIN, validation=VALIDATION)
    labels = np.array([label for *_, label in TRAIN])
    table, mean = features(TRAIN), labels.mean()
    penalty = np.diag([15.0] * 9 + [10.0] * 9)
    biases = np.linalg.solve(table.T @ table + penalty, table.T @ (labels - mean))
    model = TokenBiases(channels["train"], mean, None)
    np.testing.assert_allclose(
        model(channels["validation"]), mean + features(VALIDATION) @ biases, rtol=1e-5
    )


def test_histories_have_a_baseline_that_is_not_a_constant(tmp_path):
    channels = read(tmp_path, REGRESSION, train=TRAIN, validation=VALIDATION)
    scores = {
        name: channel["validation"]["mean_squared_error"]
        for name, channel in baselines(REGRESSION, channels).items()
    }
    assert list(scores) == ["constant", "biases", "token_biases"]
    assert scores["token_biases"] < 0.5 * scores["biases"]


def test_unknown_tokens_and_empty_objects_have_no_bias(tmp_path):
    train = [([1, 2], [3], 2.0), ([1, 4], [3], 0.0)]
    other = [([8, 7], [6, 5], 1.0), ([], [], 1.0)]
    channels = read(tmp_path, REGRESSION, train=train, validation=other)
    model = TokenBiases(channels["train"], 1.0, None)
    assert model(channels["validation"]).tolist() == pytest.approx([1.0, 1.0])
