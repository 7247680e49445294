"""Tests of Hyperparameters against AWS's tables, which are copied here."""

import dataclasses
import inspect
import json
import re
import warnings
from pathlib import Path
from typing import Any, Literal

import pytest

from object2vec_tf.errors import HyperparameterError, UserError
from object2vec_tf.hyperparameters import (
    Hyperparameters,
    defaults,
    max_gpus,
    read_json,
    specifications,
)

REQUIRED = {"enc0_max_seq_len": 10, "enc0_vocab_size": 50}
# Valid settings in which enc1 copies nothing from enc0.
SEPARATE = {
    **REQUIRED,
    "enc1_network": "hcnn",
    "enc1_max_seq_len": 10,
    "enc1_vocab_size": 50,
    "enc0_layers": 1,
    "enc1_layers": 1,
}

MISSING = object()
FILE_NAMES = (["", "glove.840B.300d.txt", "a_1"], ["a/b", "a b", "a-b"])
BOOLEANS = ([True, False], ["yes", 2])
# Hyperparameters for text, which AWS does not have.
TOKENIZERS = ["none", "whitespace", "unicode_script", "wordpiece", "sentencepiece"]
FORMS = ["none", "NFC", "NFKC", "NFD", "NFKD"]
LAYERS = (["auto", 1, 4], [0, 5, "all"])

# name: (valid, invalid, default), from section 2 of the AWS guide's table.
TABLE: dict[str, tuple[list[Any], list[Any], Any]] = {
    "enc0_max_seq_len": ([1, 5000], [0, 5001], MISSING),
    "enc0_vocab_size": ([2, 3_000_000], [1, 3_000_001], MISSING),
    "enc1_max_seq_len": ([1, 5000], [0, 5001], MISSING),
    "enc1_vocab_size": ([2, 3_000_000], [1, 3_000_001], MISSING),
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
        ["adadelta", "adagrad", "adam", "sgd", "rmsprop"],
        ["adamw", "Adam"],
        "adam",
    ),
    "output_layer": (["softmax", "mean_squared_error"], ["sigmoid"], "softmax"),
    "tied_token_embedding_weight": (*BOOLEANS, False),
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
    "pooling": (["mean", "sqrtn"], ["max"], "mean"),
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


def problems(**values: Any) -> str:
    with pytest.raises(HyperparameterError) as raised:
        Hyperparameters(**values)
    return str(raised.value)


def test_names_match_the_table():
    assert set(specifications()) == set(TABLE)
    assert set(Hyperparameters(**REQUIRED).to_dict()) == set(TABLE)


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name, (good, _, _) in TABLE.items() for value in good],
)
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
    assert parameters["pooling"].annotation == Literal["mean", "sqrtn"]


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
    ("network", "layers"), [("hcnn", 4), ("bilstm", 1), ("pooled_embedding", "auto")]
)
def test_auto_layers_depend_on_the_network(network: str, layers: int | str):
    hyperparameters = Hyperparameters(**REQUIRED, enc0_network=network)
    assert hyperparameters.enc0_layers == layers
    assert hyperparameters.enc1_layers == layers
    assert hyperparameters.of_encoder(1, "layers") == layers


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


def test_pooling_sets_token_embedding_dim_to_enc_dim():
    plain = Hyperparameters(**REQUIRED, enc0_network="pooled_embedding")
    assert plain.enc_dim == plain.enc0_token_embedding_dim == 4096
    with pytest.warns(
        UserWarning,
        match="Inconsistent enc_dim and token_embedding_dim found: enc_dim is 64, "
        "enc0_token_embedding_dim is 300. Setting token embedding dim to be 64",
    ):
        adjusted = Hyperparameters(
            **REQUIRED,
            enc0_network="pooled_embedding",
            enc_dim=64,
            enc0_token_embedding_dim=300,
        )
    assert adjusted.enc0_token_embedding_dim == 64
    assert adjusted.enc1_token_embedding_dim == 64


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
    assert problems(**REQUIRED, zzz=1) == "zzz: unknown hyperparameter"


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
        ("enc0_vocab_size", "an integer in 2..3000000"),
        ("enc1_max_seq_len", "an integer in 1..5000"),
        ("enc1_vocab_size", "an integer in 2..3000000"),
    ):
        assert f"{name}: required" in message
        assert f"Give {valid}." in message
    assert "enc1_" not in problems()


@pytest.mark.parametrize(
    ("name", "value", "enc0_value"),
    [
        ("max_seq_len", 11, 10),
        ("vocab_size", 51, 50),
        ("cnn_filter_width", 5, 3),
        ("layers", 2, 4),
        ("token_embedding_dim", 100, 300),
        ("vocab_file", "v.json", ""),
        ("pretrained_embedding_file", "g.txt", ""),
        ("freeze_pretrained_embedding", False, True),
    ],
)
def test_enc1_that_copies_enc0_must_have_its_values(
    name: str, value: Any, enc0_value: Any
):
    message = problems(**REQUIRED, **{f"enc1_{name}": value})
    assert message == (
        f"enc1_{name}: expected {enc0_value!r}, the value of enc0_{name}, since "
        f"enc1_network=enc0 copies all of them, got {value!r}. Remove enc1_{name} or "
        "set enc1_network=hcnn."
    )
    agreed = Hyperparameters(**REQUIRED, **{f"enc1_{name}": enc0_value})
    assert agreed == Hyperparameters(**REQUIRED)


def test_auto_layers_of_enc1_match_any_layers_enc0_value():
    got = Hyperparameters(**REQUIRED, enc0_layers=2, enc1_layers="auto")
    assert got.enc1_layers == 2


@pytest.mark.parametrize(
    ("enc_dim", "network", "layers", "nearest"),
    [
        (10, "hcnn", 4, "8 or 12"),
        (4098, "hcnn", "auto", "4096 or 4100"),
        (100, "hcnn", 3, "99 or 102"),
        (5, "hcnn", 3, "6"),
        (7, "bilstm", 1, "6 or 8"),
        (4095, "bilstm", "auto", "4094 or 4096"),
    ],
)
def test_an_enc_dim_that_is_not_divisible_is_reported_with_the_nearest_values(
    enc_dim: int, network: str, layers: int | str, nearest: str
):
    for encoder in (0, 1):
        other = {f"enc{1 - encoder}_network": "pooled_embedding"}
        message = problems(
            **{
                **SEPARATE,
                "enc_dim": enc_dim,
                **other,
                f"enc{encoder}_network": network,
                f"enc{encoder}_layers": layers,
            }
        )
        assert message.startswith("enc_dim: expected a multiple of ")
        assert f"enc{encoder}_" in message
        assert message.endswith(f", got {enc_dim}. Use {nearest}.")


@pytest.mark.parametrize(
    ("network", "layers", "enc_dim"),
    [("hcnn", 3, 6), ("hcnn", 1, 5), ("bilstm", 4, 6), ("pooled_embedding", 4, 5)],
)
def test_a_divisible_enc_dim_is_accepted(network: str, layers: int, enc_dim: int):
    values = {"enc0_network": network, "enc0_layers": layers, "enc_dim": enc_dim}
    assert Hyperparameters(**REQUIRED, **values).enc_dim == enc_dim


@pytest.mark.parametrize(
    ("name", "value", "enc0_value"),
    [("vocab_size", 51, 50), ("token_embedding_dim", 100, 300)],
)
def test_tied_embeddings_must_have_the_same_shape(
    name: str, value: int, enc0_value: int
):
    values = {**SEPARATE, f"enc1_{name}": value}
    message = problems(**values, tied_token_embedding_weight=True)
    assert message == (
        f"enc1_{name}: expected {enc0_value}, the value of enc0_{name}, since "
        f"tied_token_embedding_weight=True shares one embedding, got {value}. Make "
        "them equal or set tied_token_embedding_weight=False."
    )
    assert Hyperparameters(**values).of_encoder(1, name) == value
    assert Hyperparameters(**SEPARATE, tied_token_embedding_weight=True)


def test_tied_embeddings_of_pooling_and_hcnn_must_have_the_same_dimension():
    values = {**SEPARATE, "enc0_network": "pooled_embedding", "enc_dim": 64}
    message = problems(**values, tied_token_embedding_weight=True)
    assert message.startswith(
        "enc1_token_embedding_dim: expected 64, the value of enc0_token_embedding_dim"
    )


def test_negatives_need_two_pairs_per_batch():
    values = {**REQUIRED, "negative_sampling_rate": 1}
    assert problems(**values, mini_batch_size=1).startswith("mini_batch_size: ")
    assert Hyperparameters(**values, mini_batch_size=2)
    assert Hyperparameters(**REQUIRED, mini_batch_size=1)


def test_platform_entries_and_none_are_ignored():
    extra = {
        "_kvstore": "device",
        "_num_gpus": "auto",
        "_num_kv_servers": "auto",
        "_tuning_objective_metric": "validation:accuracy",
        "epochs": None,
    }
    got = Hyperparameters.from_mapping({**REQUIRED, **extra})
    assert got == Hyperparameters(**REQUIRED)


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


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"{", "expected JSON: "),
        (b"\xff\xfe", "expected JSON: "),
        (b"[1]", "expected a JSON object of names and values, got list"),
    ],
)
def test_a_file_that_is_not_a_json_object_is_reported(
    tmp_path: Path, content: bytes | None, problem: str
):
    path = tmp_path / "hyperparameters.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError) as raised:
        read_json(path)
    assert str(raised.value).startswith(f"{path}: {problem}")


def test_num_gpus_is_auto_or_an_integer():
    assert max_gpus({}) is None
    assert max_gpus({"_num_gpus": "auto"}) is None
    assert max_gpus({"_num_gpus": "2"}) == 2
    assert max_gpus({"_num_gpus": 0}) == 0
    with pytest.raises(HyperparameterError, match="_num_gpus: expected auto or an int"):
        max_gpus({"_num_gpus": "some"})


PLATFORM = {"_kvstore": "device", "_num_gpus": "auto", "_num_kv_servers": "auto"}
RATING: dict[str, Any] = {
    **PLATFORM,
    "bucket_width": 0,
    "early_stopping_patience": 3,
    "early_stopping_tolerance": 0.01,
    "enc0_cnn_filter_width": 3,
    "enc0_layers": "auto",
    "enc0_max_seq_len": 1,
    "enc0_network": "pooled_embedding",
    "enc0_token_embedding_dim": 300,
    "enc0_vocab_size": 944,
    "enc1_layers": "auto",
    "enc1_max_seq_len": 1,
    "enc1_network": "pooled_embedding",
    "enc1_token_embedding_dim": 300,
    "enc1_vocab_size": 1684,
    "enc_dim": 1024,
    "epochs": 20,
    "learning_rate": 0.001,
    "mini_batch_size": 64,
    "mlp_activation": "tanh",
    "mlp_dim": 256,
    "mlp_layers": 1,
    "num_classes": 2,
    "optimizer": "adam",
    "output_layer": "mean_squared_error",
}
RECOMMENDATION: dict[str, Any] = {
    **RATING,
    "enc1_cnn_filter_width": 3,
    "enc_dim": 2048,
    "mini_batch_size": 2048,
    "mlp_activation": "relu",
    "mlp_dim": 1024,
    "output_layer": "softmax",
}
SNLI: dict[str, Any] = {
    **PLATFORM,
    "enc_dim": 4096,
    "mlp_dim": 512,
    "mlp_activation": "linear",
    "mlp_layers": 2,
    "output_layer": "softmax",
    "optimizer": "adam",
    "learning_rate": 0.0004,
    "mini_batch_size": 32,
    "epochs": 20,
    "bucket_width": 0,
    "early_stopping_tolerance": 0.01,
    "early_stopping_patience": 3,
    "dropout": 0,
    "weight_decay": 0,
    "enc0_max_seq_len": 82,
    "enc1_max_seq_len": 82,
    "enc0_network": "hcnn",
    "enc1_network": "enc0",
    "enc0_token_embedding_dim": 300,
    "enc0_layers": "auto",
    "enc0_cnn_filter_width": 3,
    "enc1_token_embedding_dim": 300,
    "enc1_layers": "auto",
    "enc1_cnn_filter_width": 3,
    "enc0_vocab_file": "",
    "enc1_vocab_file": "",
    "enc0_vocab_size": 43533,
    "enc1_vocab_size": 43533,
    "num_classes": 3,
}
WIKIPEDIA: dict[str, Any] = {
    **PLATFORM,
    "bucket_width": 0,
    "dropout": 0.4,
    "early_stopping_patience": 2,
    "early_stopping_tolerance": 0.01,
    "enc0_layers": "auto",
    "enc0_max_seq_len": 50,
    "enc0_network": "pooled_embedding",
    "enc0_pretrained_embedding_file": "",
    "enc0_token_embedding_dim": 300,
    "enc0_vocab_size": 267522,
    "enc1_network": "enc0",
    "enc_dim": 300,
    "epochs": 20,
    "learning_rate": 0.01,
    "mini_batch_size": 512,
    "mlp_activation": "relu",
    "mlp_dim": 512,
    "mlp_layers": 2,
    "num_classes": 2,
    "optimizer": "adam",
    "output_layer": "softmax",
    "weight_decay": 0,
    "negative_sampling_rate": 3,
    "tied_token_embedding_weight": "true",
    "comparator_list": "hadamard",
    "token_embedding_storage_type": "row_sparse",
}
GENRES: dict[str, Any] = {
    "enc_dim": 4096,
    "mlp_dim": 512,
    "mlp_activation": "relu",
    "mlp_layers": 2,
    "output_layer": "softmax",
    "bucket_width": 10,
    "num_classes": 2,
    "mini_batch_size": 256,
    "enc0_max_seq_len": 500,
    "enc1_max_seq_len": 2,
    "enc0_network": "hcnn",
    "enc1_network": "hcnn",
    "enc0_layers": "2",
    "enc1_layers": "1",
    "enc0_cnn_filter_width": 2,
    "enc1_cnn_filter_width": 1,
    "enc0_token_embedding_dim": 300,
    "enc1_token_embedding_dim": 10,
    "enc0_pretrained_embedding_file": "glove.840B.300d.txt",
    "enc0_freeze_pretrained_embedding": "true",
    "enc0_vocab_file": "vocab.json",
    "enc1_vocab_file": "",
    "enc0_vocab_size": 20000,
    "enc1_vocab_size": 28,
}


@pytest.mark.parametrize(
    ("notebook", "warned", "resolved"),
    [
        pytest.param(
            RATING,
            ["enc0_token_embedding_dim is 300", "enc1_token_embedding_dim is 300"],
            {"enc0_token_embedding_dim": 1024, "enc1_token_embedding_dim": 1024},
            id="rating",
        ),
        pytest.param(
            RECOMMENDATION,
            ["enc0_token_embedding_dim is 300", "enc1_token_embedding_dim is 300"],
            {"enc0_token_embedding_dim": 2048, "enc1_token_embedding_dim": 2048},
            id="recommendation",
        ),
        pytest.param(SNLI, [], {"enc0_layers": 4, "enc1_layers": 4}, id="snli"),
        pytest.param(
            WIKIPEDIA,
            [],
            {
                "tied_token_embedding_weight": True,
                "enc1_max_seq_len": 50,
                "enc1_vocab_size": 267522,
                "enc1_token_embedding_dim": 300,
            },
            id="wikipedia",
        ),
        pytest.param(
            GENRES,
            [],
            {
                "enc0_layers": 2,
                "enc1_layers": 1,
                "enc0_freeze_pretrained_embedding": True,
            },
            id="genres",
        ),
    ],
)
def test_settings_of_the_notebooks_are_read_as_sagemaker_sends_them(
    tmp_path: Path,
    notebook: dict[str, Any],
    warned: list[str],
    resolved: dict[str, Any],
):
    path = tmp_path / "hyperparameters.json"
    path.write_text(json.dumps({name: str(value) for name, value in notebook.items()}))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        hyperparameters = Hyperparameters.from_json(path)
    assert len(caught) == len(warned)
    for warning, what in zip(caught, warned, strict=True):
        assert what in str(warning.message)
    ours = {name: value for name, value in notebook.items() if name not in PLATFORM}
    effective = hyperparameters.to_dict()
    assert {name: effective[name] for name in {**ours, **resolved}} == {
        **ours,
        **resolved,
    }
    again = Hyperparameters.from_mapping(effective)
    assert again == hyperparameters
