"""Tests of object2vec_tf/search/index_directory.py."""

import os
import stat
import threading
import time

import numpy as np
import pytest
import tensorflow as tf

from object2vec_tf.errors import UserError
from object2vec_tf.search import index_directory
from object2vec_tf.search.faiss_index import (
    add_vectors,
    new_index,
    read_vectors,
    write_vectors,
)
from object2vec_tf.search.index_directory import (
    model_digest,
    read_consistently,
    replace_directory,
)


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


def write_number(directory, number):
    """Replaces an index by one whose files contain a number."""
    with replace_directory(directory) as temporary:
        for name in ("manifest.json", "index.faiss"):
            (temporary / name).write_text(str(number))


def read_numbers(directory):
    first = (directory / "manifest.json").read_text()
    time.sleep(0.001)
    return first, (directory / "index.faiss").read_text()


@pytest.mark.parametrize("can_exchange", [True, False])
def test_a_reader_sees_the_old_or_the_new_index(tmp_path, monkeypatch, can_exchange):
    if not can_exchange:
        monkeypatch.setattr(index_directory, "exchange", lambda *_: False)
    directory = tmp_path / "index[1]"
    write_number(directory, 0)
    link = tmp_path / "link"
    link.symlink_to("index[1]")
    ended = threading.Event()

    def replace():
        for number in range(1, 40):
            write_number(link, number)
            time.sleep(0.01)
        ended.set()

    writer = threading.Thread(target=replace)
    writer.start()
    seen = set()
    while not ended.is_set():
        first, second = read_consistently(directory, read_numbers)
        assert first == second
        seen.add(first)
    writer.join()
    assert len(seen) > 5
    assert link.is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index[1]", "link"]


def test_the_index_of_a_killed_writer_is_found(tmp_path, monkeypatch):
    directory = tmp_path / "index"
    write_number(directory, 0)
    (tmp_path / ".index.old-0123").mkdir()
    directory.rename(tmp_path / ".index.old-0123/index")
    monkeypatch.setattr(index_directory, "_PAUSE_SECONDS", 0)
    with pytest.raises(
        UserError, match=r"was killed .* Move .*\.index\.old-0123/index"
    ):
        read_consistently(directory, read_numbers)


@pytest.mark.parametrize("mask", [0o077, 0o002])
def test_an_index_honors_the_umask(tmp_path, mask):
    before = os.umask(mask)
    try:
        write_number(tmp_path / "index", 0)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "index").stat().st_mode) == 0o777 & ~mask
    write_number(tmp_path / "index", 1)  # keeps the permissions
    assert stat.S_IMODE((tmp_path / "index").stat().st_mode) == 0o777 & ~mask


@pytest.mark.parametrize("name", [b"bad\xff", b"[1]"])
def test_an_index_of_any_name_has_its_vectors(tmp_path, name):
    path = tmp_path / os.fsdecode(name) / os.fsdecode(name)
    path.parent.mkdir()
    path.touch()  # a name that is not plain has to exist
    index = new_index(2, "inner_product", "exact")
    add_vectors(index, np.eye(2, dtype=np.float32), "inner_product")
    write_vectors(index, path)
    manifest = {"items": 2, "dim": 2, "metric": "inner_product", "search": "exact"}
    assert read_vectors(path, manifest).reconstruct(1).tolist() == [0.0, 1.0]
