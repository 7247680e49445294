"""Tests of exports whose token tables are written in chunks."""

import numpy as np
import pytest
import tensorflow as tf

import object2vec_tf as o2v
from export import export_saved_model
from object2vec_tf.model.table_names import named_tables
from object2vec_tf.search.index_directory import model_digest
from object2vec_tf.tables.table_reader import ArrayReader

SETTINGS = {
    "enc0_network": "pooled_embedding",
    "enc0_vocab_size": 31,
    "enc0_max_seq_len": 3,
    "enc1_network": "hcnn",
    "enc1_vocab_size": 17,
    "enc1_max_seq_len": 3,
    "enc1_token_embedding_dim": 5,
    "tied_token_embedding_weight": False,
    "enc_dim": 4,
    "mlp_dim": 3,
}


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    directory = tmp_path_factory.mktemp("exports")
    model = o2v.Object2Vec(SETTINGS, seed=3)
    tables = {
        name: ArrayReader(table.values()) for name, table in named_tables(model).items()
    }
    whole = export_saved_model(model, directory / "whole")
    chunks = export_saved_model(model, directory / "chunks", tables=tables)
    return whole, chunks


def test_answers_are_those_of_the_same_export_at_once(exports):
    models = [tf.saved_model.load(str(path)) for path in exports]
    inputs = {
        "in0": tf.constant([[30, 2, -1]], tf.int64),
        "in1": tf.constant([[16, 0, 3]], tf.int64),
    }
    for name, given in [("embed_enc0", ["in0"]), ("predict_pair", ["in0", "in1"])]:
        one, other = (
            model.signatures[name](**{key: inputs[key] for key in given})
            for model in models
        )
        for key, values in one.items():
            assert np.array_equal(values, other[key])


def test_weights_have_the_same_names_and_digest(exports):
    assert model_digest(exports[0]) == model_digest(exports[1])


def test_damage_of_any_part_is_found(exports, tmp_path):
    parts = sorted(exports[1].glob("variables/variables.data-*"))
    assert len(parts) == 3
    content = parts[1].read_bytes()
    parts[1].write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(o2v.UserError, match="data-00001-of-00003: is damaged"):
        model_digest(exports[1])
    parts[1].write_bytes(content)


def test_items_need_tables_in_memory(tmp_path):
    items = tmp_path / "items.jsonl"
    items.write_text('{"in1": [3]}\n')
    model = o2v.Object2Vec(SETTINGS)
    tables = {
        name: ArrayReader(table.values()) for name, table in named_tables(model).items()
    }
    with pytest.raises(o2v.UserError, match="items: expected none"):
        export_saved_model(model, tmp_path / "export", items=items, tables=tables)
