"""Tests of object2vec_tf/tuning/search_space.py: ranges and sampled settings."""

import warnings

import optuna
import pytest

from object2vec_tf.errors import UserError
from object2vec_tf.hyperparameters import specifications
from object2vec_tf.tuning.dimensions import Choices, Numbers
from object2vec_tf.tuning.objective import Objective
from object2vec_tf.tuning.search_space import search_space

BASE = {"enc0_max_seq_len": 5, "enc0_vocab_size": 50}
WORDS = {
    "network": "pooled_embedding",
    "tokenizer": "whitespace",
    "vocab_file": "words.json",
    "vocab_size": 50,
    "max_seq_len": 5,
    "subword_ngrams": "3..6",
    "subword_buckets": 30,
}
LOSS = Objective("validation", "cross_entropy")


@pytest.fixture(autouse=True)
def _quiet():
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(before)


def sample(space, count=60):
    """The settings of the trials after the first one, sampled at random."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=3))
    study.tell(study.ask(), 0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return [space.sample(study.ask()) for _ in range(count)]


def test_the_default_is_every_tunable_hyperparameter_that_is_not_given():
    space = search_space({**BASE, "dropout": "0.2", "enc0_layers": None}, None, LOSS)
    tuned = {name for name, field in specifications().items() if field.tunable}
    assert {*space.dimensions} == {
        name for name in tuned - {"dropout"} if not name.startswith("enc1_")
    }
    assert space.describe()["enc_dim"] == "4..4096"
    assert space.describe()["mlp_activation"] == "tanh|relu|linear"


def test_hyperparameters_without_an_effect_are_not_searched():
    pooled = {**BASE, "enc0_network": "pooled_embedding"}
    space = search_space({**pooled, "mlp_layers": 0}, None, LOSS)
    assert not [name for name in space.dimensions if name.startswith("enc0_")]
    assert not [name for name in space.dimensions if name.startswith("mlp_")]
    own = {"enc1_network": "bilstm", "enc1_max_seq_len": 5, "enc1_vocab_size": 50}
    searched = {*search_space({**pooled, **own}, None, LOSS).dimensions}
    assert {"enc1_layers", "enc1_token_embedding_dim"} <= searched
    assert "enc1_cnn_filter_width" not in searched
    of_encoders = Objective("validation", "in_batch_cross_entropy")
    in_batch = {**BASE, "objective": "in_batch_softmax"}
    searched = {*search_space(in_batch, None, of_encoders).dimensions}
    assert "dropout" in searched
    assert not searched & {"mlp_dim", "mlp_layers", "mlp_activation"}


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"enc_dim": 60},
        {"enc0_network": "bilstm"},
        {"negative_sampling_rate": 5},
        {"enc0_token_embedding_dim": 30, "enc1_token_embedding_dim": 30},
        {"enc0_network": "pooled_embedding", "enc0_token_embedding_dim": 4096},
        {
            "enc1_network": "pooled_embedding",
            "enc1_max_seq_len": 5,
            "enc1_vocab_size": 50,
            "tied_token_embedding_weight": True,
            "enc0_token_embedding_dim": 500,
            "enc_dim": 500,
        },
        {
            "enc1_network": "bilstm",
            "enc1_max_seq_len": 5,
            "enc1_vocab_size": 50,
            "tied_token_embedding_weight": True,
        },
    ],
)
def test_no_sampled_settings_break_a_rule(given):
    for hyperparameters in sample(search_space({**BASE, **given}, None, LOSS)):
        layers = hyperparameters.enc0_layers
        if hyperparameters.enc0_network == "hcnn":
            assert hyperparameters.enc_dim % layers == 0
        if given.get("negative_sampling_rate"):
            assert hyperparameters.mini_batch_size >= 2


def test_tied_embeddings_have_the_width_of_the_pooled_encoder():
    given = {
        **BASE,
        "enc1_network": "pooled_embedding",
        "enc1_max_seq_len": 5,
        "enc1_vocab_size": 50,
        "tied_token_embedding_weight": True,
        "enc0_token_embedding_dim": 500,
        "enc_dim": 500,
    }
    widths = {
        hyperparameters.enc0_token_embedding_dim == hyperparameters.enc_dim <= 1000
        for hyperparameters in sample(search_space(given, "enc_dim,enc0_layers", LOSS))
    }
    assert widths == {True}


def test_tied_embeddings_have_the_ngrams_of_enc0():
    given = {
        **{f"enc{i}_{name}": value for i in (0, 1) for name, value in WORDS.items()},
        "tied_token_embedding_weight": True,
    }
    wanted = "enc0_subword_ngrams=3..4|4..5,enc0_subword_buckets=10..20"
    space = search_space(given, wanted, LOSS)
    settings = sample(space, 20)
    assert len({hp.enc1_subword_ngrams for hp in settings}) == 2
    assert all(hp.subwords(0) == hp.subwords(1) for hp in settings)
    with pytest.raises(UserError, match=r"enc1_subword_buckets: tied.* takes enc0's"):
        search_space(given, "enc1_subword_buckets=10..20", LOSS)


def test_written_ranges_are_parsed_and_sampled():
    space = search_space(
        {**BASE, "enc0_network": "pooled_embedding", "dropout": 0.9},
        "learning_rate=1e-4..1e-2, dropout=0.1..0.3,enc_dim=32|64,temperature=1..2",
        LOSS,
    )
    assert space.dimensions["learning_rate"] == Numbers(1e-4, 1e-2, False, True)
    assert space.dimensions["enc_dim"] == Choices((32, 64))
    sampled = sample(space)
    assert all(0.1 <= settings.dropout <= 0.3 for settings in sampled)
    assert {settings.enc_dim for settings in sampled} == {32, 64}
    # On a logarithmic scale, half of the rates are below the geometric mean.
    low = sum(settings.learning_rate < 1e-3 for settings in sampled)
    assert 15 < low < 45


def test_the_first_trial_has_the_given_settings_even_outside_the_ranges():
    given = {**BASE, "enc_dim": 64, "dropout": 0.9}
    space = search_space(given, "dropout=0..0.5,learning_rate", LOSS)
    trial = optuna.create_study().ask()
    first = space.sample(trial)
    assert (first.dropout, first.enc_dim, first.learning_rate) == (0.9, 64, 0.0004)
    assert space.first_trial_values() == {"learning_rate": 0.0004}
    assert {*trial.params} == {"learning_rate"}


def test_given_settings_that_are_not_searched_stay():
    space = search_space({**BASE, "learning_rate": 0.3}, "dropout", LOSS)
    assert {settings.learning_rate for settings in sample(space, 5)} == {0.3}


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("learning_rat", "'learning_rat' is not a hyperparameter: did you mean"),
        ("temperature", "temperature: AWS does not tune it. Give a range"),
        ("dropout=0..3", "dropout: expected a number in 0..1, got '3'"),
        ("dropout=0.4..0.3", "dropout: expected the lower number first"),
        ("mlp_activation=tanh", "mlp_activation: expected LOW..HIGH or ONE|ANOTHER"),
        ("mlp_activation=a|b", "mlp_activation: expected one of tanh, relu, linear"),
        ("dropout,dropout", "dropout: is named twice"),
        ("enc1_layers", "enc1_layers: enc1_network=enc0 takes every enc0 value"),
        ("pooling=mean|sqrtn", "pooling: no encoder is a pooled_embedding"),
        ("", "'' is not a hyperparameter"),
    ],
)
def test_an_invalid_search_is_rejected(wanted, message):
    with pytest.raises(UserError) as error:
        search_space(BASE, wanted, LOSS)
    assert str(error.value).startswith(f"tune: {message}")
