"""Tests of assembly.py, and of object2vec_tf/layers/substitute_tables.py."""

import numpy as np
import pytest

import object2vec_tf as o2v
from object2vec_tf.layers.substitute_tables import SmallTables, UnsizedTables
from object2vec_tf.model.assembly import (
    with_placement,
    with_whole_tables,
    write_keras_file,
)
from object2vec_tf.model.table_names import named_tables
from object2vec_tf.tables.table_reader import ArrayReader

SETTINGS = {
    "enc0_network": "pooled_embedding",
    "enc0_vocab_size": 31,
    "enc0_max_seq_len": 3,
    "enc1_network": "bilstm",
    "enc1_vocab_size": 17,
    "enc1_max_seq_len": 3,
    "enc1_token_embedding_dim": 5,
    "tied_token_embedding_weight": False,
    "enc_dim": 4,
    "mlp_dim": 3,
    "pooling": "weighted",
    "dropout": 0.5,
}
PAIRS = {"in0": [[1, 30], [2, 3, 4]], "in1": [[16], [5, 0]]}


@pytest.fixture(scope="module")
def model():
    model = o2v.Object2Vec(SETTINGS, seed=3)
    model.compile()
    random = np.random.default_rng(1)
    for table in named_tables(model).values():
        table.assign(random.normal(size=(table.rows, table.width)))
    return model


@pytest.fixture(scope="module")
def tables(model):
    return {
        name: ArrayReader(table.values()) for name, table in named_tables(model).items()
    }


def without_tables(model):
    """The same model with tables of 8 rows."""
    return with_placement(model, SmallTables())


def assert_same_answers(one, other):
    in0 = PAIRS["in0"]
    assert np.array_equal(one.embed(in0, encoder=0), other.embed(in0, encoder=0))
    assert np.array_equal(one.score(PAIRS), other.score(PAIRS))


def test_a_model_is_assembled_in_memory(model, tables):
    assert_same_answers(with_whole_tables(without_tables(model), tables), model)


def test_a_keras_file_is_assembled(model, tables, tmp_path):
    path = tmp_path / "model.keras"
    write_keras_file(path, without_tables(model), tables)
    loaded = o2v.load(path)
    assert_same_answers(loaded, model)
    assert loaded.hyperparameters == model.hyperparameters
    for one, other in zip(loaded.variables, model.variables, strict=False):
        assert np.array_equal(one, other), one.path
    assert [file.name for file in tmp_path.iterdir()] == ["model.keras"]


def test_the_file_has_the_vocabularies(tmp_path):
    words = b"a\nb\nc\n"
    model = o2v.Object2Vec(
        SETTINGS | {"enc0_vocab_size": 3, "enc1_vocab_size": 3},
        id_words=(words, words),
        frozen=["enc1"],
        seed=5,
    )
    tables = {
        name: ArrayReader(table.values()) for name, table in named_tables(model).items()
    }
    write_keras_file(tmp_path / "model.keras", model, tables)
    loaded = o2v.load(tmp_path / "model.keras")
    assert loaded.id_words == (words, words)
    assert (loaded.frozen, loaded.seed) == (model.frozen, 5)


def test_unsized_tables_have_any_number_of_rows(model):
    other = with_placement(model, UnsizedTables())
    for name, table in named_tables(model).items():
        variable = named_tables(other)[name].variable.value
        assert list(variable.shape) == [None, table.width]
        variable.assign(table.values())
    assert_same_answers(other, model)
