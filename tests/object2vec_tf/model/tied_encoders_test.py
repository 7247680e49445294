import keras
import numpy as np
import pytest
import tensorflow as tf

from object2vec_tf.model.object2vec import Object2Vec
from object2vec_tf.model.warm_start import WarmStart

NETWORKS = {
    "hcnn": {"enc0_network": "hcnn", "enc0_layers": 2},
    "bilstm": {"enc0_network": "bilstm", "enc0_layers": 1},
}
TIED = {"tied_encoders": True}
IN0 = [[1, 1, 2], [], [5], [4, 0, 3, 3]]
IN1 = [[6, 1], [2, 2, 0], [], [3]]
LABELS = [1, 0, 2, 1]


def model(network, *groups, seed=1):
    """A compiled model with random biases."""
    settings = {
        "enc0_max_seq_len": 9,
        "enc0_vocab_size": 7,
        "enc0_token_embedding_dim": 3,
        "enc_dim": 4,
        "tied_token_embedding_weight": True,
        "mlp_layers": 1,
        "mlp_dim": 5,
        "num_classes": 3,
        "optimizer": "sgd",
        "learning_rate": 0.5,
    }
    for group in (NETWORKS[network], *groups):
        settings |= group
    built = Object2Vec(settings, seed=seed)
    random = np.random.default_rng(seed)
    for weight in built.trainable_variables:
        if len(weight.shape) == 1:
            weight.assign(random.normal(0, 0.5, weight.shape))
    built.compile()
    return built


def step(trained):
    """Trains one batch."""
    ids = (tf.ragged.constant(rows, dtype=tf.int64) for rows in (IN0, IN1))
    inputs = dict(zip(("in0", "in1"), ids, strict=True))
    trained.train_step((inputs, tf.constant(LABELS)))


def encodings(built, encoder):
    """Encodings of IN0; eager, since a graph would take most of a test's time."""
    return (built.enc0, built.enc1)[encoder](IN0).numpy()


def values(part):
    """Weights of a part by path."""
    return {weight.path: weight.numpy() for weight in part.trainable_weights}


@pytest.mark.parametrize(
    ("network", "storage"), [("hcnn", "row_sparse"), ("bilstm", "dense")]
)
def test_shared_weights_move_by_the_sum_of_what_separate_ones_move_by(network, storage):
    group = {"token_embedding_storage_type": storage}
    tied, separate = model(network, group, TIED), model(network, group)
    start = values(tied.enc0)
    for part in ("enc0", "enc1", "comparator"):
        same = values(getattr(tied, part))
        for weight in getattr(separate, part).trainable_weights:
            weight.assign(same[weight.path])

    step(tied)
    step(separate)

    first, second, after = (
        values(part) for part in (separate.enc0, separate.enc1, tied.enc0)
    )
    assert values(tied.enc1).keys() == after.keys()
    for path, value in after.items():
        moved = first[path] - start[path]
        if "token_embedding" not in path:  # which both models share
            moved = moved + second[path] - start[path]
            assert not np.array_equal(first[path], second[path])
        np.testing.assert_allclose(value, start[path] + moved, atol=1e-6)


def test_a_saved_model_still_shares_its_weights(tmp_path):
    tied = model("bilstm", TIED)
    step(tied)
    tied.save(tmp_path / "tied.keras")
    loaded = keras.models.load_model(tmp_path / "tied.keras")

    assert len(loaded.trainable_weights) == len(tied.trainable_weights)
    for built in (tied, loaded):
        np.testing.assert_array_equal(encodings(built, 0), encodings(built, 1))
    np.testing.assert_array_equal(encodings(loaded, 0), encodings(tied, 0))
    step(tied)
    step(loaded)
    np.testing.assert_allclose(encodings(loaded, 0), encodings(tied, 0), atol=1e-6)


def test_a_warm_start_ties_and_unties_the_encoders():
    separate, tied = model("hcnn"), model("hcnn", TIED, seed=2)
    start = WarmStart(tied.hyperparameters, (None, None), separate)
    start.apply(tied)
    # Both encoders of the earlier model had weights of their own.
    expected = encodings(separate, 0)
    assert not np.allclose(expected, encodings(separate, 1))
    np.testing.assert_allclose(encodings(tied, 1), expected, atol=1e-6)
    assert start.summary()["fresh"] == []
    assert [name for name in start.taken if name.startswith("enc")] == [
        "enc0/hcnn/convolution_0",
        "enc0/hcnn/convolution_1",
    ]

    again = model("hcnn", seed=3)
    WarmStart(again.hyperparameters, (None, None), tied).apply(again)
    for encoder in (0, 1):
        np.testing.assert_allclose(encodings(again, encoder), expected, atol=1e-6)
