"""Tests of the rules between hyperparameters."""

from typing import Any

import pytest

from object2vec_tf.hyperparameters import Hyperparameters
from tests.object2vec_tf.hyperparameters.support import REQUIRED, SEPARATE, problems


@pytest.mark.parametrize(
    ("network", "layers"), [("hcnn", 4), ("bilstm", 1), ("pooled_embedding", "auto")]
)
def test_auto_layers_depend_on_the_network(network: str, layers: int | str):
    hyperparameters = Hyperparameters(**REQUIRED, enc0_network=network)
    assert hyperparameters.enc0_layers == layers
    assert hyperparameters.enc1_layers == layers
    assert hyperparameters.of_encoder(1, "layers") == layers


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


def test_auto_layers_of_enc1_match_any_layers_of_enc0():
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


def test_tied_encoders_need_one_network_and_one_table():
    tied = {"tied_token_embedding_weight": True, "tied_encoders": True}
    assert Hyperparameters(**REQUIRED, **tied).tied_encoders
    assert problems(**REQUIRED, tied_encoders=True) == (
        "tied_token_embedding_weight: expected True, since tied_encoders=True shares "
        "all weights of the encoders, got False. Set it or set tied_encoders=False."
    )
    assert problems(**SEPARATE, **tied) == (
        f"enc1_network: expected enc0, since tied_encoders=True shares all weights of "
        f"the encoders, got {SEPARATE['enc1_network']}. Remove enc1_network or set "
        "tied_encoders=False."
    )


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
