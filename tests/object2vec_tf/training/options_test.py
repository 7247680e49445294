import dataclasses
import typing
from pathlib import Path

import numpy as np
import pytest

from object2vec_tf.errors import UserError
from object2vec_tf.training.options import (
    FitKeywords,
    FitOptions,
    RunKeywords,
    RunOptions,
)

NUMBERS = ["seed", "max_bad_lines", "checkpoint_seconds"]
each_class = pytest.mark.parametrize("kind", [RunOptions, FitOptions])


@pytest.mark.parametrize(
    ("options", "keywords"), [(RunOptions, RunKeywords), (FitOptions, FitKeywords)]
)
def test_keywords_are_the_fields_with_their_types(options, keywords):
    names = [field.name for field in dataclasses.fields(options)]
    hints = typing.get_type_hints(options)

    assert {name: hints[name] for name in names} == typing.get_type_hints(keywords)
    assert keywords.__required_keys__ == frozenset()


def test_defaults():
    assert dataclasses.asdict(FitOptions()) == {
        "seed": 0,
        "max_bad_lines": 0,
        "export_dir": None,
        "overwrite": False,
        "checkpoint_seconds": 60,
        "cache_dir": None,
        "cache_limit": None,
        "verbose": True,
        "initial_model": None,
        "freeze": (),
        "retrieval_pool": None,
        "batch_layout": "auto",
        "device": "auto",
        "deterministic": False,
        "precision": "float32",
        "items": None,
        "labels": None,
        "strategy": "auto",
        "num_gpus": None,
        "table_placement": "replicated",
        "table_limit": None,
    }


@each_class
@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [7, np.int64(7), 7.0, "7"], ids=repr)
def test_whole_numbers_become_int(kind, name, value):
    number = getattr(kind(**{name: value}), name)

    assert type(number) is int
    assert number == 7


@each_class
@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [-1, 1.5, "seven", True, None], ids=repr)
def test_other_numbers_are_rejected(kind, name, value):
    with pytest.raises(UserError, match=f"^{name}: .*an integer of 0 or more"):
        kind(**{name: value})


def test_parts_to_freeze_are_checked():
    assert RunOptions(freeze="comparator,enc0").freeze == ("enc0", "comparator")
    with pytest.raises(UserError, match=r"^freeze: expected names among enc0, enc1"):
        RunOptions(freeze="encoder")


@each_class
def test_replace_changes_some_options_and_checks_them(kind):
    options = kind(seed=3, cache_dir=Path("cache"))

    changed = options.replace(max_bad_lines="4", verbose=False)

    assert type(changed) is kind
    assert changed == kind(
        seed=3, cache_dir=Path("cache"), max_bad_lines=4, verbose=False
    )
    assert options == kind(seed=3, cache_dir=Path("cache"))
    with pytest.raises(UserError, match="seed: expected"):
        options.replace(seed=-1)


@each_class
def test_options_do_not_change_and_are_given_by_name(kind):
    options = kind()
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.seed = 1
    with pytest.raises(TypeError):
        kind(1)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        (
            "initial_model",
            3,
            "expected a run directory, a .keras file or an Object2Vec",
        ),
        (
            "retrieval_pool",
            ["a"],
            "expected the path of a single file, or a table, got",
        ),
        ("freeze", None, "expected names among enc0, enc1, comparator, got None"),
        ("precision", "half", "expected one of float32, bfloat16, float16, got 'half'"),
    ],
)
def test_wrong_types_are_user_errors(option, value, message):
    with pytest.raises(UserError) as error:
        RunOptions(**{option: value})
    assert str(error.value).startswith(f"{option}: {message}")


@each_class
def test_rejects_an_unknown_layout_of_batches(kind):
    with pytest.raises(UserError, match="batch_layout: expected one of auto, ragged"):
        kind(batch_layout="dense")
