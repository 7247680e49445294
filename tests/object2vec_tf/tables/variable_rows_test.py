"""Tests of object2vec_tf/tables/variable_rows.py."""

import numpy as np
import pytest
import tensorflow as tf

from object2vec_tf.tables.table_reader import ArrayReader
from object2vec_tf.tables.variable_rows import VariableReader, assign_rows

TABLE = np.random.default_rng(7).normal(size=(11, 3)).astype(np.float32)


def test_rows_of_a_variable_are_read_by_range():
    reader = VariableReader(tf.Variable(TABLE))
    assert (reader.rows, reader.width) == (11, 3)
    assert np.array_equal(reader.read(2, 9), TABLE[2:9])


def test_a_vector_is_a_table_of_one_column():
    reader = VariableReader(tf.Variable(TABLE[:, 0]))
    assert (reader.rows, reader.width) == (11, 1)
    assert np.array_equal(reader.read(3, 5), TABLE[3:5, :1])


@pytest.mark.parametrize(("shard", "shards"), [(0, 1), (0, 3), (2, 3), (12, 20)])
def test_a_variable_gets_the_rows_of_its_shard(shard, shards):
    own = TABLE[shard::shards]
    variable = tf.Variable(tf.zeros(own.shape))
    assign_rows(variable, ArrayReader(TABLE), shard, shards)
    assert np.array_equal(variable.numpy(), own)


def test_a_vector_gets_the_rows_of_its_shard():
    variable = tf.Variable(tf.zeros([5]))
    assign_rows(variable, ArrayReader(TABLE[:, :1]), shard=1, shards=2)
    assert np.array_equal(variable.numpy(), TABLE[1::2, 0])


def test_a_variable_of_another_shape_is_rejected():
    variable = tf.Variable(tf.zeros([5, 3]))
    with pytest.raises(ValueError, match=r"\(6, 3\), got \(5, 3\)"):
        assign_rows(variable, ArrayReader(TABLE), shard=0, shards=2)
