import keras
import numpy as np
import pytest
import tensorflow as tf

import object2vec_tf as o2v
from object2vec_tf.model.freezing import check_something_is_trained, parse_parts

POOLED = {
    "enc0_network": "pooled_embedding",
    "enc0_vocab_size": 6,
    "enc0_max_seq_len": 2,
    "enc_dim": 4,
    "mlp_dim": 4,
}


def hyperparameters(**changes):
    return o2v.Hyperparameters(**{**POOLED, **changes})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", ()),
        ((), ()),
        ("comparator,enc0", ("enc0", "comparator")),
        (["enc1", "enc1"], ("enc1",)),
    ],
)
def test_parts_are_parsed(given, expected):
    assert parse_parts(given) == expected


@pytest.mark.parametrize("given", ["enc2", "enc0,", ["enc0,enc1"]])
def test_unknown_part_is_an_error(given):
    with pytest.raises(
        o2v.UserError, match=r"^freeze: expected names among enc0, enc1"
    ):
        parse_parts(given)


@pytest.mark.parametrize(
    ("changes", "frozen", "is_trained"),
    [
        ({}, ("enc0", "enc1"), True),
        ({}, ("enc0", "comparator"), True),
        ({}, ("enc0", "enc1", "comparator"), False),
        # The shared table is all that a pooled encoder has; a bilstm has more.
        ({"tied_token_embedding_weight": True}, ("enc0", "comparator"), False),
        (
            {
                "tied_token_embedding_weight": True,
                "enc0_network": "bilstm",
                "enc0_token_embedding_dim": 4,
            },
            ("enc0", "comparator"),
            True,
        ),
        (
            {
                "tied_token_embedding_weight": True,
                "tied_encoders": True,
                "enc0_network": "bilstm",
                "enc0_token_embedding_dim": 4,
            },
            ("enc1", "comparator"),
            False,
        ),
        # Pretrained vectors that are frozen already.
        (
            {"enc0_vocab_file": "v", "enc0_pretrained_embedding_file": "p"},
            ("enc0", "comparator"),
            False,
        ),
    ],
)
def test_something_must_be_trained(changes, frozen, is_trained):
    if is_trained:
        check_something_is_trained(hyperparameters(**changes), frozen)
    else:
        with pytest.raises(o2v.UserError, match=r"^freeze: expected at least one part"):
            check_something_is_trained(hyperparameters(**changes), frozen)


def train(model):
    """Makes two steps."""
    pairs = {
        "in0": tf.ragged.constant([[1], [2, 3], [4], [5, 5]]),
        "in1": tf.ragged.constant([[4, 5], [0], [1], [2]]),
    }
    model.compile()
    model.optimizer.build(model.trainable_variables)
    for _ in range(2):
        model.train_step((pairs, tf.constant([1, 0, 1, 1])))


def values(network):
    return [weight.numpy() for weight in network.weights]


@pytest.mark.parametrize(
    ("part", "changes"),
    [
        ("enc0", {}),
        ("enc0", {"optimizer": "sgd", "learning_rate": 0.1}),
        ("enc1", {"token_embedding_storage_type": "row_sparse"}),
        (
            "enc1",
            {
                "token_embedding_storage_type": "row_sparse",
                "optimizer": "sgd",
                "learning_rate": 0.1,
            },
        ),
        ("comparator", {"objective": "in_batch_softmax"}),
    ],
)
def test_frozen_parts_stay_bit_identical_and_others_learn(part, changes):
    changes = {"weight_decay": 0.1, "negative_sampling_rate": 2, **changes}
    model = o2v.Object2Vec(hyperparameters(**changes), frozen=[part])
    parts = {name: getattr(model, name) for name in ("enc0", "enc1", "comparator")}
    before = {name: values(network) for name, network in parts.items()}
    train(model)
    for name, network in parts.items():
        equal = [
            np.array_equal(a, b)
            for a, b in zip(before[name], values(network), strict=True)
        ]
        assert all(equal) if name == part else not any(equal), name


def test_shared_table_is_frozen_with_either_encoder():
    changes = {"tied_token_embedding_weight": True, "weight_decay": 0.1}
    model = o2v.Object2Vec(hyperparameters(**changes), frozen="enc1")
    before = values(model.enc0)
    train(model)
    np.testing.assert_array_equal(before, values(model.enc0))


def test_frozen_parts_are_saved(tmp_path):
    model = o2v.Object2Vec(hyperparameters(), frozen="enc0")
    train(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.frozen == ("enc0",)
    before = values(loaded.enc0)
    train(loaded)
    np.testing.assert_array_equal(before, values(loaded.enc0))
    assert "frozen" not in o2v.Object2Vec(hyperparameters()).get_config()
