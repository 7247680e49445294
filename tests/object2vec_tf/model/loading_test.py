"""Tests of object2vec_tf/model/loading.py: intact, damaged and foreign files."""

import shutil
import zipfile

import keras
import numpy as np
import pytest

import object2vec_tf as o2v
from object2vec_tf.layers.outside_tables import MappedTables
from object2vec_tf.model.loading import load_object2vec
from object2vec_tf.tables.mapped_table import MappedTable
from object2vec_tf.tables.parquet_writer import write_parquet_table
from object2vec_tf.tables.table_reader import ArrayReader
from tests.bit_flips import flipped

DENSE = keras.layers.Dense(1)


@pytest.fixture
def saved(hyperparameters, tmp_path):
    model = o2v.Object2Vec(hyperparameters, seed=3)
    model.save(tmp_path / "model.keras")
    return model, tmp_path / "model.keras"


def replace(path, name, content):
    """Replaces one member of the archive; None removes it."""
    with zipfile.ZipFile(path) as archive:
        members = {entry: archive.read(entry) for entry in archive.namelist()}
    members[name] = content
    with zipfile.ZipFile(path, "w") as archive:
        for entry, data in members.items():
            if data is not None:
                archive.writestr(entry, data)


def test_loads_a_saved_model_with_its_weights(saved):
    model, path = saved
    loaded = load_object2vec(str(path))
    assert loaded.hyperparameters == model.hyperparameters
    for x, y in zip(model.variables, loaded.variables, strict=True):
        np.testing.assert_array_equal(x.numpy(), y.numpy())


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda path: path.unlink(), "cannot be opened: No such file or directory"),
        (
            lambda path: path.write_bytes(b""),
            "expected a Keras model, got a damaged or foreign file",
        ),
        (
            lambda path: path.write_text("junk"),
            "expected a Keras model, got a damaged or foreign file",
        ),
        (lambda path: path.write_bytes(path.read_bytes()[:999]), "damaged"),
        (lambda path: replace(path, "config.json", None), "damaged"),
        (lambda path: replace(path, "config.json", b"[]"), "damaged"),
        (lambda path: replace(path, "model.weights.h5", None), "damaged"),
        (lambda path: replace(path, "model.weights.h5", b"junk"), "damaged"),
        (
            lambda path: keras.Sequential([keras.Input((2,)), DENSE]).save(path),
            "expected an Object2Vec model, got Sequential",
        ),
    ],
)
def test_file_without_an_object2vec_model_is_an_error(saved, spoil, problem):
    _, path = saved
    spoil(path)
    with pytest.raises(o2v.UserError) as raised:
        load_object2vec(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert problem in str(raised.value)


def test_a_flip_in_the_weights_is_an_error(saved):
    model, path = saved
    weights = max(model.trainable_variables, key=lambda v: v.numpy().nbytes).numpy()
    data = path.read_bytes()
    position = data.index(weights.tobytes()[:64])
    path.write_bytes(flipped(data, 8 * position + 22))
    with pytest.raises(o2v.UserError, match="damaged or foreign file: Bad CRC-32"):
        load_object2vec(path)


def test_directory_is_an_error(tmp_path):
    with pytest.raises(o2v.UserError, match="cannot be opened: Is a directory"):
        load_object2vec(tmp_path)


def test_load_finds_the_model_of_a_run_and_of_a_study(saved, tmp_path):
    model, path = saved
    study = tmp_path / "study"
    (study / "best").mkdir(parents=True)
    (study / "best/model.keras").write_bytes(path.read_bytes())
    for given in (path, tmp_path, str(study)):
        loaded = o2v.load(given)
        np.testing.assert_array_equal(loaded.embed([[3]]), model.embed([[3]]))


@pytest.mark.parametrize(
    ("prepare", "problem"),
    [
        (lambda path: None, "run: no such model. Give a run directory or a .keras"),
        (lambda path: path.mkdir(), "run: expected a run directory, found no model"),
        (
            lambda path: (
                (path / "checkpoints").mkdir(parents=True)
                or (path / "checkpoints/run.json").write_text("{}")
            ),
            "run: the run has no model.keras yet. Wait until it has finished, or",
        ),
    ],
)
def test_load_explains_a_directory_without_a_model(prepare, problem, tmp_path):
    prepare(tmp_path / "run")
    with pytest.raises(o2v.UserError) as raised:
        o2v.load(tmp_path / "run")
    assert f"{tmp_path}/{problem}" in str(raised.value)


def save_beside_tables(directory, *values):
    """Saves a model whose two tables of the same size have these values everywhere."""
    tables = {}
    for name, value in zip(("enc0", "enc1"), values, strict=True):
        path = directory / "tables" / name
        write_parquet_table(ArrayReader(np.full([7, 4], value)), path)
        tables[name] = MappedTable(path)
    settings = {"enc0_vocab_size": 7, "enc0_max_seq_len": 3, "enc_dim": 4}
    settings |= {"enc0_network": "pooled_embedding"}
    settings |= {"tied_token_embedding_weight": False}
    model = o2v.Object2Vec(settings, placement=MappedTables(tables))
    model.save(directory / "model.keras")


def test_tables_of_another_model_are_not_read(tmp_path):
    for name, values in {"run": (1, 2), "other": (3, 4)}.items():
        save_beside_tables(tmp_path / name, *values)
    loaded = o2v.load(tmp_path / "run")
    assert [loaded.embed([[5]], side)[0, 0] for side in (0, 1)] == [1, 2]
    enc1 = tmp_path / "run/tables/enc1"
    shutil.rmtree(enc1)
    with pytest.raises(o2v.UserError, match=r"enc1/_digests\.json: is missing"):
        o2v.load(tmp_path / "run")
    shutil.copytree(tmp_path / "other/tables/enc1", enc1)
    with pytest.raises(o2v.UserError, match="and its tables belong together"):
        o2v.load(tmp_path / "run")
    (enc1 / "_digests.json").unlink()
    with pytest.raises(o2v.UserError, match=r"enc1/_digests\.json: is missing"):
        o2v.load(tmp_path / "run")


def test_a_model_is_not_saved_without_the_files_of_its_tables(tmp_path):
    settings = {"enc0_vocab_size": 7, "enc0_max_seq_len": 3, "enc_dim": 4}
    settings |= {"enc0_network": "pooled_embedding"}
    placement = MappedTables({"enc0": ArrayReader(np.zeros([7, 4]))})
    model = o2v.Object2Vec(settings, placement=placement)
    with pytest.raises(o2v.UserError, match="enc0: expected a table in files"):
        model.save(tmp_path / "model.keras")
