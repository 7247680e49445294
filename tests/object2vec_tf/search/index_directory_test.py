"""Tests of object2vec_tf/search/index_directory.py."""

import pytest
import tensorflow as tf

from object2vec_tf.errors import UserError
from object2vec_tf.search.index_directory import model_digest


def write_export(path, weights, items=()):
    """Writes what a digest reads of an export: the names are those of `Signatures`."""
    path.mkdir()
    (path / "saved_model.pb").touch()
    root = tf.Module()
    root._model_variables = [tf.Variable(values) for values in weights]
    if items:
        root._recommend_variables = tf.Module()
        root._recommend_variables._lines = tf.Variable(tf.constant(items))
    tf.train.Checkpoint(root=root).write(str(path / "variables" / "variables"))
    return path


def test_digest_is_that_of_the_weights_without_items(tmp_path):
    weights = [[[1.0, 2.0], [3.0, 4.0]], 5.0]
    digest = model_digest(write_export(tmp_path / "1", weights))
    assert model_digest(write_export(tmp_path / "2", weights, ["a", "b"])) == digest
    assert model_digest(write_export(tmp_path / "3", [weights[0], 5.5])) != digest
    assert model_digest(write_export(tmp_path / "4", weights[::-1])) != digest


@pytest.mark.parametrize("file", ["variables.index", "variables.data-00000-of-00001"])
def test_a_damaged_export_is_a_user_error(tmp_path, file):
    path = write_export(tmp_path / "1", [[1.0] * 100])
    (path / "variables" / file).write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"1: cannot be loaded: .* Export the model ag"):
        model_digest(path)
