"""Tests of object2vec_tf/tuning/dimensions.py: ranges of single hyperparameters."""

import optuna
import pytest

from object2vec_tf.hyperparameters import specifications
from object2vec_tf.tuning.dimensions import (
    Choices,
    Numbers,
    parse_dimension,
    tunable_dimension,
)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("learning_rate", "1e-4..1e-2", Numbers(1e-4, 1e-2, False, True)),
        ("dropout", " 0 .. 0.5 ", Numbers(0.0, 0.5, False, False)),
        ("enc_dim", "32|64", Choices((32, 64))),
        ("mlp_activation", "tanh|relu", Choices(("tanh", "relu"))),
    ],
)
def test_a_written_range_is_parsed(name, text, expected):
    assert parse_dimension(specifications()[name], text) == expected


@pytest.mark.parametrize("text", ["0.5..0.1", "0.1", "0.1|0.1", "a..b"])
def test_an_invalid_range_is_an_error(text):
    with pytest.raises(ValueError, match="expected"):
        parse_dimension(specifications()["dropout"], text)


def test_the_tunable_range_is_that_of_aws():
    # https://docs.aws.amazon.com/sagemaker/latest/dg/object2vec-tuning.html
    activation = tunable_dimension(specifications()["mlp_activation"])
    assert activation == Choices(("tanh", "relu", "linear"))
    learning_rate = tunable_dimension(specifications()["learning_rate"])
    assert isinstance(learning_rate, Numbers)
    assert (learning_rate.low, learning_rate.high) == (1e-6, 1.0)
    assert tunable_dimension(specifications()["temperature"]) is None


def test_a_logarithmic_range_from_0_starts_at_a_millionth_of_its_end():
    assert Numbers(0, 0.5, False, True).lowest == 0.5e-6
    assert Numbers(0, 0.5, False, False).lowest == 0


def test_contains_includes_both_ends():
    numbers = Numbers(0.1, 0.3, False, False)
    assert [numbers.contains(value) for value in (0.09, 0.1, 0.3, 0.31, "tanh")] == [
        False,
        True,
        True,
        False,
        False,
    ]
    assert Choices((32, 64)).contains(32)
    assert not Choices((32, 64)).contains(48)


def test_real_numbers_have_four_significant_digits():
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    numbers = Numbers(0.1, 0.3, False, False)
    for _ in range(20):
        value = numbers.suggest(study.ask(), "dropout")
        assert value == float(f"{value:.4g}")
        assert 0.1 <= value <= 0.3
