"""Tests of object2vec_tf/search/index_addition.py; the oracle builds from all items."""

import json
import os
import threading

import faiss
import numpy as np
import pytest

from object2vec_tf.errors import UserError
from object2vec_tf.files.locks import locked
from object2vec_tf.search import index_directory
from object2vec_tf.search.index import NeighborIndex, build_index
from object2vec_tf.search.index_addition import Addition, add_items
from object2vec_tf.search.index_manifest import read_manifest

OLD = [{"in1": [i], "n": i} for i in range(6)]
NEW = [{"in1": [i], "n": i} for i in (20, 3, 21, 20, 22)]  # two are not new
# Different items with the same token ids, since the longer one is truncated.
NEW += [{"in1": [5, 5, 5], "n": 30}, {"in1": [5, 5, 5, 5], "n": 31}]
ADDED = [NEW[0], NEW[2], *NEW[4:]]


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_vectors(path, vectors):
    return write(path, [{"embeddings": vector.tolist()} for vector in vectors])


def stored_vectors(directory):
    index = faiss.read_index(str(directory / "index.faiss"))
    return index.reconstruct_n(0, index.ntotal)


@pytest.mark.parametrize("search", ["exact", "approximate"])
def test_an_index_with_added_items_equals_one_of_all_items(small_run, tmp_path, search):
    old, new = write(tmp_path / "old", OLD), write(tmp_path / "new", NEW)
    names = [tmp_path / "names.old", tmp_path / "names.new", tmp_path / "names.all"]
    for path, rows in zip(names, (OLD, NEW, [*OLD, *ADDED]), strict=True):
        path.write_text("".join(f"item {row['n']} ü\n" for row in rows))
    index, expected = tmp_path / "index", tmp_path / "all"
    build_index(old, index, model=small_run, labels=names[0], search=search)

    assert add_items(new, index, labels=names[1]) == Addition(5, 2, 11)

    everything = write(tmp_path / "everything", [*OLD, *ADDED])
    build_index(everything, expected, model=small_run, labels=names[2], search=search)
    np.testing.assert_array_equal(stored_vectors(index), stored_vectors(expected))
    for name in ("items.jsonl", "labels.txt"):
        assert (index / name).read_bytes() == (expected / name).read_bytes()
    manifests = [read_manifest(path) for path in (index, expected)]
    for manifest in manifests:
        del manifest["files"]  # HNSW's threads add items in any order
    assert manifests[0] == manifests[1]
    queries = write(tmp_path / "queries", [{"in0": [1, 2]}, {"in0": [9]}])
    answers = [
        list(NeighborIndex(path).query(queries, 11)) for path in (index, expected)
    ]
    assert answers[0] == answers[1]
    assert add_items(new, index, labels=names[1]) == Addition(0, 7, 11)


def test_embeddings_are_all_added(tmp_path):
    vectors = np.random.default_rng(0).normal(size=(7, 4)).astype(np.float32)
    old = write_vectors(tmp_path / "old", vectors[:4])
    new = write_vectors(tmp_path / "new", vectors[3:])
    build_index(old, tmp_path / "index", metric="inner_product")
    assert add_items(new, tmp_path / "index") == Addition(4, 0, 8)
    np.testing.assert_array_equal(
        stored_vectors(tmp_path / "index"), np.concatenate([vectors[:4], vectors[3:]])
    )
    narrow = write_vectors(tmp_path / "narrow", vectors[:, :2])
    with pytest.raises(UserError, match=r"embeddings with 4 values, .* got 2"):
        add_items(narrow, tmp_path / "index")


def test_items_that_do_not_fit_leave_the_index_as_it_is(small_run, tmp_path):
    old, index = write(tmp_path / "old", OLD), tmp_path / "index"
    build_index(old, index, model=small_run)
    with pytest.raises(UserError, match="none: contains no index"):
        add_items(old, tmp_path / "none")
    users = write(tmp_path / "users", [{"in0": [1]}])
    with pytest.raises(UserError, match=r"expected items with in1, .* got in0"):
        add_items(users, index)
    vectors = write_vectors(tmp_path / "vectors", np.ones((1, 8)))
    with pytest.raises(UserError, match=r"expected objects, .* got embeddings"):
        add_items(vectors, index)
    with pytest.raises(UserError, match="has no labels"):
        add_items(old, index, labels=users)
    manifest = json.loads((index / "manifest.json").read_text())
    assert len(NeighborIndex(index)) == 6
    # An index of an earlier version has no digests.
    for key in ("model_digest", "files", "xxh3_128"):
        del manifest[key]
    (index / "manifest.json").write_text(json.dumps(manifest))
    assert add_items(write(tmp_path / "new", NEW), index, model=small_run).added == 5
    assert "model_digest" in json.loads((index / "manifest.json").read_text())
    build_index(old, index, model=small_run, labels=old)
    with pytest.raises(UserError, match="new items need labels too"):
        add_items(tmp_path / "new", index)


def test_readers_see_the_old_or_the_new_index(tmp_path, monkeypatch):
    vectors = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    one = write_vectors(tmp_path / "one", vectors[:1])
    index = tmp_path / "index"
    build_index(one, index)
    sizes, failures = set(), []
    stop = threading.Event()

    def read():
        while not stop.is_set():
            try:
                found = NeighborIndex(index)
                numbers = found.nearest(vectors[:1], 100)[1]
                sizes.add((len(found), numbers.shape[1]))
            except Exception as error:
                failures.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(20):
        add_items(one, index)
    stop.set()
    reader.join()
    assert not failures
    assert sizes <= {(size, size) for size in range(1, 22)}

    def fail(*paths):
        raise KeyboardInterrupt

    monkeypatch.setattr(index_directory, "exchange", fail)
    with pytest.raises(KeyboardInterrupt):
        add_items(one, index)
    assert len(NeighborIndex(index)) == 21
    monkeypatch.setattr(index_directory, "exchange", lambda *paths: False)
    add_items(one, index)
    assert len(NeighborIndex(index)) == 22
    assert {path.name for path in tmp_path.iterdir()} == {"one", "index"}


def test_directories_of_killed_writers_are_removed(tmp_path):
    source = write_vectors(tmp_path / "one", np.ones((1, 4)))
    for name in ("killed", "working", "recent"):
        (tmp_path / f".index.new-{name}").mkdir()
    for name in ("killed", "working"):
        os.utime(tmp_path / f".index.new-{name}", (0, 0))
    with locked(tmp_path / ".index.new-working"):
        build_index(source, tmp_path / "index")
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"one", "index", ".index.new-working", ".index.new-recent"}
