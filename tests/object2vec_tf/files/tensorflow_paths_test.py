"""Any path can be given to TensorFlow's file code."""

import os
import pathlib
import tempfile

import numpy as np
import pytest
import tensorflow as tf

from object2vec_tf.files import tensorflow_paths
from object2vec_tf.files.tensorflow_paths import (
    is_ordinary,
    tensorflow_path,
    use_encodable_temporary_directory,
)

NAMES = [
    b"plain",
    b"run[1]",
    b"a*b",
    b"a?b",
    b"{a,b}",
    b"back\\slash",
    b"a b",
    "dé日".encode(),
    b"new\nline",
    b"bad\xff\xfe",
    b"x" * 200,
    b"[" * 200,
    b"%5B#a?b=c&d:e",
    b"~",
    b"$HOME",
    b"tab\t\x01\x7f",
]


class Doubled(tf.Module):
    """A model with a variable and a table."""

    def __init__(self):
        self.factor = tf.Variable(2.0)
        pairs = tf.lookup.KeyValueTensorInitializer(["a"], [3.0])
        self.table = tf.lookup.StaticHashTable(pairs, 0.0)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def __call__(self, words):
        return {"values": self.table.lookup(words) * self.factor}


def write_and_read(directory):
    """Uses each kind of TensorFlow's files in a directory; returns what is read."""
    variable = tf.Variable([1.0, 2.0])
    checkpoint = tf.train.Checkpoint(variable=variable)
    with tensorflow_path(directory / "variables") as prefix:
        checkpoint.write(prefix)
    variable.assign([5.0, 6.0])
    with tensorflow_path(directory / "variables") as prefix:
        checkpoint.read(prefix).assert_consumed()
    with tensorflow_path(directory) as name:
        with tf.io.TFRecordWriter(f"{name}/records") as records:
            records.write(b"record")
        writer = tf.summary.create_file_writer(f"{name}/logs/train")
        for step in range(2):
            with writer.as_default():
                tf.summary.scalar("loss", 0.5, step=step)
            writer.flush()
        writer.close()
    return variable.numpy().tolist()


@pytest.mark.parametrize("name", NAMES)
def test_checkpoints_records_and_logs_are_in_the_directory(tmp_path, name):
    directory = tmp_path / os.fsdecode(name)
    directory.mkdir()
    assert write_and_read(directory) == [1.0, 2.0]
    assert sorted(path.name for path in directory.iterdir()) == [
        "logs",
        "records",
        "variables.data-00000-of-00001",
        "variables.index",
    ]
    (events,) = (directory / "logs/train").iterdir()
    assert events.stat().st_size > 0


@pytest.mark.parametrize("name", [b"run[1]", b"bad\xff\xfe"])
def test_a_saved_model_can_be_saved_and_loaded(tmp_path, name):
    directory = tmp_path / os.fsdecode(name)
    directory.mkdir()
    model = Doubled()
    with tensorflow_path(directory) as path:
        tf.saved_model.save(model, path, signatures=model.__call__)
    assert (directory / "saved_model.pb").exists()
    with tensorflow_path(directory) as path:
        loaded = tf.saved_model.load(path)
    values = loaded.signatures["serving_default"](words=tf.constant(["a"]))["values"]
    np.testing.assert_array_equal(values, [6.0])


def test_a_pattern_does_not_find_the_files_of_its_neighbors(tmp_path):
    checkpoint = tf.train.Checkpoint(variable=tf.Variable(1.0))
    for name in ("run1", "run2"):
        (tmp_path / name).mkdir()
        checkpoint.write(str(tmp_path / name / "variables"))
    (tmp_path / "run?").mkdir()
    with (
        pytest.raises(tf.errors.NotFoundError, match=r"run\?/variables"),
        tensorflow_path(tmp_path / "run?" / "variables") as prefix,
    ):
        checkpoint.read(prefix)


def test_a_relative_path_and_an_existing_file(tmp_path, monkeypatch):
    directory = tmp_path / "[a]"
    directory.mkdir()
    monkeypatch.chdir(directory)
    (directory / "[b].txt").write_text("text")
    with tensorflow_path("[b].txt") as path:
        assert tf.io.gfile.GFile(path).read() == "text"
    with tensorflow_path("records") as path:
        assert path == "records"
    monkeypatch.chdir(tmp_path)
    with tensorflow_path("[a]/new") as path:
        assert path.endswith("/new")
        with tf.io.gfile.GFile(path, "w") as file:
            file.write("new")
    assert (directory / "new").read_text() == "new"
    for missing in ("[a]/[new]", "[missing]/new"):
        with pytest.raises(FileNotFoundError), tensorflow_path(missing):
            pass


def test_no_descriptor_stays_open(tmp_path):
    directory = tmp_path / "[a]"
    directory.mkdir()
    descriptors = pathlib.Path("/proc/self/fd")
    before = len(list(descriptors.iterdir()))
    for _ in range(3):
        with tensorflow_path(directory / "b"):
            pass
    assert len(list(descriptors.iterdir())) == before


@pytest.mark.parametrize("name", [b"run[1]", b"bad\xff\xfe"])
def test_systems_without_links_to_descriptors_use_symbolic_links(
    tmp_path, monkeypatch, name
):
    directory = tmp_path / os.fsdecode(name)
    directory.mkdir()
    monkeypatch.setattr(tensorflow_paths, "_DESCRIPTORS", tmp_path / "missing")
    monkeypatch.setattr("tempfile.tempdir", str(directory))  # TMPDIR is such a name too
    assert write_and_read(directory) == [1.0, 2.0]


def damaged(path):
    """Raises an error of TensorFlow, as the cause of another one."""
    try:
        raise tf.errors.DataLossError(None, None, f"{path}/file: damaged")
    except tf.errors.OpError as error:
        raise RuntimeError(f"{path} is bad") from error


def test_errors_show_the_real_path(tmp_path):
    directory = tmp_path / "[a]"
    directory.mkdir()
    with (
        pytest.raises(FileNotFoundError) as caught,
        tensorflow_path(directory) as path,
    ):
        raise FileNotFoundError(2, "No such file", f"{path}/file")
    assert caught.value.filename == f"{directory}/file"
    with pytest.raises(RuntimeError) as wrapped, tensorflow_path(directory) as path:
        damaged(path)
    assert f"{wrapped.value}" == f"{directory} is bad"
    assert f"{wrapped.value.__cause__}" == f"{directory}/file: damaged"


def test_ordinary_names():
    ordinary = ["run", "run 1/a.b", "été/日", "", "a,b=c+d@e%20~"]
    assert all(is_ordinary(name) for name in ordinary)
    others = [
        "s3:a",
        "a*",
        "a?",
        "[",
        "]",
        "{",
        "}",
        "\\",
        "\n",
        "\x7f",
        os.fsdecode(b"\xff"),
    ]
    assert not any(is_ordinary(name) for name in others)


@pytest.mark.parametrize("name", [b"bad\xff", b"run[1]"])
def test_a_temporary_directory_that_is_not_utf8_is_not_used(
    tmp_path, monkeypatch, name
):
    directory = os.fsdecode(os.fsencode(tmp_path) + b"/" + name)
    monkeypatch.setattr("tempfile.tempdir", directory)
    monkeypatch.setenv("TMPDIR", directory)
    if name == b"run[1]":
        use_encodable_temporary_directory()
        assert tempfile.gettempdir() == os.environ["TMPDIR"] == directory
        return
    with pytest.warns(UserWarning, match="TMPDIR: expected a name in UTF-8"):
        use_encodable_temporary_directory()
    assert tempfile.gettempdir() == os.environ["TMPDIR"] == "/tmp"
