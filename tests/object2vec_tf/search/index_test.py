"""Tests of object2vec_tf/search/index.py. Numpy sorts all items by their score."""

import gzip
import json
import subprocess

import numpy as np
import pytest

from object2vec_tf.errors import DataError, UserError
from object2vec_tf.inference.predictor import load_model
from object2vec_tf.inference.ragged_inputs import RaggedInputs
from object2vec_tf.search.index import NeighborIndex, build_index
from tests.command_server import python_m

RANDOM = np.random.default_rng(5)
VECTORS = RANDOM.normal(size=(300, 16)).astype(np.float32)
QUERIES = RANDOM.normal(size=(7, 16)).astype(np.float32)


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_embeddings(path, vectors, **more):
    rows = [
        {"embeddings": v.tolist(), "id": f"i{n}", **more} for n, v in enumerate(vectors)
    ]
    return write(path, rows)


def expected_scores(metric):
    if metric == "euclidean":
        return -np.linalg.norm(QUERIES[:, None] - VECTORS, axis=2)
    products = QUERIES @ VECTORS.T
    if metric == "inner_product":
        return products
    lengths = np.linalg.norm(QUERIES, axis=1)[:, None] * np.linalg.norm(VECTORS, axis=1)
    return products / lengths


@pytest.mark.parametrize("metric", ["cosine", "inner_product", "euclidean"])
@pytest.mark.parametrize("search", ["exact", "approximate"])
def test_it_finds_the_nearest_embeddings(tmp_path, metric, search):
    items = write_embeddings(tmp_path / "items.jsonl", VECTORS)
    queries = write_embeddings(tmp_path / "queries.jsonl", QUERIES)
    count = build_index(items, tmp_path / "index", metric=metric, search=search)
    assert count == 300

    answers = list(NeighborIndex(tmp_path / "index").query(queries, 5))

    expected = expected_scores(metric)
    for row, answer in enumerate(answers):
        assert answer["query"] == {"id": f"i{row}"}
        best = np.argsort(-expected[row])[:5]
        found = [int(one["item"]["id"][1:]) for one in answer["neighbors"]]
        assert found == best.tolist()
        assert [one["rank"] for one in answer["neighbors"]] == [1, 2, 3, 4, 5]
        scores = [one["score"] for one in answer["neighbors"]]
        np.testing.assert_allclose(scores, expected[row][best], rtol=1e-4, atol=1e-5)
        assert all("label" not in one for one in answer["neighbors"])


ITEMS = [{"in1": [7], "title": "ü"}, {"in1": [1, 2, 3, 4]}, {"in1": []}, {"in1": [9]}]


def test_queries_and_items_are_returned_as_they_are_in_their_files(small_run, tmp_path):
    lines = [json.dumps(item) for item in ITEMS]
    with gzip.open(tmp_path / "items.jsonl.gz", "wt") as file:
        file.write("\n" + "\n\n".join(lines) + "\n")
    labels = tmp_path / "names.tsv"
    labels.write_text("seven\na\tb\n\nneuf ü\n", encoding="utf-8")
    queries = write(tmp_path / "queries.jsonl", [{"in0": [3, 3]}, {"in0": [1], "a": 1}])
    args = [*python_m("object2vec_tf.neighbors")]

    def call(*more):
        return subprocess.run([*args, *more], capture_output=True, text=True)

    built = call(
        "build",
        f"--model={small_run}",
        f"--input={tmp_path}/items.jsonl.gz",
        f"--index={tmp_path}/index",
        f"--labels={labels}",
    )
    assert (built.returncode, built.stdout) == (0, f"{tmp_path}/index: 4 items\n")
    queried = call(
        "query", f"--index={tmp_path}/index", f"--input={queries}", "-k", "3"
    )
    assert queried.returncode == 0, queried.stderr
    answers = [json.loads(line) for line in queried.stdout.splitlines()]

    model = load_model(small_run)
    items = model(RaggedInputs.from_rows({"in1": [[7], [1, 2, 3], [], [9]]}))
    users = model(RaggedInputs.from_rows({"in0": [[3, 3], [1]]}))
    names = ["seven", "a\tb", "", "neuf ü"]
    assert [answer["query"] for answer in answers] == [
        {"in0": [3, 3]},
        {"in0": [1], "a": 1},
    ]
    for user, answer in zip(users, answers, strict=True):
        lengths = np.linalg.norm(items, axis=1) * np.linalg.norm(user)
        cosines = items @ user / np.where(lengths > 0, lengths, 1)
        best = np.argsort(-cosines, kind="stable")[:3]
        found = answer["neighbors"]
        assert [one["item"] for one in found] == [ITEMS[i] for i in best]
        assert [one["label"] for one in found] == [names[i] for i in best]
        np.testing.assert_allclose([n["score"] for n in found], cosines[best], 1e-4)
    out = tmp_path / "out.jsonl"
    call("query", f"--index={tmp_path}/index", f"--input={queries}", f"--output={out}")
    assert len(json.loads(out.read_text().splitlines()[0])["neighbors"]) == 4
    failed = call("query", f"--index={tmp_path}", f"--input={queries}")
    assert failed.returncode == 2
    assert "contains no index" in failed.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "got an empty file"),
        (
            '{"embeddings": [1, 2]}\n{"embeddings": [1]}\n',
            r":2: .*expected 2 values, .* got 1",
        ),
        ('{"embeddings": [1, 2]}\n\n{"in1": [1]}\n', r":3: .*expected a list"),
        ('{"embeddings": [1, "a"]}\n', r':1: .*got \[1, "a"\]'),
        ('{"embeddings": [1e99]}\n', ":1: .*finite"),
        ('{"embeddings": []}\n', r":1: .*got \[\]"),
        ("[1]\n", ":1: expected one object per line such as .* got a JSON"),
        ("{\n", ":1: ends in the middle of an object"),
        ('{"in1": [1]}\n', "Give --model"),
    ],
)
def test_an_invalid_file_is_an_error_and_leaves_no_files(tmp_path, content, message):
    source = tmp_path / "items.jsonl"
    source.write_text(content)
    with pytest.raises((DataError, UserError), match=message):
        build_index(source, tmp_path / "index")
    assert [entry.name for entry in tmp_path.iterdir()] == ["items.jsonl"]


def test_an_index_is_replaced_atomically(tmp_path):
    first = write_embeddings(tmp_path / "a.jsonl", VECTORS[:3])
    second = write_embeddings(tmp_path / "b.jsonl", VECTORS)
    (tmp_path / "labels").write_text("a\nb\n")
    build_index(first, tmp_path / "index")
    with pytest.raises(UserError, match=r"expected 300 labels, .* got 2"):
        build_index(second, tmp_path / "index", labels=tmp_path / "labels")
    assert len(NeighborIndex(tmp_path / "index")) == 3
    build_index(second, tmp_path / "index")
    assert len(NeighborIndex(tmp_path / "index")) == 300
    names = {entry.name for entry in tmp_path.iterdir()}
    assert names == {"a.jsonl", "b.jsonl", "index", "labels"}
    (tmp_path / "other").mkdir()
    (tmp_path / "other/file").write_text("mine")
    (tmp_path / "web").mkdir()
    (tmp_path / "web/manifest.json").write_text("mine")
    with pytest.raises(UserError, match=r"got one with manifest\.json\. Give another"):
        build_index(second, tmp_path / "web")
    assert (tmp_path / "web/manifest.json").read_text() == "mine"
    for name in ("other", "index"):  # also next to the files of an index
        (tmp_path / name / "manifest.json").touch()
        (tmp_path / name / "file").write_text("mine")
        with pytest.raises(UserError, match=r"got one with file\. Give another"):
            build_index(second, tmp_path / name)
        assert (tmp_path / name / "file").read_text() == "mine"


def test_pairs_and_other_widths_are_rejected(small_run, tmp_path):
    pairs = write(tmp_path / "pairs.jsonl", [{"in0": [1], "in1": [2]}])
    with pytest.raises(UserError, match="expected in0 or in1 in each line, got both"):
        build_index(pairs, tmp_path / "index", model=small_run)
    build_index(write_embeddings(tmp_path / "v.jsonl", VECTORS), tmp_path / "index")
    narrow = write_embeddings(tmp_path / "n.jsonl", VECTORS[:, :4])
    index = NeighborIndex(tmp_path / "index")
    with pytest.raises(UserError, match=r"queries with 16 values, .* got 4"):
        next(index.query(narrow))
    with pytest.raises(UserError, match="was built from embeddings"):
        next(index.query(write(tmp_path / "q.jsonl", [{"in0": [1]}])))


def test_a_damaged_index_is_rejected(tmp_path):
    build_index(write_embeddings(tmp_path / "v.jsonl", VECTORS), tmp_path / "index")
    with (tmp_path / "index/items.jsonl").open("ab") as file:
        file.write(b"x")
    with pytest.raises(UserError, match=r"items\.jsonl: is damaged: expected .* bytes"):
        NeighborIndex(tmp_path / "index")


def test_an_invalid_choice_is_rejected(tmp_path):
    items = write_embeddings(tmp_path / "v.jsonl", VECTORS)
    with pytest.raises(UserError, match=r"metric: expected one of .*, got 'dot'"):
        build_index(items, tmp_path / "index", metric="dot")
    with pytest.raises(UserError, match=r"search: expected one of .*, got 'fast'"):
        build_index(items, tmp_path / "index", search="fast")
