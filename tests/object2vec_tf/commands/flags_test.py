"""Tests of the hyperparameters that the command line gives."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from absl import flags
from absl.testing import flagsaver

from object2vec_tf.commands.flags import hyperparameters_from_flags
from object2vec_tf.errors import HyperparameterError, UserError
from object2vec_tf.hyperparameters import Hyperparameters, specifications

REQUIRED = ("--enc0_max_seq_len=10", "--enc0_vocab_size=50")


@pytest.fixture(autouse=True)
def _restore_flags() -> Iterator[None]:
    with flagsaver.flagsaver():
        yield
    flags.FLAGS.unparse_flags()


def parsed(*arguments: str) -> Hyperparameters:
    assert flags.FLAGS(["command", *arguments]) == ["command"]
    return hyperparameters_from_flags()


def test_flags_become_typed_hyperparameters():
    got = parsed(*REQUIRED, "--epochs=3", "--learning_rate", "1e-3", "--enc0_layers=2")
    assert got == Hyperparameters(
        enc0_max_seq_len=10,
        enc0_vocab_size=50,
        epochs=3,
        learning_rate=0.001,
        enc0_layers=2,
    )


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("--tied_token_embedding_weight", True),
        ("--tied_token_embedding_weight=True", True),
        ("--tied_token_embedding_weight=true", True),
        ("--tied_token_embedding_weight=False", False),
        ("--notied_token_embedding_weight", False),
        ("--epochs=30", False),
    ],
)
def test_a_boolean_flag_may_have_a_value(argument: str, expected: bool):
    assert parsed(*REQUIRED, argument).tied_token_embedding_weight is expected


def test_a_boolean_that_is_true_by_default_can_be_negated():
    got = parsed(*REQUIRED, "--noenc0_freeze_pretrained_embedding")
    assert got.enc0_freeze_pretrained_embedding is False


def test_the_last_value_of_flagfile_and_flags_is_used(tmp_path: Path):
    path = tmp_path / "x.flags"
    path.write_text("# a comment\n" + "\n".join(REQUIRED) + "\n\n--epochs=3\n")
    assert parsed(f"--flagfile={path}").epochs == 3
    assert parsed(f"--flagfile={path}", "--epochs=4").epochs == 4
    assert parsed("--epochs=4", f"--flagfile={path}").epochs == 3


def test_a_flag_overrides_the_hyperparameters_file(tmp_path: Path):
    path = tmp_path / "hyperparameters.json"
    values = {"enc0_max_seq_len": "10", "enc0_vocab_size": "50", "epochs": "3"}
    path.write_text(json.dumps({**values, "_kvstore": "device", "dropout": "0.5"}))
    got = parsed(f"--hyperparameters={path}", "--epochs=4")
    assert (got.enc0_vocab_size, got.epochs, got.dropout) == (50, 4, 0.5)


def test_a_missing_hyperparameters_file_is_reported():
    with pytest.raises(UserError, match=r"/no/such.json: cannot be read: No such"):
        parsed("--hyperparameters=/no/such.json")


def test_all_invalid_flags_are_reported_together():
    with pytest.raises(HyperparameterError) as raised:
        parsed("--enc0_vocab_size=1", "--epochs=x", "--enc0_max_seq_len=")
    for name in ("enc0_vocab_size", "epochs", "enc0_max_seq_len"):
        assert f"{name}: expected an integer in " in str(raised.value)


def test_a_misspelled_flag_is_rejected_with_a_suggestion():
    with pytest.raises(flags.UnrecognizedFlagError, match="Did you mean: epochs"):
        flags.FLAGS(["command", "--epoch=3"])


@pytest.mark.parametrize("argument", ["--seed=-1", "--max_bad_lines=-1", "--seed=x"])
def test_negative_numbers_are_rejected(argument: str):
    with pytest.raises(flags.IllegalFlagValueError):
        flags.FLAGS(["command", argument])


def test_every_hyperparameter_has_a_flag_whose_help_shows_range_and_default():
    for name, specification in specifications().items():
        text = flags.FLAGS[name].help
        assert specification.kind.valid in text
        assert "(default: " in text or text.endswith("(required)")


@pytest.mark.parametrize(
    ("name", "ending"),
    [
        ("epochs", "an integer in 1..100 (default: 30)"),
        ("enc0_vocab_size", "an integer in 2..2147483647 (required)"),
        (
            "enc1_vocab_size",
            "(default: value of enc0 if enc1_network=enc0, otherwise required)",
        ),
        (
            "enc1_layers",
            "(default: value of enc0 if enc1_network=enc0, otherwise auto)",
        ),
        ("enc1_network", "(default: enc0)"),
    ],
)
def test_the_help_of_a_flag_ends_with_its_default(name: str, ending: str):
    assert flags.FLAGS[name].help.endswith(ending)
