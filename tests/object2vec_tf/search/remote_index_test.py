"""Tests of indexes in remote directories: object2vec_tf/search/index_directory.py."""

import pytest

from object2vec_tf.errors import UserError
from object2vec_tf.search.index import NeighborIndex, build_index
from object2vec_tf.search.index_addition import add_items

pytest.importorskip("faiss")


@pytest.fixture
def items(remote):
    remote.pipe("/b/items.jsonl", b'{"embeddings": [1, 0]}\n{"embeddings": [0, 1]}\n')
    remote.pipe("/b/names.txt", b"east\nnorth\n")
    return remote


def nearest(remote, vector):
    remote.pipe("/b/query.jsonl", f'{{"embeddings": {vector}}}\n'.encode())
    (result,) = NeighborIndex("memory://b/index").query("memory://b/query.jsonl", 1)
    return result["neighbors"][0]["label"]


def test_an_index_is_built_extended_and_queried(items):
    labels = "memory://b/names.txt"
    build = ("memory://b/items.jsonl", "memory://b/index")
    assert build_index(*build, labels=labels) == 2
    assert nearest(items, [2, 1]) == "east"
    items.pipe("/b/new.jsonl", b'{"embeddings": [-1, 0]}\n')
    items.pipe("/b/new.txt", b"west\n")
    new = ("memory://b/new.jsonl", "memory://b/index")
    assert add_items(*new, labels="memory://b/new.txt").items == 3
    assert nearest(items, [-2, 1]) == "west"
    assert build_index(*build) == 2
    names = {path.rpartition("/")[2] for path in items.find("/b/index")}
    assert names == {
        *("manifest.json", "index.faiss", "items.jsonl", "items.starts.npy"),
    }


@pytest.mark.parametrize("is_first", [True, False])
def test_an_index_that_was_uploaded_in_part_is_built_again(
    items, monkeypatch, is_first
):
    build = ("memory://b/items.jsonl", "memory://b/index")
    if not is_first:
        build_index(*build)
    put_file = type(items).put_file

    def put_items(self, local, path, **kwargs):
        if not path.endswith("items.jsonl"):
            raise PermissionError("Access Denied")
        put_file(self, local, path, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(type(items), "put_file", put_items)
        with pytest.raises(UserError, match="Access Denied"):
            build_index(*build)
    with pytest.raises(UserError, match="contains no index that can be read"):
        NeighborIndex("memory://b/index")
    assert build_index(*build) == 2
    assert len(items.find("/b/index")) == 4
    items.rm_file("/b/index/manifest.json")  # files of something else
    with pytest.raises(UserError, match="expected an index or a new directory"):
        build_index(*build)


def test_other_directories_are_errors(items):
    items.pipe("/b/index/notes.txt", b"")
    with pytest.raises(UserError, match=r"memory://b/index: .*got one with notes.txt"):
        build_index("memory://b/items.jsonl", "memory://b/index")
    with pytest.raises(UserError, match="memory://b/index: contains no index"):
        NeighborIndex("memory://b/index")
