"""Tests of object2vec_tf/search/index_manifest.py: damaged and half-copied indexes."""

import json
import shutil

import numpy as np
import pytest

from object2vec_tf.errors import UserError
from object2vec_tf.search.index import NeighborIndex, build_index
from object2vec_tf.search.index_addition import add_items
from tests.bit_flips import flipped

VECTORS = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
FILES = (
    *("manifest.json", "index.faiss"),
    *("items.jsonl", "items.starts.npy", "labels.txt", "labels.starts.npy"),
)


def write_vectors(path, vectors):
    rows = [{"embeddings": v.tolist(), "n": n} for n, v in enumerate(vectors)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A directory with an index, its items, and its labels."""
    folder = tmp_path_factory.mktemp("built")
    labels = folder / "labels"
    labels.write_text("".join(f"label {n}\n" for n in range(12)))
    items = write_vectors(folder / "items", VECTORS)
    build_index(items, folder / "index", labels=labels)
    return folder


def copy(built, tmp_path):
    return shutil.copytree(built / "index", tmp_path / "index")


def commands(index, built):
    """The ways to use an index, as functions without arguments."""
    return (
        lambda: list(NeighborIndex(index).query(built / "items", 3)),
        lambda: add_items(built / "items", index, labels=built / "labels"),
    )


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["missing", "empty", "half", "flipped", "longer"])
def test_a_damaged_file_is_named(built, tmp_path, name, damage):
    index = copy(built, tmp_path)
    data = (index / name).read_bytes()
    middle = 8 * (len(data) // 2)
    changed = {
        "empty": b"",
        "half": data[: len(data) // 2],
        "flipped": flipped(data, middle),
        "longer": data + b"}",
    }
    (index / name).unlink()
    if damage in changed:
        (index / name).write_bytes(changed[damage])
    for command in commands(index, built):
        with pytest.raises(UserError, match=rf"{name}.* Copy the index again from"):
            command()


def rewrite_as_earlier_version(index, **changes):
    manifest = json.loads((index / "manifest.json").read_text())
    del manifest["files"], manifest["xxh3_128"]
    (index / "manifest.json").write_text(json.dumps({**manifest, **changes}))
    return index


def test_an_index_of_an_earlier_version_is_used_and_gets_checksums(built, tmp_path):
    index = rewrite_as_earlier_version(copy(built, tmp_path))
    query, add = commands(index, built)
    neighbors = [[n["item"]["n"] for n in answer["neighbors"]] for answer in query()]
    unit = VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)
    assert neighbors == np.argsort(-(unit @ unit.T), axis=1)[:, :3].tolist()
    assert add().items == 24
    (index / "labels.txt").write_bytes(flipped((index / "labels.txt").read_bytes(), 0))
    with pytest.raises(UserError, match=r"labels\.txt: is damaged: its checksum"):
        query()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"items": "12"}, r"manifest\.json: is damaged: Expected `int`, got `str`"),
        ({"metric": "dot"}, r"manifest\.json: is damaged: Invalid enum value 'dot'"),
        ({"model": 5}, r"manifest\.json: is damaged: Expected `str | null`"),
        ({"format": 7}, r"manifest\.json: expected format 1, got 7\. Another version"),
        ({"items": 13}, r"index\.faiss: expected IndexFlat with 13 vectors of 4 val"),
        ({"metric": "euclidean"}, r"index\.faiss: expected .* metric 1, got .* metric"),
        ({"search": "approximate"}, r"index\.faiss: expected IndexHNSW .* got IndexFl"),
    ],
)
def test_a_manifest_that_does_not_fit_is_rejected(built, tmp_path, changes, message):
    index = rewrite_as_earlier_version(copy(built, tmp_path), **changes)
    for command in commands(index, built):
        with pytest.raises(UserError, match=message):
            command()


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("items.starts.npy", b"PK\3\4", r"items\.starts\.npy: .* magic"),
        ("items.jsonl", b"[", r"items\.jsonl:\d+: is damaged: "),
        ("labels.txt", b"\xff", r"labels\.txt:\d+: is damaged: 'utf-8' codec"),
        ("index.faiss", b"zzzz", r"index\.faiss: .*Index type .* not recognized"),
    ],
)
def test_damage_of_an_earlier_version_is_a_user_error(
    built, tmp_path, name, data, message
):
    index = rewrite_as_earlier_version(copy(built, tmp_path))
    size = (index / name).stat().st_size
    (index / name).write_bytes(data + (index / name).read_bytes()[len(data) : size])
    with pytest.raises(UserError, match=message):
        commands(index, built)[0]()
