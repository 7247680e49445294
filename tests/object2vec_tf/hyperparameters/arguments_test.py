"""Tests of the argument checks, and of the public functions that use them."""

import numpy as np
import pytest

import object2vec_tf as o2v
from export import export_saved_model
from object2vec_tf.hyperparameters.arguments import (
    as_boolean,
    as_gigabytes,
    as_hyperparameters,
    as_integer,
)


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3), 3.0])
def test_a_whole_number_becomes_an_int(value):
    got = as_integer("seed", value)
    assert got == 3
    assert type(got) is int


@pytest.mark.parametrize("value", [-1, 1.5, None, True, "x", float("nan")])
def test_other_values_are_rejected_with_the_name_of_the_argument(value):
    with pytest.raises(o2v.UserError) as raised:
        as_integer("seed", value)
    assert str(raised.value) == f"seed: expected an integer of 0 or more, got {value!r}"


def test_integers_of_more_than_64_bits_are_rejected():
    assert as_integer("k", 2**63 - 1) == 2**63 - 1
    for value in (2**63, 10**400, "9" * 400, "9" * 5000):
        with pytest.raises(o2v.UserError, match="k: expected an integer"):
            as_integer("k", value)


@pytest.mark.parametrize("value", ["yes", "True", 1, 0, None, []])
def test_only_booleans_are_accepted_as_booleans(value):
    with pytest.raises(o2v.UserError, match="deterministic: expected True or False"):
        as_boolean("deterministic", value)
    assert as_boolean("x", np.bool_(True)) is True


@pytest.mark.parametrize(
    "value", [0, -1, float("nan"), float("inf"), -float("inf"), 1e300, "x", None, True]
)
def test_gigabytes_are_finite_and_positive(value):
    with pytest.raises(o2v.UserError, match="cache_limit: expected a number above 0"):
        as_gigabytes("cache_limit", value)
    assert as_gigabytes("cache_limit", 0.5) == 0.5


def test_a_mapping_becomes_hyperparameters(settings, hyperparameters):
    assert as_hyperparameters(settings) == hyperparameters
    assert as_hyperparameters(hyperparameters) is hyperparameters
    with pytest.raises(o2v.HyperparameterError, match="enc_dim: expected"):
        as_hyperparameters(settings | {"enc_dim": -1})
    with pytest.raises(TypeError, match="expected Hyperparameters or a mapping of"):
        as_hyperparameters("settings.json")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"model_dir": ""}, "model_dir: expected the run directory, got an empty path"),
        ({"seed": -1}, "seed: expected an integer of 0 or more, got -1"),
        ({"seed": None}, "seed: expected"),
        ({"deterministic": "yes"}, "deterministic: expected True or False, got 'yes'"),
        ({"overwrite": 1}, "overwrite: expected True or False, got 1"),
        ({"cache_limit": float("inf")}, "cache_limit: expected a number above 0"),
        ({"seed": 1.5}, "seed: expected"),
        ({"max_bad_lines": -1}, "max_bad_lines: expected"),
        ({"auxiliary": "/nope"}, "auxiliary: /nope: no such file or directory"),
        (
            {"negative_sampling_rate": 10**8},
            "negative_sampling_rate: expected at most 1,000,000 pairs per step, got "
            "3,200,000,032: mini_batch_size=32 pairs with 100,000,000 negatives each",
        ),
    ],
)
def test_fit_rejects_arguments_before_it_writes_anything(
    settings, ratings, tmp_path, monkeypatch, arguments, problem
):
    before = sorted(tmp_path.iterdir())
    monkeypatch.chdir(tmp_path)
    arguments = {**ratings, "model_dir": tmp_path / "run", **arguments}
    rate = arguments.pop("negative_sampling_rate", 0)
    settings |= {"negative_sampling_rate": rate}
    with pytest.raises(o2v.UserError) as raised:
        o2v.fit(settings, **arguments)
    assert str(raised.value).startswith(problem)
    assert sorted(tmp_path.iterdir()) == before


def test_read_pairs_and_dataset_check_arguments_like_fit(settings, ratings):
    pairs = o2v.read_pairs(ratings["test"], settings, max_bad_lines=np.int64(1))
    assert pairs.hyperparameters == o2v.Hyperparameters(**settings)
    with pytest.raises(o2v.UserError, match=r"^max_bad_lines: expected"):
        o2v.read_pairs(ratings["test"], settings, max_bad_lines=-1)
    for size in (0, -3, 1.5):
        with pytest.raises(o2v.UserError, match=r"^batch_size: .* of 1 or more"):
            pairs.dataset(size)
    for name in ("seed", "epoch", "bucket_width"):
        with pytest.raises(o2v.UserError, match=rf"^{name}: .* got -1"):
            pairs.dataset(**{name: -1})
    assert len(pairs.dataset(np.int64(25))) == 2


@pytest.mark.parametrize("path", [5, None, b"x", True, ["a"]])
def test_paths_are_strings_or_paths(settings, ratings, path):
    model = o2v.Object2Vec(settings | {"enc1_vocab_size": 12})
    for call in (
        lambda: o2v.load(path),
        lambda: export_saved_model(model, path),
        lambda: o2v.read_pairs(ratings["test"], settings, cache_dir=path or 0),
        lambda: export_saved_model(model, "export", items=path or 0),
    ):
        with pytest.raises(o2v.UserError, match="expected a path, got"):
            call()


def test_the_types_of_other_options_are_checked(settings, ratings):
    model = o2v.Object2Vec(settings | {"enc1_vocab_size": 12})
    for tokenizers in (5, None, (1, 2), (None,)):
        with pytest.raises(o2v.UserError, match=r"^tokenizers: expected"):
            o2v.read_pairs(ratings["test"], settings, tokenizers=tokenizers)
    with pytest.raises(o2v.UserError, match=r"^metrics: expected"):
        export_saved_model(model, "export", metrics=5)
    with pytest.raises(o2v.UserError, match=r"^model: expected"):
        export_saved_model(5, "export")
    for k in (2.5, "3x", True, 0):
        with pytest.raises(o2v.UserError, match=r"^k: expected a number of items"):
            export_saved_model(model, "export", items=ratings["test"], k=k)
