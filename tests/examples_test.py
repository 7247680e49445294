"""Tests that the flagfiles in examples/ are valid and documented."""

import copy
from pathlib import Path

import pytest
from absl import flags

from object2vec_tf import tune
from object2vec_tf.commands.flags import hyperparameters_from_flags
from tools.benchmarks.measured import settings

assert tune.main  # imported for its flags, which movielens_tune.flags uses

FOLDER = Path(__file__).parents[1] / "examples"
EXAMPLES = sorted(FOLDER.rglob("*.flags"))


def hyperparameters_of(path):
    values = copy.deepcopy(flags.FLAGS)
    values.unparse_flags()
    # The size comes from the vocabulary file, which does not exist in the tests.
    text = " ".join(settings(path))
    sizes = [
        f"--{name}_vocab_size=100"
        for name in ("enc0", "enc1")
        if f"{name}_vocab" in text
    ]
    values(["fit", f"--flagfile={path}", *sizes])
    return hyperparameters_from_flags(values)


@pytest.mark.filterwarnings("ignore:Inconsistent enc_dim:UserWarning")
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_valid_and_states_the_expected_result(path):
    hyperparameters_of(path)
    lines = path.read_text(encoding="utf-8").splitlines()
    comments = [line for line in lines if line.startswith("#")]
    name = path.relative_to(FOLDER.parent).as_posix()
    assert any(f"--flagfile={name}" in line for line in comments)
    assert any(line.startswith("# Expect:") for line in comments)


@pytest.mark.filterwarnings("ignore:Inconsistent enc_dim:UserWarning")
def test_aws_examples_have_the_settings_of_the_notebooks():
    folder = FOLDER
    rating = hyperparameters_of(folder / "movielens_rating_aws.flags")
    shown = (rating.enc_dim, rating.mlp_layers, rating.mlp_dim, rating.mlp_activation)
    assert shown == (1024, 1, 256, "tanh")
    assert (rating.learning_rate, rating.mini_batch_size) == (0.001, 64)
    recommendation = hyperparameters_of(folder / "movielens_recommendation_aws.flags")
    shown = (recommendation.enc_dim, recommendation.mlp_dim)
    assert shown == (2048, 1024)
    assert recommendation.mini_batch_size == 2048
    for hyperparameters in (rating, recommendation):
        assert hyperparameters.optimizer == "adam"
        assert hyperparameters.epochs == 20
        assert hyperparameters.weight_decay == 0
        assert hyperparameters.dropout == 0
        assert hyperparameters.token_embedding_storage_type == "dense"
