"""Tests of hyperparameters.json, as SageMaker's notebooks and runs write it."""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest

from object2vec_tf.errors import HyperparameterError, UserError
from object2vec_tf.hyperparameters import (
    Hyperparameters,
    max_gpus,
    read_json,
)
from tests.object2vec_tf.hyperparameters.support import REQUIRED


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


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"{", "expected JSON, got invalid text: "),
        (b"\xff\xfe", "expected JSON, got invalid text: "),
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
