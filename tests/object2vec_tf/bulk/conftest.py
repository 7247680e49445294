"""A small exported model for the tests of this directory."""

import pytest

import object2vec_tf as o2v
from export import export_saved_model
from object2vec_tf.inference.predictor import load_model


@pytest.fixture(scope="package")
def exported(tmp_path_factory):
    """The directory of an exported model with 40 token ids per encoder."""
    hyperparameters = o2v.Hyperparameters(
        enc0_network="pooled_embedding",
        enc0_max_seq_len=5,
        enc0_vocab_size=40,
        enc_dim=6,
        mlp_dim=4,
    )
    directory = tmp_path_factory.mktemp("model")
    export_saved_model(o2v.Object2Vec(hyperparameters, seed=1), directory)
    return directory


@pytest.fixture(scope="package")
def loaded(exported):
    return load_model(exported)
