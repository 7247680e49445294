"""Tests of Hyperparameters against AWS's tables, which are copied here."""

import dataclasses
import inspect
import json
import re
import warnings
from pathlib import Path
from typing import Any, Literal

import pytest

import object2vec_tf as o2v
from object2vec_tf.hyperparameters import (
    Hyperparameters,
    defaults,
    rules,
    specifications,
)
from tests.object2vec_tf.hyperparameters.support import REQUIRED, SEPARATE, problems

MISSING = object()

LENGTHS_OUTSIDE = ["0..3", "6..3", "3..21", "3", "3..6..7", "..4"]
FILE_NAMES = (["", "glove.840B.300d.txt", "a_1"], ["a/b", "a b", "a-b"])

BOOLEANS = ([True, False], ["yes", 2])

# Hyperparameters for text, which AWS does not have.
TOKENIZERS = [
    "none",
    "whitespace",
    "unicode_script",
    "wordpiece",
    "sentencepiece",
    "id",
]

FORMS = ["none", "NFC", "NFKC", "NFD", "NFKD"]

LAYERS = (["auto", 1, 4], [0, 5, "all"])

# name: (valid, invalid, default), from section 2 of the AWS guide's table.
TABLE: dict[str, tuple[list[Any], list[Any], Any]] = {
    "enc0_max_seq_len": ([1, 5000], [0, 5001], MISSING),
    "enc0_vocab_size": ([2, 3_000_000, 2**31 - 1], [1, 2**31], MISSING),
    "enc1_max_seq_len": ([1, 5000], [0, 5001], MISSING),
    "enc1_vocab_size": ([2, 3_000_000, 2**31 - 1], [1, 2**31], MISSING),
    "bucket_width": ([0, 100], [-1, 101], 0),
    "comparator_list": (
        ["hadamard", "concat, hadamard", "abs_diff, concat, hadamard"],
        ["", "product", "concat,concat"],
        "hadamard, concat, abs_diff",
    ),
    "dropout": ([0.0, 1.0], [-0.001, 1.001], 0.0),
    "early_stopping_patience": ([1, 5], [0, 6], 3),
    "early_stopping_tolerance": ([0.000001, 0.1], [0.0000009, 0.1001, 0], 0.01),
    "enc_dim": ([4, 10000], [3, 10001], 4096),
    "enc0_network": (
        ["hcnn", "bilstm", "pooled_embedding"],
        ["enc0", "lstm", ""],
        "hcnn",
    ),
    "enc1_network": (["hcnn", "bilstm", "pooled_embedding"], ["enc1", "cnn"], "enc0"),
    "enc0_cnn_filter_width": ([1, 9], [0, 10], 3),
    "enc1_cnn_filter_width": ([1, 9], [0, 10], 3),
    "enc0_freeze_pretrained_embedding": (*BOOLEANS, True),
    "enc1_freeze_pretrained_embedding": (*BOOLEANS, True),
    "enc0_layers": (*LAYERS, "auto"),
    "enc1_layers": (*LAYERS, "auto"),
    "enc0_pretrained_embedding_file": (*FILE_NAMES, ""),
    "enc1_pretrained_embedding_file": (*FILE_NAMES, ""),
    "enc0_token_embedding_dim": ([2, 1000], [1, 1001], 300),
    "enc1_token_embedding_dim": ([2, 1000], [1, 1001], 300),
    "enc0_tokenizer": (TOKENIZERS, ["bert", ""], "none"),
    "enc1_tokenizer": (TOKENIZERS, ["bert", ""], "none"),
    "enc0_lowercase": (*BOOLEANS, False),
    "enc1_lowercase": (*BOOLEANS, False),
    "enc0_unicode_normalization": (FORMS, ["nfc"], "none"),
    "enc1_unicode_normalization": (FORMS, ["nfc"], "none"),
    "enc0_num_oov_buckets": ([0, 1_000_000], [-1, 1_000_001, 0.5], 0),
    "enc1_num_oov_buckets": ([0, 1_000_000], [-1, 1_000_001, 0.5], 0),
    "enc0_subword_ngrams": (["", "1..1", "3..6", "1..20"], LENGTHS_OUTSIDE, ""),
    "enc1_subword_ngrams": (["", "1..1", "3..6", "1..20"], LENGTHS_OUTSIDE, ""),
    "enc0_subword_buckets": ([1, 100_000_000], [-1, 100_000_001, 0.5], 0),
    "enc1_subword_buckets": ([1, 100_000_000], [-1, 100_000_001, 0.5], 0),
    "enc0_vocab_file": (*FILE_NAMES, ""),
    "enc1_vocab_file": (*FILE_NAMES, ""),
    "epochs": ([1, 100], [0, 101], 30),
    "learning_rate": ([1e-6, 1.0], [9e-7, 1.01, 0], 0.0004),
    "mini_batch_size": ([1, 10000], [0, 10001], 32),
    "mlp_activation": (["tanh", "relu", "linear"], ["sigmoid"], "linear"),
    "mlp_dim": ([2, 10000], [1, 10001], 512),
    "mlp_layers": ([0, 10], [-1, 11], 2),
    "negative_sampling_rate": ([0, 1, 1000], [-1, 0.5], 0),
    "num_classes": ([2, 30], [1, 31], 2),
    "optimizer": (
        ["adadelta", "adagrad", "adam", "sgd", "rmsprop", "rowwise_adagrad"],
        ["adamw", "Adam"],
        "adam",
    ),
    "output_layer": (["softmax", "mean_squared_error"], ["sigmoid"], "softmax"),
    "tied_token_embedding_weight": (*BOOLEANS, False),
    "tied_encoders": ([False], ["yes", 2], False),
    "token_embedding_init_scale": ([0.001, 1000.0], [0.0, 1001.0], 1.0),
    "token_embedding_storage_type": (["dense", "row_sparse"], ["sparse"], "dense"),
    "weight_decay": ([0.0, 10000.0], [-0.1, 10000.1], 0.0),
    "objective": (["pairs", "in_batch_softmax"], ["softmax"], "pairs"),
    "in_batch_similarity": (["cosine", "inner_product"], ["dot"], "cosine"),
    "in_batch_direction": (["both", "in0_to_in1", "in1_to_in0"], ["in0"], "both"),
    "temperature": ([0.001, 100.0], [0.0, 100.1], 0.05),
    "learn_temperature": (*BOOLEANS, False),
    "popularity_correction": (*BOOLEANS, False),
    "negative_mining": (["random", "hard"], ["semi"], "random"),
    "negative_frequency_power": ([0.0, 1.0], [-0.1, 1.1], 1.0),
    "negative_exclude_known": (*BOOLEANS, True),
    "object_key": (["tokens", "first_token"], ["id"], "tokens"),
    "pooling": (["mean", "sqrtn", "weighted", "weighted_sqrtn"], ["max"], "mean"),
    "repeated_tokens": (["count", "log"], ["sqrt"], "count"),
    "token_dropout": ([0.0, 0.99], [-0.1, 1.0], 0.0),
    "label_smoothing": ([0.0, 0.99], [-0.1, 1.0], 0.0),
    "learning_rate_warmup_epochs": ([0.0, 100.0], [-0.1, 100.1], 0.0),
    "learning_rate_decay": (["none", "linear", "cosine"], ["exponential"], "none"),
}

# Settings without which a value has no effect and is refused.
PREREQUISITES: dict[str, dict[str, Any]] = {
    "learn_temperature": {"objective": "in_batch_softmax"},
    "popularity_correction": {"objective": "in_batch_softmax"},
    "negative_mining": {"negative_sampling_rate": 1},
    "enc0_num_oov_buckets": {"enc0_tokenizer": "whitespace"},
    "enc1_num_oov_buckets": {"enc1_tokenizer": "unicode_script"},
    "enc0_subword_ngrams": {"enc0_tokenizer": "whitespace"},
    "enc1_subword_ngrams": {"enc1_tokenizer": "unicode_script"},
    "enc0_subword_buckets": {
        "enc0_tokenizer": "id",
        "enc0_subword_ngrams": "3..6",
    },
    "enc1_subword_buckets": {
        "enc1_tokenizer": "whitespace",
        "enc1_subword_ngrams": "1..2",
    },
}

TUNABLE: dict[str, tuple[Any, ...]] = {
    "dropout": (0.0, 1.0),
    "early_stopping_patience": (1, 5),
    "early_stopping_tolerance": (0.001, 0.1),
    "enc_dim": (4, 4096),
    "enc0_cnn_filter_width": (1, 5),
    "enc1_cnn_filter_width": (1, 5),
    "enc0_layers": (1, 4),
    "enc1_layers": (1, 4),
    "enc0_token_embedding_dim": (5, 300),
    "enc1_token_embedding_dim": (5, 300),
    "epochs": (4, 20),
    "learning_rate": (1e-6, 1.0),
    "mini_batch_size": (1, 8192),
    "mlp_activation": ("tanh", "relu", "linear"),
    "mlp_dim": (16, 1024),
    "mlp_layers": (1, 4),
    "optimizer": ("adadelta", "adagrad", "adam", "sgd", "rmsprop"),
    "weight_decay": (0.0, 1.0),
}

VOCABULARIES = {"enc0_vocab_file": "vocab0.json", "enc1_vocab_file": "vocab1.json"}


def test_names_match_the_table():
    assert set(specifications()) == set(TABLE)
    assert set(Hyperparameters(**REQUIRED).to_dict()) == set(TABLE)


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name, (good, _, _) in TABLE.items() for value in good],
)
@pytest.mark.filterwarnings("ignore:.* is above 3000000")
def test_range_ends_are_accepted_typed_and_as_strings(name: str, value: Any):
    expected = 4 if name.endswith("layers") and value == "auto" else value
    for given in (value, str(value)):
        files = {} if name.endswith("vocab_file") else VOCABULARIES
        others = {**SEPARATE, **files, **PREREQUISITES.get(name, {})}
        got = getattr(Hyperparameters(**{**others, name: given}), name)
        assert got == expected
        assert type(got) is type(expected)


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name, (_, bad, _) in TABLE.items() for value in bad],
)
def test_values_outside_a_range_are_rejected_with_name_range_and_value(
    name: str, value: Any
):
    valid = specifications()[name].kind.valid
    for given in (value, str(value)):
        message = problems(**{**SEPARATE, name: given})
        assert message == f"{name}: expected {valid}, got {given!r}"


def test_the_signature_shows_every_keyword_with_type_and_default():
    parameters = inspect.signature(Hyperparameters).parameters
    assert list(parameters) == list(Hyperparameters(**REQUIRED).to_dict())
    assert {one.kind for one in parameters.values()} == {inspect.Parameter.KEYWORD_ONLY}
    empty = inspect.Parameter.empty
    assert {name for name, one in parameters.items() if one.default is empty} == {
        "enc0_max_seq_len",
        "enc0_vocab_size",
    }
    assert {name: parameters[name].default for name in defaults()} == defaults()
    assert repr(parameters["enc1_vocab_size"].default) == "<value of enc0>"
    assert parameters["learning_rate"].annotation is float
    assert (
        parameters["pooling"].annotation
        == Literal["mean", "sqrtn", "weighted", "weighted_sqrtn"]
    )


SNIPPET = """
from object2vec_tf import Hyperparameters
Hyperparameters(enc0_max_seq_len=5, enc0_vocab_size=9, enc0_layers="auto", dropout=0)
Hyperparameters(enc0_max_seq_len=5, enc0_vocab_size=9, epoch=3)
Hyperparameters(enc0_max_seq_len=5, enc0_vocab_size=9, optimizer="adamw")
Hyperparameters(enc0_max_seq_len=5)
"""


def test_mypy_reports_wrong_keywords(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    api = pytest.importorskip("mypy.api")
    monkeypatch.chdir(Path(__file__).parents[3])  # where the configuration is
    path = tmp_path / "snippet.py"
    path.write_text(SNIPPET)
    out, _, _ = api.run([str(path)])
    assert re.findall(r"snippet.py:(\d+): error: .*\[(.*)\]", out) == [
        ("4", "call-arg"),
        ("5", "arg-type"),
        ("6", "call-arg"),
    ]


def test_defaults_match_the_table():
    expected = {
        name: default
        for name, (_, _, default) in TABLE.items()
        if default is not MISSING
    }
    assert defaults() == expected
    effective = Hyperparameters(**REQUIRED).to_dict()
    assert effective == {
        **expected,
        **REQUIRED,
        "enc1_max_seq_len": 10,
        "enc1_vocab_size": 50,
        "enc0_layers": 4,
        "enc1_layers": 4,
    }


def test_tunable_ranges_match_the_guide():
    assert {
        name: specification.tunable
        for name, specification in specifications().items()
        if specification.tunable
    } == TUNABLE


@pytest.mark.parametrize(
    "values",
    [
        REQUIRED,
        SEPARATE,
        {**REQUIRED, "enc0_network": "bilstm", "enc0_layers": 2, "dropout": 0.25},
        {**REQUIRED, "enc0_network": "pooled_embedding"},
        {**REQUIRED, "enc0_network": "pooled_embedding", "enc_dim": 4},
        {**REQUIRED, "enc0_network": "pooled_embedding", "enc_dim": 10000},
        {**SEPARATE, "enc1_network": "pooled_embedding", "enc0_network": "bilstm"},
        {**REQUIRED, "tied_token_embedding_weight": True, "early_stopping_patience": 5},
        {**REQUIRED, "enc0_token_embedding_dim": 20, "enc0_vocab_file": "v.json"},
    ],
    ids=str,
)
def test_written_hyperparameters_read_back_equal(
    values: dict[str, Any], tmp_path: Path
):
    hyperparameters = Hyperparameters(**values)
    path = tmp_path / "hyperparameters.json"
    path.write_text(hyperparameters.to_json())
    as_strings = {name: str(value) for name, value in hyperparameters.to_dict().items()}
    assert json.loads(path.read_text()) == hyperparameters.to_dict()
    for again in (
        Hyperparameters(**hyperparameters.to_dict()),
        Hyperparameters.from_mapping(hyperparameters.to_dict()),
        Hyperparameters.from_mapping(as_strings),
        Hyperparameters.from_json(path),
        dataclasses.replace(hyperparameters),
    ):
        assert again == hyperparameters


@pytest.mark.parametrize("width", ["10001", "3", "x", 4096.5])
def test_an_invalid_dimension_with_pooling_is_reported_for_both_names(width: Any):
    message = problems(
        **REQUIRED,
        enc0_network="pooled_embedding",
        enc_dim=width,
        enc0_token_embedding_dim=width,
    )
    assert f"enc_dim: expected an integer in 4..10000, got {width!r}" in message
    assert "enc0_token_embedding_dim: expected" in message


def test_a_token_embedding_dim_above_its_range_needs_pooling_with_that_enc_dim():
    values = {**REQUIRED, "enc_dim": 4096, "enc0_token_embedding_dim": 4096}
    assert "expected an integer in 2..1000, got 4096" in problems(**values)
    pooled = {**values, "enc0_network": "pooled_embedding"}
    assert Hyperparameters(**pooled).enc0_token_embedding_dim == 4096
    assert "enc0_token_embedding_dim: " in problems(**{**pooled, "enc_dim": 64})


@pytest.mark.parametrize(
    ("typo", "suggestion"),
    [("epoch", "epochs"), ("enc0_layer", "enc0_layers"), ("minibatch_size", "mini_b")],
)
def test_an_unknown_name_is_reported_with_a_suggestion(typo: str, suggestion: str):
    message = problems(**REQUIRED, **{typo: 1})
    assert message.startswith(
        f"{typo}: unknown hyperparameter: did you mean {suggestion}"
    )


def test_an_unknown_name_like_no_other_has_no_suggestion():
    assert problems(**REQUIRED, zzz=1) == "zzz: unknown hyperparameter. Remove it."


def test_all_problems_are_in_one_error():
    first, *others = problems(
        enc0_vocab_size=1,
        epochs="x",
        epoch=3,
        optimizer="adamw",
        enc_dim=4098,
        dropout=2,
    ).splitlines()
    assert first == "7 invalid hyperparameters:"
    assert sorted(line.strip().split(":")[0] for line in others) == [
        "dropout",
        "enc0_max_seq_len",
        "enc0_vocab_size",
        "enc_dim",
        "epoch",
        "epochs",
        "optimizer",
    ]


def test_missing_hyperparameters_are_reported_with_their_range():
    message = problems(enc1_network="hcnn")
    for name, valid in (
        ("enc0_max_seq_len", "an integer in 1..5000"),
        ("enc0_vocab_size", "an integer in 2..2147483647"),
        ("enc1_max_seq_len", "an integer in 1..5000"),
        ("enc1_vocab_size", "an integer in 2..2147483647"),
    ):
        assert f"{name}: required" in message
        assert f"Give {valid}." in message
    assert "enc1_" not in problems()


def test_derived_properties():
    softmax = Hyperparameters(**REQUIRED, num_classes=3, comparator_list="concat")
    assert (softmax.loss_name, softmax.output_dim) == ("cross_entropy", 3)
    assert softmax.operators == ("concat",)
    assert (softmax.network(0), softmax.network(1)) == ("hcnn", "hcnn")
    real = Hyperparameters(
        **{**SEPARATE, "enc1_network": "bilstm"}, output_layer="mean_squared_error"
    )
    assert (real.loss_name, real.output_dim) == ("mean_squared_error", 1)
    assert real.operators == ("hadamard", "concat", "abs_diff")
    assert (real.network(0), real.network(1)) == ("hcnn", "bilstm")


def test_a_vocabulary_that_sagemaker_rejects_is_accepted_with_one_warning(monkeypatch):
    monkeypatch.setattr(rules, "_shown", set())
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        Hyperparameters(**{**REQUIRED, "enc0_vocab_size": 3_000_001})
        Hyperparameters(**{**REQUIRED, "enc0_vocab_size": 3_000_001})
    (warning,) = shown
    assert "enc0_vocab_size: 3000001 is above 3000000" in str(warning.message)


def test_a_saved_model_has_no_warnings_of_sagemaker(monkeypatch):
    small = {**REQUIRED, "enc0_network": "pooled_embedding", "enc_dim": 4}
    model = o2v.Object2Vec({**small, "mlp_layers": 0, "optimizer": "rowwise_adagrad"})
    saved = {**model.hyperparameters.to_dict(), "enc0_vocab_size": 3_000_001}
    saved["enc1_vocab_size"] = 3_000_001
    monkeypatch.setattr(rules, "_shown", set())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        copy = o2v.Object2Vec.from_config(model.get_config())
        assert Hyperparameters.from_saved(saved).enc0_vocab_size == 3_000_001
    assert copy.hyperparameters == model.hyperparameters


def test_an_optimizer_that_sagemaker_rejects_is_accepted_with_one_warning(monkeypatch):
    monkeypatch.setattr(rules, "_shown", set())
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        for optimizer in ("rowwise_adagrad", "adagrad", "rowwise_adagrad"):
            Hyperparameters(**REQUIRED, optimizer=optimizer)
    (warning,) = shown
    assert "optimizer: rowwise_adagrad is not an optimizer of Amazon" in str(
        warning.message
    )


@pytest.mark.parametrize("setting", ["lowercase", "unicode_normalization"])
def test_ids_of_any_kind_are_not_normalized(setting):
    value = True if setting == "lowercase" else "NFC"
    message = problems(
        **SEPARATE, **VOCABULARIES, enc1_tokenizer="id", **{f"enc1_{setting}": value}
    )
    assert message.startswith(f"enc1_{setting}: only applies to text, but enc1_token")
