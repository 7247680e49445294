"""Tests of object2vec_tf/tables/saved_model_tables.py."""

import numpy as np
import pytest
import tensorflow as tf

from object2vec_tf.tables.saved_model_tables import (
    unsized_variable,
    write_saved_model_tables,
)
from object2vec_tf.tables.table_reader import ArrayReader

RANDOM = np.random.default_rng(3)
WORDS = RANDOM.normal(size=(50, 4)).astype(np.float32)
WEIGHTS = RANDOM.normal(size=(20, 1)).astype(np.float32)
IDS = np.array([0, 7, 19, 18, 0])


class Sums(tf.Module):
    """Sums of rows of two tables, and a variable that is no table."""

    def __init__(self):
        super().__init__()
        self.tables = [unsized_variable(4, "words"), unsized_variable(1, "weights")]
        self.scale = tf.Variable(3.0, name="scale")
        self.names = tf.Variable([b"a", b"b"], name="names")

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int64, name="ids")])
    def sums(self, ids):
        words, weights = (tf.gather(table, ids) for table in self.tables)
        return {"sums": self.scale * (words + weights)}


def expected():
    return 3 * (WORDS[IDS] + WEIGHTS[IDS])


@pytest.fixture(params=[1 << 28, 64])
def saved_model(request, tmp_path):
    path = tmp_path / "model[1]"
    path.mkdir()
    module = Sums()
    link = tmp_path / "plain"
    link.symlink_to(path)
    tf.saved_model.save(module, str(link), signatures={"sums": module.sums})
    tables = {"words": ArrayReader(WORDS), "weights": ArrayReader(WEIGHTS)}
    write_saved_model_tables(path, tables, request.param)
    return link


def test_a_loaded_model_has_the_tables(saved_model):
    model = tf.saved_model.load(str(saved_model))
    sums = model.signatures["sums"](ids=tf.constant(IDS))["sums"]
    assert np.array_equal(sums, expected())
    assert np.array_equal(model.tables[0].numpy(), WORDS)
    assert model.names.numpy().tolist() == [b"a", b"b"]


def test_a_session_as_in_tf_serving_has_the_tables(saved_model):
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        graph = tf.compat.v1.saved_model.load(session, ["serve"], str(saved_model))
        signature = graph.signature_def["sums"]
        name = signature.inputs["ids"].name
        sums = session.run(signature.outputs["sums"].name, {name: IDS})
    assert np.array_equal(sums, expected())


def test_only_files_of_one_checkpoint_remain(saved_model):
    names = sorted(path.name for path in (saved_model / "variables").iterdir())
    count = len(names) - 1
    assert count in (3, 1 + 13 + 2)  # the others, 50 rows of 16 bytes, 20 of 4
    data = [f"variables.data-{i:05d}-of-{count:05d}" for i in range(count)]
    assert names == [*data, "variables.index"]


def test_a_table_without_a_variable_is_an_error(tmp_path):
    module = Sums()
    tf.saved_model.save(module, str(tmp_path), signatures={"sums": module.sums})
    with pytest.raises(ValueError, match=r"n-grams: expected one variable .* found 0"):
        write_saved_model_tables(tmp_path, {"n-grams": ArrayReader(WORDS)})
