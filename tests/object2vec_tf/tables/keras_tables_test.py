"""Tests of object2vec_tf/tables/keras_tables.py."""

import errno
import os
import zipfile

import keras
import numpy as np
import pytest

from object2vec_tf.tables import keras_tables
from object2vec_tf.tables.keras_tables import placeholder_rows, write_keras_tables
from object2vec_tf.tables.table_reader import ArrayReader

RANDOM = np.random.default_rng(3)
TABLES = [RANDOM.normal(size=(n, 4)).astype(np.float32) for n in (30, 8)]


class Rows(keras.layers.Layer):
    """A layer with a table of any number of rows."""

    def __init__(self, count, **kwargs):
        super().__init__(**kwargs)
        self.count = count
        self.table = self.add_weight(name="embeddings", shape=(count, 4))

    def call(self, inputs):
        return inputs + keras.ops.sum(self.table)


def model(counts):
    inputs = keras.Input((4,))
    hidden = keras.layers.Dense(4, name="dense")(inputs)
    return keras.Model(inputs, [Rows(count)(hidden) for count in counts])


@pytest.fixture
def files(tmp_path):
    small = model([8, 8])
    for index, layer in enumerate(small.layers[2:]):
        layer.table.assign(placeholder_rows(index, 4))
    small.save(tmp_path / "small.keras")
    readers = [ArrayReader(table) for table in TABLES]
    write_keras_tables(tmp_path / "small.keras", tmp_path / "large.keras", readers)
    return small, tmp_path


def test_a_large_model_loads_the_tables_and_all_other_weights(files):
    small, path = files
    large = model([30, 8])
    large.load_weights(path / "large.keras")
    kernel, bias, *tables = large.get_weights()
    assert np.array_equal(kernel, small.get_weights()[0])
    assert np.array_equal(bias, small.get_weights()[1])
    for table, rows in zip(tables, TABLES, strict=True):
        assert np.array_equal(table, rows)


def test_the_archive_is_otherwise_the_same(files):
    _, path = files
    with (
        zipfile.ZipFile(path / "small.keras") as small,
        zipfile.ZipFile(path / "large.keras") as large,
    ):
        assert large.namelist() == small.namelist()
        assert large.read("config.json") == small.read("config.json")
    assert sorted(p.name for p in path.iterdir()) == ["large.keras", "small.keras"]


def test_a_model_without_such_a_table_is_an_error(files):
    _, path = files
    readers = [ArrayReader(table) for table in (*TABLES, TABLES[0])]
    with pytest.raises(ValueError, match=r"tables \[2\]: expected placeholders"):
        write_keras_tables(path / "small.keras", path / "other.keras", readers)


def test_a_full_disk_is_reported_for_the_file_that_the_user_knows(files, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(keras_tables, "_write_weights", fail)
    _, directory = files
    destination = directory / "written.keras"
    with pytest.raises(OSError, match="No space left") as raised:
        write_keras_tables(directory / "small.keras", destination, [])
    assert raised.value.filename == f"{destination}"
