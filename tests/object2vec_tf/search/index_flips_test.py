"""Single flipped bits in the files of an index: the same answers, or a user error."""

import collections
import json
import shutil

import numpy as np
import pytest

from object2vec_tf.search.index import NeighborIndex, build_index
from object2vec_tf.search.index_addition import add_items
from tests.bit_flips import flipped, outcome

SEED = 23


def write_vectors(path, vectors):
    rows = [{"embeddings": v.tolist(), "n": n} for n, v in enumerate(vectors)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(
    ("search", "flips"),
    [
        ("exact", 24),
        ("approximate", 24),
        pytest.param("exact", 1000, marks=pytest.mark.long),
        pytest.param("approximate", 1000, marks=pytest.mark.long),
    ],
)
def test_flipped_bits_change_no_answer(tmp_path, search, flips):
    generator = np.random.default_rng(SEED)
    items = write_vectors(tmp_path / "items", generator.normal(size=(40, 8)))
    new = write_vectors(tmp_path / "new", generator.normal(size=(3, 8)))
    for path, count in ((items, 40), (new, 3)):
        names = "".join(f"label {n}\n" for n in range(count))
        path.with_suffix(".labels").write_text(names)
    intact, index = tmp_path / "intact", tmp_path / "index"
    build_index(items, intact, labels=tmp_path / "items.labels", search=search)

    def query():
        return list(NeighborIndex(index).query(new, 5))

    def add():
        add_items(new, index, labels=tmp_path / "new.labels")
        return query()

    shutil.copytree(intact, index)
    expected = {query: query(), add: add()}
    files = sorted(path.name for path in intact.iterdir())
    counts = collections.Counter()
    for number in range(flips):
        name = files[number % len(files)]
        data = (intact / name).read_bytes()
        bit = int(generator.integers(8 * len(data)))
        for command, answers in expected.items():
            shutil.rmtree(index)
            shutil.copytree(intact, index)
            (index / name).write_bytes(flipped(data, bit))
            counts[outcome(index, (name, bit), command, answers)] += 1
    assert counts["user error"] > 1.5 * flips
    print(f"{search}, seed {SEED}: {flips} flips, {counts}")
